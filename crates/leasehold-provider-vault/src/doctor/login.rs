use leasehold_model::Failure;
use leasehold_provider::ProviderError;

use super::mend::Mender;
use super::visit::{Token, chain};
use super::{Examination, Finding, Report};
use crate::config::VaultConfig;
use crate::config::auth::{AppRole, AuthMethod, SecretId};
use crate::envelope::Auth;

/// Tells where a login of the doctor's would cost the gateway its own.
pub(super) fn must_not_be_tried(config: &VaultConfig) -> Option<Finding> {
    let AuthMethod::AppRole(AppRole { secret_id, .. }) = &config.auth else {
        return None;
    };
    let what = "the secret id is wrapped and can be unwrapped once: the gateway needs it, so the doctor \
                does not. Give the doctor a document of its own, with a secret id in a file";
    matches!(secret_id, SecretId::Wrapped(_)).then(|| Finding::error("login", what))
}

/// Makes the finding of a login that was refused.
pub(super) fn refused(error: &ProviderError, config: &VaultConfig, mender: &Mender) -> Finding {
    let finding = Finding::error("login", format!("the login failed: {}", chain(error)));
    let AuthMethod::AppRole(AppRole {
        mount, secret_id, ..
    }) = &config.auth
    else {
        return match role_shown(&config.auth).filter(|_| error.failure == Failure::Denied) {
            Some(role) => finding.mended_by(mender.run_on("read", &role)),
            None => finding,
        };
    };
    let role = format!("auth/{mount}/role/ROLE");
    if error.detail.contains("cannot create root tokens") {
        return finding.mended_by(mender.write(&role, "token_policies=leasehold"));
    }
    let SecretId::File(file) = secret_id else {
        return finding;
    };
    finding.mended_by(mender.secret_id(&role, &file.display().to_string()))
}

/// Returns the role that a login names: what it asks for, or that there is no such method, shows
/// there.
fn role_shown(method: &AuthMethod) -> Option<String> {
    Some(match method {
        AuthMethod::AppRole(_) => return None,
        AuthMethod::Kubernetes(it) | AuthMethod::Jwt(it) => {
            format!("auth/{}/role/{}", it.mount, it.role)
        }
        AuthMethod::AwsIam(it) => format!("auth/{}/role/{}", it.mount, it.role),
        AuthMethod::Certificate(it) => {
            format!("auth/{}/certs/{}", it.mount, it.role.as_deref()?)
        }
    })
}

/// Looks at the token that the login gave.
pub(super) fn examine(
    auth: &Auth,
    token: &Token,
    examination: &Examination,
    mender: &Mender,
    report: &mut Report,
) {
    let before = report.findings.len();
    report.extend(limits(auth, mender));
    report.extend(kind(token, examination, mender));
    report.extend(lifetime(token, mender));
    if report.findings.len() == before {
        let ttl = token.ttl;
        report.push(Finding::ok(
            "login",
            format!("the login lives for {ttl} s and can be renewed"),
        ));
    }
    report.extend(hold(token, examination, mender));
}

fn limits(auth: &Auth, mender: &Mender) -> Vec<Finding> {
    let mut found = Vec::new();
    if auth.has_policy("root") {
        let what = "the login has the root policy, by which it may do everything";
        found.push(Finding::error("login", what).mended_by(mender.policy()));
    }
    if auth.num_uses != 0 {
        let what =
            "the login may be used a limited number of times, and its leases die with its last use";
        found.push(Finding::error("login", what).mended_by(mender.role("token_num_uses=0")));
    }
    if auth.lease_duration == 0 {
        let what = "the login never runs out, so that one that is stolen is good for ever";
        let mend = mender.role("token_ttl=1h token_max_ttl=24h");
        found.push(Finding::error("login", what).mended_by(mend));
    }
    found
}

fn kind(token: &Token, examination: &Examination, mender: &Mender) -> Option<Finding> {
    if token.kind != "batch" {
        let what = "the login can't be renewed, so that all that hangs on it is replaced each time";
        let finding = Finding::warning("login", what).mended_by(mender.role("token_type=service"));
        return (!token.renewable).then_some(finding);
    }
    let mend = mender.role("token_type=service");
    Some(if examination.token_role.is_some() {
        let what = "the login is a batch token, which can't make anchors";
        Finding::error("login", what).mended_by(mend)
    } else {
        let what = "the login is a batch token: it can't be renewed or given back, and each lease ends \
                    with it";
        Finding::warning("login", what).mended_by(mend)
    })
}

fn lifetime(token: &Token, mender: &Mender) -> Option<Finding> {
    let short = token.ttl > 0 && token.ttl < FLOOR;
    short.then(|| {
        let what = format!(
            "the login lives for {} s, which the failover of a cluster alone can outlast: {FLOOR} s is \
             the least",
            token.ttl
        );
        let settings = if token.period > 0 {
            "token_period=1h"
        } else {
            "token_ttl=1h token_max_ttl=24h"
        };
        Finding::error("login", what).mended_by(mender.role(settings))
    })
}

/// Says what leases hang on.
fn hold(token: &Token, examination: &Examination, mender: &Mender) -> Option<Finding> {
    let leases = examination
        .credentials
        .iter()
        .any(|(_, source)| matches!(source, leasehold_provider::Source::Leased { .. }));
    if examination.token_role.is_some() || !leases {
        return None;
    }
    if token.period > 0 && token.explicit_max_ttl == 0 {
        return Some(Finding::ok(
            "anchor",
            "leases hang on the login, which can be renewed for ever",
        ));
    }
    let what = "leases hang on the login and end with it at its max TTL; with the token role that this \
                command makes, and `anchor: { token_role: leasehold }` at the provider, they hang on \
                anchors that last";
    Some(Finding::warning("anchor", what).mended_by(mender.anchors("leasehold", false)))
}

/// The least lifetime in seconds: the failover of a cluster alone takes more than twelve.
pub(super) const FLOOR: u64 = 30;
