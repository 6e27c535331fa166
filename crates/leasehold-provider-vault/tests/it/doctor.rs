//! What `leasehold doctor` finds at a real OpenBao: each fault is planted, found, and mended by the
//! command that the finding came with.

mod advice;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use leasehold_model::{BootTime, Clock, CredentialName, SystemClock};
use leasehold_provider::Source;
use leasehold_provider_vault::{
    AppRole, AuthMethod, Examination, Finding, Report, SecretId, Severity, VaultConfig, examine,
};
use leasehold_testkit::Lab;
use serde_json::{Value, json};

#[tokio::test]
async fn a_well_set_up_server_gives_no_error_and_nothing_stays_behind() -> Result<()> {
    let lab = Lab::start().await?;
    let before = tokens(&lab).await?;
    let report = Patient::of(&lab).await?.visit().await;
    ensure!(report.looked, "{report:#?}");
    ensure!(worst(&report).is_none(), "{report:#?}");
    for check in ["server", "clock", "login", "rights", "anchor"] {
        let found = report
            .findings
            .iter()
            .any(|it| it.check == check && it.severity == Severity::Ok);
        ensure!(found, "{check} is not ok: {report:#?}");
    }
    ensure!(tokens(&lab).await? == before, "a token stays behind");
    ensure!(leases(&lab).await? == 0, "a lease stays behind");
    Ok(())
}

#[tokio::test]
async fn each_right_that_is_missing_is_found_and_its_command_grants_it() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    for (without, what) in [
        ("sys/leases/revoke\"", "revoke leases"),
        ("database/creds/*", "fetch credential db"),
        ("auth/token/create/leasehold", "make anchors"),
    ] {
        let policy: Vec<&str> = POLICY.lines().filter(|it| !it.contains(without)).collect();
        patient.plant(&policy.join("\n")).await?;
        let found = patient.find("missing", what).await?;
        lab.openbao
            .shell(found.mend.as_deref().context("a command")?)
            .await?;
        patient
            .is_well()
            .await
            .with_context(|| format!("after {found:#?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_login_without_the_default_policy_that_can_not_renew_is_mended() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    let looking = "path \"sys/capabilities-self\" { capabilities = [\"update\"] }\n\
                   path \"auth/token/*\" { capabilities = [\"read\", \"update\"] }";
    let policy: Vec<&str> = POLICY
        .lines()
        .filter(|it| !it.contains("sys/leases/renew"))
        .collect();
    patient
        .plant(&format!("{}\n{looking}", policy.join("\n")))
        .await?;
    let role = "auth/approle/role/gateway";
    let without = json!({ "token_no_default_policy": true });
    lab.openbao.api("POST", role, Some(without)).await?;
    let found = patient.find("missing", "renew leases").await?;
    lab.openbao
        .shell(found.mend.as_deref().context("a command")?)
        .await?;
    patient.is_well().await
}

#[tokio::test]
async fn each_right_too_much_is_found_and_its_command_takes_it_away() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    for (rule, check, what) in [
        (
            r#"path "sys/raw/*" { capabilities = ["read", "sudo"] }"#,
            "sudo",
            "sys/raw/",
        ),
        (
            r#"path "*" { capabilities = ["create", "update", "delete"] }"#,
            "wide",
            "update",
        ),
        (
            r#"path "kv/data/app" { capabilities = ["read", "update"] }"#,
            "write",
            "update on kv/data/app",
        ),
        (
            r#"path "database/roles/*" { capabilities = ["update"] }"#,
            "wide",
            "database/roles/app",
        ),
        (
            r#"path "sys/*" { capabilities = ["read"] }"#,
            "wide",
            "read on sys/",
        ),
        (
            r#"path "auth/approle/role/+/secret-id" { capabilities = ["update"] }"#,
            "wide",
            "secret-id",
        ),
    ] {
        let policy: Vec<&str> = POLICY
            .lines()
            .filter(|it| !rule.contains("kv/data/app") || !it.contains("kv/data"))
            .collect();
        patient
            .plant(&format!("{}\n{rule}", policy.join("\n")))
            .await?;
        let found = patient.find(check, what).await?;
        lab.openbao
            .shell(found.mend.as_deref().context("a command")?)
            .await?;
        patient
            .is_well()
            .await
            .with_context(|| format!("after {found:#?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_policy_that_may_be_read_is_judged_by_its_text_at_paths_that_nobody_tries() -> Result<()>
{
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    let hidden = r#"path "sys/storage/raft/snapshot" { capabilities = ["read", "sudo"] }"#;
    patient.plant(&format!("{POLICY}\n{hidden}")).await?;
    // At no path that is tried, and its text is closed: that can't be found.
    patient.is_well().await?;
    let reading = r#"path "sys/policies/acl/gateway" { capabilities = ["read"] }"#;
    patient
        .plant(&format!("{POLICY}\n{hidden}\n{reading}"))
        .await?;
    let found = patient
        .find("policy", "sudo on sys/storage/raft/snapshot")
        .await?;
    lab.openbao
        .shell(found.mend.as_deref().context("a command")?)
        .await?;
    patient.is_well().await
}

#[tokio::test]
async fn a_login_that_must_not_be_lived_on_is_found_and_mended() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    let role = "auth/approle/role/gateway";
    for (settings, check, what) in [
        (json!({ "token_num_uses": 50 }), "login", "limited number"),
        (
            json!({ "token_ttl": "10s", "token_max_ttl": "1h" }),
            "login",
            "lives for",
        ),
        (json!({ "token_type": "batch" }), "login", "batch token"),
    ] {
        lab.openbao.api("POST", role, Some(settings)).await?;
        let found = patient.find(check, what).await?;
        lab.openbao
            .shell(found.mend.as_deref().context("a command")?)
            .await?;
        patient
            .is_well()
            .await
            .with_context(|| format!("after {found:#?}"))?;
    }
    // OpenBao refuses by itself to make a root token at a login: there is nothing to look with.
    lab.openbao
        .api("POST", role, Some(json!({ "token_policies": "root" })))
        .await?;
    let report = patient.visit().await;
    ensure!(!report.looked, "{report:#?}");
    let found = worst(&report).context("a finding")?;
    ensure!(
        found.what.contains("cannot create root tokens"),
        "{found:#?}"
    );
    ensure!(
        found
            .mend
            .as_ref()
            .is_some_and(|it| it.contains("token_policies=")),
        "{found:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_token_role_that_no_anchor_can_live_by_is_found_and_mended() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    let role = "auth/token/roles/leasehold";
    for (settings, what) in [
        (json!({ "token_period": 0 }), "no period"),
        (json!({ "orphan": false }), "die with the login"),
        (json!({ "renewable": false }), "can't be renewed"),
        (
            json!({ "allowed_policies": "default" }),
            "an anchor may not fetch credential db",
        ),
    ] {
        lab.openbao.api("POST", role, Some(settings)).await?;
        let report = patient.visit().await;
        let found = report.findings.iter().find(|it| it.what.contains(what));
        let found = found.with_context(|| format!("{what}: {report:#?}"))?;
        ensure!(found.severity == Severity::Error, "{found:#?}");
        lab.openbao
            .shell(found.mend.as_deref().context("a command")?)
            .await?;
        patient
            .is_well()
            .await
            .with_context(|| format!("after {found:#?}"))?;
    }
    let readable = format!("{POLICY}\npath {role:?} {{ capabilities = [\"read\"] }}");
    patient.plant(&readable).await?;
    let ends = json!({ "token_explicit_max_ttl": "24h" });
    lab.openbao.api("POST", role, Some(ends)).await?;
    let found = patient.find("anchor", "explicit max TTL").await?;
    lab.openbao
        .shell(found.mend.as_deref().context("a command")?)
        .await?;
    patient.is_well().await?;
    lab.openbao.api("DELETE", role, None).await?;
    let found = patient.find("anchor", "leasehold").await?;
    lab.openbao
        .shell(found.mend.as_deref().context("a command")?)
        .await?;
    patient.is_well().await
}

#[tokio::test]
async fn without_anchors_the_command_that_is_offered_makes_them_possible() -> Result<()> {
    let lab = Lab::start().await?;
    let mut patient = Patient::of(&lab).await?;
    lab.openbao
        .api("DELETE", "auth/token/roles/leasehold", None)
        .await?;
    patient.examination.token_role = None;
    let report = patient.visit().await;
    let offered = report.findings.iter().find(|it| it.check == "anchor");
    let offered = offered.with_context(|| format!("{report:#?}"))?;
    ensure!(offered.severity == Severity::Warning, "{offered:#?}");
    lab.openbao
        .shell(offered.mend.as_deref().context("a command")?)
        .await?;
    patient.examination.token_role = Some("leasehold".to_owned());
    patient.is_well().await
}

#[tokio::test]
async fn leases_too_short_to_outlast_a_failover_are_found_by_reading_or_by_issuing() -> Result<()> {
    let lab = Lab::start().await?;
    lab.create_db_role("app", "10s", "1h").await?;
    let mut patient = Patient::of(&lab).await?;
    let unseen = patient.visit().await;
    let unseen = unseen
        .findings
        .iter()
        .find(|it| it.check == "ttl")
        .context("a finding")?;
    ensure!(
        unseen.severity == Severity::Warning && unseen.what.contains("--issue"),
        "{unseen:#?}"
    );

    patient.examination.issue = true;
    let issued = patient.find("ttl", "10 s").await?;
    ensure!(
        leases(&lab).await? == 0,
        "the lease that was issued stays behind"
    );
    ensure!(
        lab.postgres.login_roles_like("v-").await?.is_empty(),
        "a user stays behind"
    );

    patient.examination.issue = false;
    let reading = r#"path "database/roles/app" { capabilities = ["read"] }"#;
    patient.plant(&format!("{POLICY}\n{reading}")).await?;
    let read = patient.find("ttl", "10 s").await?;
    ensure!(read.mend == issued.mend, "{read:#?}");
    lab.openbao
        .shell(read.mend.as_deref().context("a command")?)
        .await?;
    let report = patient.visit().await;
    let ttl = report
        .findings
        .iter()
        .find(|it| it.check == "ttl")
        .context("a finding")?;
    ensure!(
        ttl.severity == Severity::Ok && ttl.what.contains("3600 s"),
        "{ttl:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_an_administrator_sees_of_the_audit_is_seen_where_the_policy_allows() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    let report = patient.visit().await;
    let unseen: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.what.contains("be seen"))
        .map(|it| it.check)
        .collect();
    ensure!(
        unseen == ["anchor-limit", "ttl", "audit", "header"],
        "{report:#?}"
    );
    let looking = r#"
path "sys/audit" { capabilities = ["read", "sudo"] }
path "sys/config/auditing/request-headers" { capabilities = ["read", "sudo"] }"#;
    patient.plant(&format!("{POLICY}{looking}")).await?;
    let report = patient.visit().await;
    let of =
        |report: &Report, check: &str| report.findings.iter().find(|it| it.check == check).cloned();
    ensure!(
        of(&report, "audit").is_some_and(|it| it.severity == Severity::Ok),
        "{report:#?}"
    );
    let header = of(&report, "header").context("a finding")?;
    ensure!(header.severity == Severity::Warning, "{header:#?}");
    lab.openbao
        .shell(header.mend.as_deref().context("a command")?)
        .await?;
    let report = patient.visit().await;
    ensure!(
        of(&report, "header").is_some_and(|it| it.severity == Severity::Ok),
        "{report:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_off_is_found() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    for (seconds, severity) in [(3, Severity::Warning), (60, Severity::Error)] {
        let report = examine(&patient.config, &patient.examination, &Off(seconds)).await;
        let clock = report
            .findings
            .iter()
            .find(|it| it.check == "clock")
            .context("a finding")?;
        ensure!(
            clock.severity == severity && clock.mend.is_some(),
            "{clock:#?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_sealed_or_refuses_the_login_can_not_be_looked_at() -> Result<()> {
    let lab = Lab::start().await?;
    let patient = Patient::of(&lab).await?;
    std::fs::write(lab.dir().join("gateway.secret-id"), "canary-secret-id")?;
    let refused = patient.visit().await;
    ensure!(
        !refused.looked && !format!("{refused:?}").contains("canary"),
        "{refused:#?}"
    );
    let found = worst(&refused).context("a finding")?;
    ensure!(
        found
            .mend
            .as_ref()
            .is_some_and(|it| it.contains("secret-id")),
        "{found:#?}"
    );
    lab.openbao.seal().await?;
    let sealed = patient.visit().await;
    let found = worst(&sealed).context("a finding")?;
    ensure!(
        !sealed.looked && found.mend.as_deref() == Some("bao operator unseal"),
        "{found:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrapped_secret_id_is_left_for_the_gateway() -> Result<()> {
    let lab = Lab::start().await?;
    let mut patient = Patient::of(&lab).await?;
    let before = tokens(&lab).await?;
    if let AuthMethod::AppRole(approle) = &mut patient.config.auth {
        approle.secret_id = SecretId::Wrapped(lab.dir().join("gateway.secret-id"));
    }
    let report = patient.visit().await;
    let found = worst(&report).context("a finding")?;
    ensure!(
        !report.looked && found.what.contains("wrapped"),
        "{found:#?}"
    );
    ensure!(tokens(&lab).await? == before, "somebody logged in");
    Ok(())
}

/// A configuration to be looked at, with the policy of its login.
struct Patient<'a> {
    lab: &'a Lab,
    config: VaultConfig,
    examination: Examination,
}

impl<'a> Patient<'a> {
    /// Sets one up as it should be: the lab's own policy and what anchors need besides.
    async fn of(lab: &'a Lab) -> Result<Self> {
        let approle = lab.approle("gateway").await?;
        let patient = Self {
            lab,
            config: VaultConfig {
                name: "vault".into(),
                addresses: vec![lab.openbao.address().parse()?],
                namespace: None,
                ca: None,
                auth: AuthMethod::AppRole(AppRole {
                    mount: "approle".to_owned(),
                    role_id: approle.role_id,
                    secret_id: SecretId::File(approle.secret_id_file),
                }),
                instance: "edge-test".into(),
                token_role: Some("leasehold".to_owned()),
            },
            examination: Examination {
                credentials: credentials(),
                token_role: Some("leasehold".to_owned()),
                issue: false,
            },
        };
        patient.plant(POLICY).await?;
        Ok(patient)
    }

    /// Gives login and anchors the policy `gateway` again, with this text.
    async fn plant(&self, policy: &str) -> Result<()> {
        let bao = &self.lab.openbao;
        bao.api(
            "POST",
            "sys/policies/acl/gateway",
            Some(json!({ "policy": policy })),
        )
        .await?;
        let login = json!({ "token_policies": "gateway" });
        bao.api("POST", "auth/approle/role/gateway", Some(login))
            .await?;
        let anchors = json!({ "allowed_policies": "gateway" });
        bao.api("POST", "auth/token/roles/leasehold", Some(anchors))
            .await?;
        Ok(())
    }

    async fn visit(&self) -> Report {
        examine(&self.config, &self.examination, &SystemClock).await
    }

    async fn find(&self, check: &str, what: &str) -> Result<Finding> {
        let report = self.visit().await;
        let mut found = report.findings.iter();
        let found = found.find(|it| it.check == check && it.what.contains(what));
        let found = found.with_context(|| format!("{check}: {what}: {report:#?}"))?;
        ensure!(found.severity == Severity::Error, "{found:#?}");
        Ok(found.clone())
    }

    async fn is_well(&self) -> Result<()> {
        let report = self.visit().await;
        ensure!(report.looked && worst(&report).is_none(), "{report:#?}");
        Ok(())
    }
}

fn credentials() -> Vec<(CredentialName, Source)> {
    let leased = Source::Leased {
        path: "database/creds/app".to_owned(),
        parameters: BTreeMap::new(),
    };
    let stored = Source::Versioned {
        mount: "kv".to_owned(),
        path: "app".to_owned(),
    };
    vec![("db".into(), leased), ("key".into(), stored)]
}

fn worst(report: &Report) -> Option<&Finding> {
    report
        .findings
        .iter()
        .find(|it| it.severity == Severity::Error)
}

async fn tokens(lab: &Lab) -> Result<usize> {
    let answer = lab
        .openbao
        .api("LIST", "auth/token/accessors", None)
        .await?;
    let keys = answer.pointer("/data/keys").and_then(Value::as_array);
    Ok(keys.context("accessors")?.len())
}

async fn leases(lab: &Lab) -> Result<usize> {
    let path = "sys/leases/lookup/database/creds/app";
    let answer = lab
        .openbao
        .call(lab.openbao.root_token(), "LIST", path, None)
        .await?;
    let keys = answer.body.pointer("/data/keys").and_then(Value::as_array);
    Ok(keys.map_or(0, Vec::len))
}

/// A clock that is off by so many seconds.
#[derive(Debug)]
struct Off(u64);

impl Clock for Off {
    fn boot(&self) -> BootTime {
        SystemClock.boot()
    }

    fn wall(&self) -> SystemTime {
        SystemClock.wall() + Duration::from_secs(self.0)
    }
}

const POLICY: &str = r#"
path "database/creds/*" { capabilities = ["read"] }
path "kv/data/*" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
path "auth/token/create/leasehold" { capabilities = ["update"] }
path "auth/token/renew-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
"#;
