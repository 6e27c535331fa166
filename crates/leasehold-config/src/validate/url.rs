use url::Url;

use super::Check;
use crate::code::Code;
use crate::fault::Fault;
use crate::node::Place;
use crate::secret_scan;

impl Check<'_> {
    /// Keeps out of reports what may be secret in a URL, and what is none.
    pub(super) fn mask_url(&mut self, text: &str, place: Place<'_>) {
        if text.contains(['@', '?', '#']) {
            self.report.hide(place.node());
        } else if !text.contains("://") {
            self.report.hide_unless_name(place.node());
        }
    }

    /// Reads a URL that is scheme, host and port, and no more.
    pub(super) fn origin(&mut self, text: &str, place: Place<'_>) -> Option<Url> {
        self.mask_url(text, place);
        let problem = match Url::parse(text) {
            Ok(url) if has_user_info(&url) => {
                let what = "the user name or password of a URL";
                let fault = secret_scan::in_document(place.span(), what);
                self.report.add(fault);
                return None;
            }
            Ok(url) => match problem(&url) {
                None => return Some(url),
                Some(problem) => problem,
            },
            Err(_) => "is not a URL",
        };
        let fault = Fault::new(Code::BadUrl, place.span(), format!("this {problem}"));
        self.report.add(
            fault.with_help(
                "write scheme, host and port only, like `https://payments.internal:8443`",
            ),
        );
        None
    }
}

pub(super) fn has_user_info(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn problem(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        Some("URL is neither `http` nor `https`")
    } else if url.host_str().is_none_or(str::is_empty) {
        Some("URL has no host")
    } else if url.port() == Some(0) {
        Some("URL has the port 0")
    } else if url.path() != "/" {
        Some("URL has a path")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("URL has a query or a fragment")
    } else {
        None
    }
}
