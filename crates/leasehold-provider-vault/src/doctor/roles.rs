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
    let role = path.trim_matches('/').replacen("/creds/", "/roles/", 1);
    let declared: Seen<Role> = visit.look(&role).await;
    if let Seen::It(Role {
        default_ttl: Some(ttl),
        max_ttl,
    }) = declared
    {
        let max = max_ttl.filter(|it| *it > 0).unwrap_or(u64::MAX);
        // Without a TTL of its own a role has the mount's, which is a month unless it was tuned.
        let shortest = if ttl == 0 { max } else { ttl.min(max) };
        return vec![judged(name, &role, shortest, mender)];
    }
    if !issue {
        let what = format!(
            "how long the leases of credential {name} last can't be seen; an administrator can, or \
             `leasehold doctor --issue` by issuing one"
        );
        let command = mender.run("read", &role);
        return vec![Finding::warning("ttl", what).mended_by(command)];
    }
    issued(visit, name, source, path, &role, mender).await
}

async fn issued(
    visit: &Visit,
    name: &CredentialName,
    source: &Source,
    path: &str,
    role: &str,
    mender: &Mender,
) -> Vec<Finding> {
    let body = match source {
        Source::Leased { parameters, .. } if !parameters.is_empty() => Some(json!(parameters)),
        _ => None,
    };
    match visit.issue(path, body).await {
        Seen::It((ttl, left)) => {
            let mut found = vec![judged(name, role, ttl, mender)];
            found.extend(left.map(|lease| {
                let what = format!(
                    "the lease that was issued to be looked at could not be given back: {lease}"
                );
                Finding::error("given-back", what).mended_by(mender.run("lease revoke", &lease))
            }));
            found
        }
        other => {
            let what = format!("credential {name} can't be issued: {}", other.why_not());
            vec![Finding::error("issue", what).mended_by(mender.run("read", path))]
        }
    }
}

fn judged(name: &CredentialName, role: &str, seconds: u64, mender: &Mender) -> Finding {
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
    Finding::error("ttl", what).mended_by(mender.write(role, "default_ttl=1h max_ttl=24h"))
}

#[derive(Debug, Deserialize)]
struct Role {
    #[serde(default)]
    default_ttl: Option<u64>,
    #[serde(default)]
    max_ttl: Option<u64>,
}
