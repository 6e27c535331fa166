//! Where traces and logs go.

use std::num::NonZeroU32;
use std::time::Duration;

use url::Url;

use super::Check;
use super::url::has_user_info;
use crate::code::Code;
use crate::document::TelemetryDocument;
use crate::node::Place;
use crate::snapshot::telemetry::Telemetry;

impl Check<'_> {
    pub(super) fn telemetry(
        &mut self,
        written: Option<TelemetryDocument>,
        root: Place<'_>,
    ) -> Option<Telemetry> {
        let written = written?;
        let place = root.field("telemetry");
        let endpoint = self.collector(&written.endpoint, place.field("endpoint"));
        let (traces, logs) = (written.traces.unwrap_or(true), written.logs.unwrap_or(true));
        if !traces && !logs {
            let message = "neither traces nor logs are sent";
            self.fault(Code::BadCombination, place, message, "remove `telemetry`");
        }
        if !traces && written.one_in.is_some() {
            let message = "`one_in` does not go with `traces: false`";
            self.fault(Code::BadCombination, place.field("one_in"), message, "");
        }
        let timeout = written.timeout.as_ref();
        let timeout = self.duration(timeout, TIMEOUT, LEAST, place.field("timeout"));
        Some(Telemetry {
            endpoint: endpoint?,
            ca: written.ca.map(|path| self.path(path)),
            timeout,
            traces: traces.then(|| written.one_in.unwrap_or(NonZeroU32::MIN)),
            logs,
        })
    }

    fn collector(&mut self, text: &str, place: Place<'_>) -> Option<Url> {
        self.mask_url(text, place);
        let problem = match Url::parse(text) {
            Err(_) => "this is not a URL",
            Ok(url) if has_user_info(&url) => "this URL has a user name or password",
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                "this URL has a query or a fragment"
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                return Some(url);
            }
            Ok(_) => "a collector is spoken to by `http` or `https`",
        };
        let help = "write it like `http://127.0.0.1:4318`; what a collector wants in headers is read \
                    from `OTEL_EXPORTER_OTLP_HEADERS` in the environment";
        self.fault(Code::BadUrl, place, problem, help);
        None
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
const LEAST: Duration = Duration::from_millis(100);
