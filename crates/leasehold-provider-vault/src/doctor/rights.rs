use std::collections::BTreeMap;

use serde::Deserialize;

use super::mend::Mender;
use super::roles::Maker;
use super::visit::{Seen, Token, Visit};
use super::{Finding, Need, Report, policy};

/// Compares what the login may do with what it needs.
pub(super) async fn examine(
    visit: &Visit,
    needs: &[Need],
    login_role: Option<&str>,
    mender: &Mender,
    report: &mut Report,
) {
    let probes = probes(needs, login_role);
    let needed = needs.iter().map(|it| it.path.clone());
    let paths: Vec<String> = needed.chain(probes.iter().cloned()).collect();
    let rights = match visit.capabilities(&paths).await {
        Seen::It(rights) => Rights(rights),
        other => {
            let what = format!("what the login may do can't be seen: {}", other.why_not());
            report.push(Finding::error("rights", what).mended_by(mender.policy()));
            return;
        }
    };
    let token = visit.token().await.ok();
    let texts = texts(visit, token.as_ref()).await;
    let missing: Vec<String> = rights.missing(needs.iter());
    let mut excess = excess(&rights, needs, &probes);
    excess.extend(texts.wide);
    if missing.is_empty() && excess.is_empty() {
        let what = format!(
            "the login may do all that it needs and nothing more, as far as {} paths and the text of {} \
             of its policies tell",
            paths.len(),
            texts.read
        );
        report.push(Finding::ok("rights", what));
        return;
    }
    report.extend(missing.into_iter().map(|what| {
        Finding::error("missing", format!("the login may not {what}")).mended_by(mender.policy())
    }));
    let identity = token.as_ref().and_then(by_identity);
    report.extend(excess.into_iter().map(|(check, what)| {
        let finding = Finding::error(check, what);
        // What an entity brings along is not taken away by the role's own policy.
        match &identity {
            Some((entity, _)) => {
                let strip = mender.write(&format!("identity/entity/id/{entity}"), "policies=");
                finding.mended_by(format!("{}\n{strip}", mender.policy()))
            }
            None => finding.mended_by(mender.policy()),
        }
    }));
}

/// What a token may do at each path that was asked about.
pub(super) struct Rights(pub(super) BTreeMap<String, Vec<String>>);

impl Rights {
    pub(super) fn at(&self, path: &str) -> &[String] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }

    /// Says in words what is needed and not there.
    pub(super) fn missing<'a>(&self, needs: impl Iterator<Item = &'a Need>) -> Vec<String> {
        let missing = needs.filter(|need| {
            let granted = self.at(&need.path);
            !granted
                .iter()
                .any(|it| it == need.capability || it == "root")
        });
        missing
            .map(|it| format!("{} ({} on {})", it.purpose, it.capability, it.path))
            .collect()
    }

    fn with(&self, path: &str, wanted: &[&str]) -> Vec<String> {
        let granted = self.at(path).iter();
        granted
            .filter(|it| wanted.contains(&it.as_str()))
            .cloned()
            .collect()
    }
}

/// What the texts of the login's policies say, where it may read them.
#[derive(Default)]
struct Texts {
    read: usize,
    wide: Vec<(&'static str, String)>,
}

async fn texts(visit: &Visit, token: Option<&Token>) -> Texts {
    let mut texts = Texts::default();
    let own = token.into_iter().flat_map(|it| {
        let identity = it.identity_policies.iter().flatten();
        it.policies.iter().chain(identity)
    });
    for name in own {
        let seen: Seen<PolicyText> = visit.look(&format!("sys/policies/acl/{name}")).await;
        if let Seen::It(PolicyText { policy }) = seen {
            texts.read += 1;
            let wide = policy::too_wide(&policy);
            if !wide.is_empty() {
                let rules = wide.join("; ");
                let what = format!("policy {name} grants what no gateway needs: {rules}");
                texts.wide.push(("policy", what));
            }
        }
    }
    texts
}

#[derive(Deserialize)]
struct PolicyText {
    policy: String,
}

fn excess(rights: &Rights, needs: &[Need], probes: &[String]) -> Vec<(&'static str, String)> {
    let everywhere = || needs.iter().map(|it| &it.path).chain(probes);
    if everywhere().any(|path| !rights.with(path, &["root"]).is_empty()) {
        let what = "the login has the root policy, by which it may do everything";
        return vec![("root", what.to_owned())];
    }
    let mut found = Vec::new();
    let sudo = listed(rights, everywhere(), |_| &["sudo"]);
    found.extend(sudo.map(|at| {
        (
            "sudo",
            format!("the login has sudo, which no gateway needs: {at}"),
        )
    }));
    let own = needs.iter().filter(|it| it.of_credential);
    let update: Vec<&String> = own
        .clone()
        .filter(|it| it.capability == "update")
        .map(|it| &it.path)
        .collect();
    let own = listed(rights, own.map(|it| &it.path), |path| {
        if update.contains(&path) {
            &["delete", "patch"]
        } else {
            WRITING
        }
    });
    found.extend(own.map(|at| {
        (
            "write",
            format!("the login may change the credentials that it is to fetch: {at}"),
        )
    }));
    let other = listed(rights, probes.iter(), |path| {
        if path == ANY_SYS {
            READING_AND_WRITING
        } else {
            WRITING
        }
    });
    found.extend(other.map(|at| {
        (
            "wide",
            format!("the login reaches what it has no business with: {at}"),
        )
    }));
    found
}

/// Lists the paths that have any of the capabilities, and which.
fn listed<'a>(
    rights: &Rights,
    paths: impl Iterator<Item = &'a String>,
    wanted: impl Fn(&'a String) -> &'static [&'static str],
) -> Option<String> {
    let mut found: Vec<String> = Vec::new();
    for path in paths {
        let granted = rights.with(path, wanted(path));
        let line = format!("{} on {path}", granted.join(", "));
        if !granted.is_empty() && !found.contains(&line) {
            found.push(line);
        }
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// Paths that a gateway has no business with; some of them exist nowhere, and what may be done there
/// may be done anywhere.
fn probes(needs: &[Need], login_role: Option<&str>) -> Vec<String> {
    let mut probes: Vec<String> = FOREIGN.iter().map(|it| (*it).to_owned()).collect();
    if let Some(role) = login_role {
        probes.push(role.to_owned());
        probes.push(format!("{role}/secret-id"));
    }
    for need in needs.iter().filter(|it| it.of_credential) {
        probes.extend(behind(&need.path));
    }
    probes.sort();
    probes.dedup();
    probes
}

/// The paths from which the credential of an engine is made.
fn behind(path: &str) -> Vec<String> {
    Maker::of(path).map_or_else(Vec::new, |it| {
        let config = format!("{}/config/leasehold-doctor-probe", it.mount);
        vec![it.role, config]
    })
}

/// The policies that a token has from its entity, where it has any.
fn by_identity(token: &Token) -> Option<(String, Vec<String>)> {
    let policies = token.identity_policies.clone().unwrap_or_default();
    (!policies.is_empty()).then(|| (token.entity_id.clone(), policies))
}

const WRITING: &[&str] = &["create", "update", "delete", "patch"];
const READING_AND_WRITING: &[&str] = &[
    "create", "update", "delete", "patch", "read", "list", "scan",
];
const ANY_SYS: &str = "sys/leasehold-doctor-probe";
const FOREIGN: [&str; 14] = [
    "leasehold-doctor-probe",
    "leasehold-doctor-probe/data/app",
    ANY_SYS,
    "sys/policies/acl/leasehold-doctor-probe",
    "sys/mounts/leasehold-doctor-probe",
    "sys/auth/leasehold-doctor-probe",
    "sys/audit",
    "sys/raw/leasehold-doctor-probe",
    "sys/seal",
    "sys/leases/revoke-prefix/leasehold-doctor-probe",
    "sys/leases/revoke-force/leasehold-doctor-probe",
    "auth/token/create",
    "auth/token/create-orphan",
    "identity/entity",
];
