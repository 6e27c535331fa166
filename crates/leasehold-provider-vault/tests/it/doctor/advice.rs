//! The command that a finding comes with must do what it says and nothing else.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use leasehold_provider::Source;
use leasehold_provider_vault::{AuthMethod, Severity, TokenFile};
use leasehold_testkit::{Lab, OpenBao, Scratch};
use serde_json::json;

use super::{POLICY, Patient};

#[tokio::test]
async fn the_life_of_leased_certificates_is_mended_at_their_role_and_none_is_issued_for_it()
-> Result<()> {
    let lab = Lab::start().await?;
    let role = json!({ "allow_any_name": true, "ttl": "10s", "generate_lease": true,
                       "key_type": "ec", "key_bits": 256 });
    lab.openbao
        .api("POST", "pki/roles/brief", Some(role))
        .await?;
    let mut patient = certified(&lab, "pki/issue/brief").await?;
    let report = patient.visit().await;
    let unseen = report.findings.iter().find(|it| it.check == "ttl");
    let unseen = unseen.with_context(|| format!("{report:#?}"))?;
    ensure!(
        unseen.mend.as_deref() == Some("bao read pki/roles/brief"),
        "{unseen:#?}"
    );
    patient.examination.issue = true;
    // The server counts in whole seconds from a moment before it answers.
    let brief = patient
        .find("ttl", "which the failover of a cluster")
        .await?;
    lab.openbao
        .shell(brief.mend.as_deref().context("a command")?)
        .await?;
    patient.is_well().await
}

#[tokio::test]
async fn a_path_that_makes_no_leases_is_told_as_that_and_nothing_is_revoked() -> Result<()> {
    let lab = Lab::start().await?;
    let mut patient = certified(&lab, "pki/issue/nolease").await?;
    patient.examination.issue = true;
    let found = patient.find("issue", "carries no lease").await?;
    ensure!(
        found.mend.as_deref() == Some("bao read pki/roles/nolease"),
        "{found:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_file_that_can_not_be_read_is_told_with_what_the_system_said() -> Result<()> {
    let lab = Lab::start().await?;
    let mut patient = Patient::of(&lab).await?;
    patient.config.ca = Some(PathBuf::from("/nonexistent/ca.pem"));
    patient.find("setup", "No such file").await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_login_names_the_role_to_look_at() -> Result<()> {
    let lab = Lab::start().await?;
    let mut patient = Patient::of(&lab).await?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("token");
    std::fs::write(&file, "canary.of.jwt")?;
    let (mount, role) = ("jwt".to_owned(), "edge gateway".to_owned());
    patient.config.auth = AuthMethod::Jwt(TokenFile { mount, role, file });
    let found = patient.find("login", "the login failed").await?;
    ensure!(
        found.mend.as_deref() == Some("bao read 'auth/jwt/role/edge gateway'"),
        "{found:#?}"
    );
    ensure!(!format!("{found:?}").contains("canary"), "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn a_server_reached_by_the_wrong_scheme_or_authority_is_told_as_that() -> Result<()> {
    let lab = Lab::start().await?;
    let scratch = Scratch::new()?;
    let bao = OpenBao::start_with_tls(scratch.path()).await?;
    let (tls, _ca) = bao.tls_address()?;
    let plain = lab.openbao.address();
    for (address, what) in [
        (
            tls.replace("https", "http"),
            "are its scheme, host and port right",
        ),
        (plain.replace("http", "https"), "it does not speak TLS"),
        (tls, "name the file of its authority in `ca`"),
    ] {
        let mut patient = Patient::of(&lab).await?;
        patient.config.addresses = vec![address.parse()?];
        let report = patient.visit().await;
        let told = report.findings.iter().any(|it| {
            it.check == "server" && it.severity == Severity::Error && it.what.contains(what)
        });
        ensure!(told, "{address}: {report:#?}");
    }
    Ok(())
}

/// One whose only credential is a certificate on a lease.
async fn certified<'a>(lab: &'a Lab, path: &str) -> Result<Patient<'a>> {
    let mut patient = Patient::of(lab).await?;
    let path = path.to_owned();
    let rule = format!("path \"{path}\" {{ capabilities = [\"update\"] }}");
    patient.plant(&format!("{POLICY}\n{rule}")).await?;
    let parameters = [("common_name".to_owned(), "a.example.com".to_owned())].into();
    let leased = Source::Leased { path, parameters };
    patient.examination.credentials = vec![("certificate".into(), leased)];
    Ok(patient)
}
