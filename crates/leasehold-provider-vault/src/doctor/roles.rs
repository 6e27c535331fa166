use leasehold_model::CredentialName;
use leasehold_provider::Source;
use serde::Deserialize;
use serde_json::json;

use super::login::FLOOR;
use super::mend::Mender;
use super::visit::{Seen, Visit};
use super::{Examination, Finding, Report};

/// Looks at how long the leases of each credential will last.
pub(super) async fn examine(
    visit: &Visit,
    examination: &Examination,
    mender: &Mender,
    report: &mut Report,
) {
    for (name, source) in &examination.credentials {
        if let Source::Leased { path, .. } = source {
            let found = leased(visit, name, source, path, examination.issue, mender).await;
            report.extend(found);
        }
    }
}

async fn leased(
    visit: &Visit,
    name: &CredentialName,
    source: &Source,
    path: &str,
    issue: bool,
    mender: &Mender,
) -> Vec<Finding> {
    let maker = Maker::of(path);
    // What is asked for with the credential goes before what the role says.
    let by_role = maker.as_ref().filter(|_| !asks_for_ttl(source));
    let declared: Seen<Role> = match by_role {
        Some(maker) => visit.look(&maker.role).await,
        None => Seen::Absent,
    };
    if let Seen::It(Role {
        default_ttl: Some(ttl),
        max_ttl,
    }) = declared
    {
        let max = max_ttl.filter(|it| *it > 0).unwrap_or(u64::MAX);
        // Without a TTL of its own a role has the mount's, which is a month unless it was tuned.
        let shortest = if ttl == 0 { max } else { ttl.min(max) };
        return vec![judged(name, maker.as_ref(), shortest, mender)];
    }
    if !issue {
        let what = format!(
            "how long the leases of credential {name} last can't be seen; an administrator can, or \
             `leasehold doctor --issue` by issuing one"
        );
        return vec![looked_up(Finding::warning("ttl", what), by_role, mender)];
    }
    issued(visit, name, source, path, maker.as_ref(), mender).await
}

async fn issued(
    visit: &Visit,
    name: &CredentialName,
    source: &Source,
    path: &str,
    maker: Option<&Maker<'_>>,
    mender: &Mender,
) -> Vec<Finding> {
    let body = match source {
        Source::Leased { parameters, .. } if !parameters.is_empty() => Some(json!(parameters)),
        _ => None,
    };
    match visit.issue(path, body).await {
        Seen::It((ttl, left)) => {
            let mut found = vec![judged(name, maker, ttl, mender)];
            found.extend(left.map(|lease| {
                let what = format!(
                    "the lease that was issued to be looked at could not be given back: {lease}"
                );
                Finding::error("given-back", what).mended_by(mender.run_on("lease revoke", &lease))
            }));
            found
        }
        other => {
            let what = format!("credential {name} can't be issued: {}", other.why_not());
            vec![looked_up(Finding::error("issue", what), maker, mender)]
        }
    }
}

fn asks_for_ttl(source: &Source) -> bool {
    matches!(source, Source::Leased { parameters, .. } if parameters.contains_key("ttl"))
}

/// Adds the command that shows the role. The credential's own path is in none: to read that is to
/// issue another.
fn looked_up(finding: Finding, maker: Option<&Maker<'_>>, mender: &Mender) -> Finding {
    match maker {
        Some(maker) => finding.mended_by(mender.run_on("read", &maker.role)),
        None => finding,
    }
}

fn judged(
    name: &CredentialName,
    maker: Option<&Maker<'_>>,
    seconds: u64,
    mender: &Mender,
) -> Finding {
    if seconds >= FLOOR {
        let what = if seconds == u64::MAX {
            format!("leases of credential {name} last as long as its mount says")
        } else {
            format!("leases of credential {name} last for {seconds} s")
        };
        return Finding::ok("ttl", what);
    }
    let what = format!(
        "leases of credential {name} last for {seconds} s, which the failover of a cluster alone can \
         outlast: {FLOOR} s is the least"
    );
    let finding = Finding::error("ttl", what);
    match maker {
        Some(maker) => finding.mended_by(mender.set(maker.verb, &maker.role, maker.longer)),
        None => finding,
    }
}

/// What the credentials of a path are made by.
pub(super) struct Maker<'a> {
    pub(super) mount: &'a str,
    pub(super) role: String,
    /// How a setting of it is changed and the others left: a role of PKI is written whole.
    verb: &'static str,
    /// What makes its leases last longer.
    longer: &'static str,
}

impl<'a> Maker<'a> {
    /// Finds it by the form of the path; none where that says nothing.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let path = path.trim_matches('/');
        MAKERS.iter().find_map(|(of, roles, verb, longer)| {
            let (mount, role) = path.split_once(of)?;
            Some(Self {
                mount,
                role: format!("{mount}{roles}{role}"),
                verb,
                longer,
            })
        })
    }
}

#[derive(Debug, Deserialize)]
struct Role {
    /// PKI says it more shortly.
    #[serde(default, alias = "ttl")]
    default_ttl: Option<u64>,
    #[serde(default)]
    max_ttl: Option<u64>,
}

const MAKERS: [(&str, &str, &str, &str); 4] = [
    ("/creds/", "/roles/", "write", "default_ttl=1h max_ttl=24h"),
    ("/static-creds/", "/static-roles/", "write", ""),
    ("/issue/", "/roles/", "patch", "ttl=1h max_ttl=24h"),
    ("/sign/", "/roles/", "patch", "ttl=1h max_ttl=24h"),
];
