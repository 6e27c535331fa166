use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::mend::Mender;
use super::visit::{Seen, Visit};
use super::{Finding, Report};
use crate::client::LEASE;

/// Looks at what the server writes down, as far as the login may.
pub(super) async fn examine(visit: &Visit, mender: &Mender, report: &mut Report) {
    report.push(devices(visit.look("sys/audit").await, mender));
    let headers = visit.look("sys/config/auditing/request-headers").await;
    report.push(header(headers, mender));
}

fn devices(seen: Seen<BTreeMap<String, IgnoredAny>>, mender: &Mender) -> Finding {
    let list = || mender.run("audit list");
    match seen {
        Seen::It(devices) if devices.len() >= 2 => Finding::ok(
            "audit",
            format!("there are {} audit devices", devices.len()),
        ),
        Seen::It(devices) => {
            let count = devices.len();
            let what = format!(
                "there are {count} audit devices: with fewer than two, one full disk stops every call. \
                 OpenBao takes them in its configuration file, as `audit \"file\" \"second\" {{ options \
                 {{ file_path = \"…\" }} }}`"
            );
            Finding::warning("audit", what).mended_by(list())
        }
        other => {
            let what = format!(
                "audit devices can't be seen ({}); an administrator should see two",
                other.why_not()
            );
            Finding::warning("audit", what).mended_by(list())
        }
    }
}

fn header(seen: Seen<Headers>, mender: &Mender) -> Finding {
    let path = format!("sys/config/auditing/request-headers/{LEASE}");
    let audit = mender.write(&path, "hmac=false");
    match seen {
        Seen::It(Headers { headers }) => {
            if headers
                .keys()
                .any(|it| it.eq_ignore_ascii_case(LEASE.as_str()))
            {
                return Finding::ok("header", format!("the header {LEASE} is audited"));
            }
            let what = format!(
                "the header {LEASE} is not audited, so that the renewal and the revocation of a lease \
                 can't be found in the audit log by its id"
            );
            Finding::warning("header", what).mended_by(audit)
        }
        other => {
            let what = format!(
                "whether the header {LEASE} is audited can't be seen ({}); an administrator makes sure \
                 of it",
                other.why_not()
            );
            Finding::warning("header", what).mended_by(audit)
        }
    }
}

#[derive(Debug, Deserialize)]
struct Headers {
    #[serde(default)]
    headers: BTreeMap<String, IgnoredAny>,
}
