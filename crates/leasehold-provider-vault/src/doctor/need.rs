use std::collections::BTreeMap;

use leasehold_model::{CredentialName, JwtKey};
use leasehold_provider::Source;

/// A path that the gateway calls, and the capability that it needs for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) path: String,
    pub(super) capability: &'static str,
    /// What it is for, in words.
    pub(super) purpose: String,
    /// Whether it is the path of a credential, so that an anchor needs it too.
    pub(super) of_credential: bool,
}

/// Lists all that a gateway needs for these credentials: that, and nothing more.
pub(super) fn of(credentials: &[(CredentialName, Source)], token_role: Option<&str>) -> Vec<Need> {
    let mut needs: Vec<Need> = credentials
        .iter()
        .flat_map(|(name, source)| {
            fetched(source)
                .into_iter()
                .map(move |(path, capability)| Need {
                    path,
                    capability,
                    purpose: format!("fetch credential {name}"),
                    of_credential: true,
                })
        })
        .collect();
    needs.extend(ALWAYS.iter().map(|it| own(it.0, it.1, it.2)));
    needs.extend(token_role.into_iter().flat_map(of_anchors));
    needs
}

/// Lists what a gateway needs to make anchors through a token role and to look after them.
pub(super) fn of_anchors(token_role: &str) -> Vec<Need> {
    let mint = format!("auth/token/create/{token_role}");
    let mint = own(&mint, "update", "make anchors");
    let care = ANCHORS.iter().map(|it| own(it.0, it.1, it.2));
    std::iter::once(mint).chain(care).collect()
}

/// Writes the policy that grants what is needed, for `policy write`.
pub(super) fn policy(needs: &[Need]) -> String {
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for need in needs {
        let capabilities = paths.entry(&need.path).or_default();
        if !capabilities.contains(&need.capability) {
            capabilities.push(need.capability);
        }
    }
    let rule = |(path, capabilities): (&&str, &Vec<&str>)| {
        format!("path {path:?} {{ capabilities = {capabilities:?} }}\n")
    };
    paths.iter().map(rule).collect()
}

fn own(path: &str, capability: &'static str, purpose: &str) -> Need {
    Need {
        path: path.to_owned(),
        capability,
        purpose: purpose.to_owned(),
        of_credential: false,
    }
}

fn fetched(source: &Source) -> Vec<(String, &'static str)> {
    let one = match source {
        Source::Minted { key, .. } => return signed(key),
        Source::Leased { path, parameters } if parameters.is_empty() => (bare(path), "read"),
        Source::Leased { path, .. } | Source::Certificate { path, .. } => (bare(path), "update"),
        Source::Rotating { path } | Source::Hinted { path } => (bare(path), "read"),
        Source::Versioned { mount, path } => {
            (format!("{}/data/{}", bare(mount), bare(path)), "read")
        }
        // Nothing that Vault would be asked for.
        Source::Token { .. } => (String::new(), "read"),
    };
    vec![one]
}

/// What it takes to have a token signed: which version of the key is the latest, and its signature.
fn signed(key: &JwtKey) -> Vec<(String, &'static str)> {
    let JwtKey::Transit { mount, name } = key else {
        return Vec::new();
    };
    let mount = bare(mount);
    vec![
        (format!("{mount}/keys/{name}"), "read"),
        (format!("{mount}/sign/{name}"), "update"),
    ]
}

fn bare(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

const ALWAYS: [(&str, &str, &str); 6] = [
    (
        "auth/token/lookup-self",
        "read",
        "tell a dead login from a forbidden call",
    ),
    ("auth/token/renew-self", "update", "prolong the login"),
    ("auth/token/revoke-self", "update", "give the login back"),
    (
        "sys/capabilities-self",
        "update",
        "be looked at by this command",
    ),
    ("sys/leases/renew", "update", "renew leases"),
    ("sys/leases/revoke", "update", "revoke leases"),
];
const ANCHORS: [(&str, &str, &str); 2] = [
    ("auth/token/renew-accessor", "update", "prolong anchors"),
    ("auth/token/revoke-accessor", "update", "end anchors"),
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use leasehold_model::{ClaimText, JwtAlgorithm, JwtTerms};

    use super::*;

    fn terms() -> Arc<JwtTerms> {
        Arc::new(JwtTerms {
            algorithm: JwtAlgorithm::Es256,
            issuer: "i".to_owned(),
            audiences: vec!["a".to_owned()],
            subject: ClaimText(Vec::new()),
            claims: BTreeMap::new(),
            lifetime: Duration::from_secs(60),
        })
    }

    #[test]
    fn a_policy_names_each_path_once_and_grants_nothing_that_is_not_needed() {
        let leased = |path: &str| Source::Leased {
            path: path.to_owned(),
            parameters: BTreeMap::new(),
        };
        let stored = Source::Versioned {
            mount: "kv/".to_owned(),
            path: "app".to_owned(),
        };
        let credentials = [
            (CredentialName::from("a"), leased("database/creds/app")),
            (CredentialName::from("b"), leased("/database/creds/app")),
            (CredentialName::from("c"), stored),
        ];
        let policy = policy(&of(&credentials, Some("leasehold")));
        assert_eq!(policy.matches("database/creds/app").count(), 1, "{policy}");
        assert!(policy.contains("path \"kv/data/app\" { capabilities = [\"read\"] }\n"));
        assert!(policy.contains("path \"auth/token/create/leasehold\""));
        let token = Source::Minted {
            key: JwtKey::Transit {
                mount: "transit/".to_owned(),
                name: "partner".to_owned(),
            },
            terms: terms(),
            consumer: None,
        };
        let signing = self::policy(&of(&[(CredentialName::from("d"), token)], None));
        assert!(signing.contains("path \"transit/keys/partner\" { capabilities = [\"read\"] }\n"));
        assert!(
            signing.contains("path \"transit/sign/partner\" { capabilities = [\"update\"] }\n")
        );
        assert!(
            !policy.contains('*') && !policy.contains("sudo"),
            "{policy}"
        );
    }
}
