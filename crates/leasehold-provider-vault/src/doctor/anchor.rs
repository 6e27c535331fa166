use serde::Deserialize;

use super::mend::Mender;
use super::rights::Rights;
use super::visit::{Sample, Seen, Token, Visit};
use super::{Finding, Need, Report, Severity};

/// Looks at the token role that anchors are made through, by making one.
pub(super) async fn examine(
    visit: &Visit,
    role: &str,
    needs: &[Need],
    mender: &Mender,
    report: &mut Report,
) {
    let declared: Seen<TokenRole> = visit.look(&format!("auth/token/roles/{role}")).await;
    if matches!(declared, Seen::Absent) {
        let what = format!("there is no token role {role}");
        report.push(Finding::error("anchor", what).mended_by(mender.anchors(role, false)));
        return;
    }
    let sample = match visit.mint(role).await {
        Seen::It(sample) => sample,
        other => {
            let what = format!(
                "no anchor can be made through token role {role}: {}",
                other.why_not()
            );
            let mend = match other {
                Seen::Denied => mender.policy(),
                _ => mender.anchors(role, !matches!(declared, Seen::Denied | Seen::Failed(_))),
            };
            report.push(Finding::error("anchor", what).mended_by(mend));
            return;
        }
    };
    let seen = look_at(&sample, role, declared, needs, mender).await;
    report.extend(seen);
    report.extend(sample.close().await);
}

async fn look_at(
    sample: &Sample<'_>,
    role: &str,
    declared: Seen<TokenRole>,
    needs: &[Need],
    mender: &Mender,
) -> Vec<Finding> {
    let made = match sample.token().await {
        Ok(made) => made,
        Err(reason) => {
            let what = format!("an anchor that was made can't look itself up: {reason}");
            let mend = mender.write(
                &format!("auth/token/roles/{role}"),
                "token_no_default_policy=false",
            );
            return vec![Finding::error("anchor", what).mended_by(mend)];
        }
    };
    let declared = match declared {
        Seen::It(declared) => Some(declared),
        Seen::Denied | Seen::Absent | Seen::Failed(_) => None,
    };
    let mut found = rights(sample, needs, mender).await;
    let is_periodic = is_periodic(sample, &made).await;
    let faults = faults(&made, is_periodic, declared.as_ref());
    let faults = faults.into_iter().map(|fault| {
        let what = format!("anchors of token role {role} {fault}");
        Finding::error("anchor", what).mended_by(mender.anchors(role, true))
    });
    found.extend(faults);
    if declared.is_none() {
        // The role caps its tokens when they are renewed, and no token shows it before.
        let what = format!(
            "whether token role {role} has an explicit max TTL, which it should not, can't be seen"
        );
        let read = mender.run_on("read", &format!("auth/token/roles/{role}"));
        found.push(Finding::warning("anchor-limit", what).mended_by(read));
    }
    if found.iter().all(|it| it.severity < Severity::Error) {
        let what = format!("anchors of token role {role} stand alone and can be renewed for ever");
        found.push(Finding::ok("anchor", what));
    }
    found
}

/// Tells whether an anchor has a period, by trying: one that has is always renewed for that, and any
/// other for as long as it is asked to. A token that was made through a role does not show its period.
async fn is_periodic(sample: &Sample<'_>, made: &Token) -> bool {
    let shorter = made.ttl / 2;
    sample
        .renew(shorter)
        .await
        .is_some_and(|granted| granted > shorter)
}

/// What is wrong with an anchor as it came out, or with what its role says.
fn faults(made: &Token, is_periodic: bool, declared: Option<&TokenRole>) -> Vec<&'static str> {
    let mut faults = Vec::new();
    if made.kind == "batch" {
        return vec!["are batch tokens, which can't be renewed or revoked"];
    }
    if !made.orphan {
        faults.push("die with the login that made them");
    }
    if !made.renewable {
        faults.push("can't be renewed");
    } else if !is_periodic {
        faults.push("have no period, so that they end at a max TTL");
    }
    if made.explicit_max_ttl != 0 || declared.is_some_and(TokenRole::has_an_end) {
        faults.push("have an explicit max TTL and end with it");
    }
    faults
}

async fn rights(sample: &Sample<'_>, needs: &[Need], mender: &Mender) -> Vec<Finding> {
    let needed = needs.iter().filter(|it| it.of_credential);
    let paths: Vec<String> = needed.clone().map(|it| it.path.clone()).collect();
    if paths.is_empty() {
        return Vec::new();
    }
    let missing = match sample.capabilities(&paths).await {
        Seen::It(rights) => Rights(rights).missing(needed),
        other => vec![format!("be asked what it may do: {}", other.why_not())],
    };
    let finding = |what| {
        Finding::error("missing", format!("an anchor may not {what}")).mended_by(mender.policy())
    };
    missing.into_iter().map(finding).collect()
}

#[derive(Debug, Deserialize)]
struct TokenRole {
    #[serde(default)]
    explicit_max_ttl: u64,
    #[serde(default)]
    token_explicit_max_ttl: u64,
}

impl TokenRole {
    const fn has_an_end(&self) -> bool {
        self.explicit_max_ttl != 0 || self.token_explicit_max_ttl != 0
    }
}
