use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use leasehold_model::Failure;
use leasehold_provider_vault::{AuthMethod, AwsCredentials, AwsIam, VaultProvider};
use leasehold_secret::read_env;

use super::aws_verifier::{AwsVault, Known, Verifier};
use super::log::Log;
use super::{denied, failed, live_a_session, provider_at};
use crate::bench::SESSION;

const LASTING: Known = Known {
    access_key: "AKIDEXAMPLE",
    secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYcanary",
    session_token: None,
};
const TEMPORARY: Known = Known {
    access_key: "ASIDEXAMPLE",
    secret_key: "temporary/canary",
    session_token: Some("session-canary=="),
};

fn vault(server_id: Option<&'static str>) -> Result<AwsVault> {
    AwsVault::start(Verifier {
        keys: vec![LASTING, TEMPORARY],
        region: "eu-west-1",
        host: "sts.eu-west-1.amazonaws.com",
        server_id,
    })
}

const RUN_BY_ITSELF: &str = "LEASEHOLD_TEST_RUN_BY_ITSELF";

struct Keys {
    dir: tempfile::TempDir,
}

impl Keys {
    /// Writes a file of access keys with a profile for each.
    fn write(profiles: &[(&str, &Known)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let keys = Self { dir };
        keys.replace(profiles)?;
        Ok(keys)
    }

    fn replace(&self, profiles: &[(&str, &Known)]) -> Result<()> {
        let mut text = String::new();
        for (profile, known) in profiles {
            text.push_str(&format!(
                "[{profile}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                known.access_key, known.secret_key
            ));
            if let Some(token) = known.session_token {
                text.push_str(&format!("aws_session_token = {token}\n"));
            }
        }
        std::fs::write(self.file(), text)?;
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("credentials")
    }
}

fn provider(
    vault: &AwsVault,
    file: &Path,
    profile: &str,
    change: impl FnOnce(&mut AwsIam),
) -> Result<VaultProvider> {
    let mut aws = AwsIam {
        mount: "aws".to_owned(),
        role: "gateway".to_owned(),
        region: "eu-west-1".to_owned(),
        server_id: None,
        credentials: AwsCredentials::File {
            file: file.to_path_buf(),
            profile: profile.to_owned(),
        },
    };
    change(&mut aws);
    provider_at(&vault.address(), None, AuthMethod::AwsIam(aws))
}

#[tokio::test]
async fn a_signed_request_opens_a_session_and_its_signature_is_what_another_computes() -> Result<()>
{
    let vault = vault(None)?;
    let keys = Keys::write(&[("default", &LASTING), ("temporary", &TEMPORARY)])?;
    let log = Log::start();
    for profile in ["default", "temporary"] {
        live_a_session(&provider(&vault, &keys.file(), profile, |_| {})?).await?;
    }
    assert_eq!(vault.refusals(), [""; 0]);
    assert!(!log.text().contains("canary"), "{}", log.text());
    Ok(())
}

#[tokio::test]
async fn an_access_key_that_was_replaced_signs_the_next_login() -> Result<()> {
    let vault = vault(None)?;
    let wrong = Known {
        secret_key: "another/canary",
        ..LASTING
    };
    let keys = Keys::write(&[("default", &wrong)])?;
    let provider = provider(&vault, &keys.file(), "default", |_| {})?;
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("error making upstream request"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(vault.refusals(), ["the signature is wrong"]);
    keys.replace(&[("default", &LASTING)])?;
    live_a_session(&provider).await?;
    Ok(())
}

#[tokio::test]
async fn a_request_for_one_server_is_signed_for_it_and_for_its_region() -> Result<()> {
    let vault = vault(Some("vault.example.com"))?;
    let keys = Keys::write(&[("default", &LASTING)])?;
    let of = |region: &str, server_id: Option<&str>| {
        provider(&vault, &keys.file(), "default", |aws| {
            aws.region = region.to_owned();
            aws.server_id = server_id.map(str::to_owned);
        })
    };
    live_a_session(&of("eu-west-1", Some("vault.example.com"))?).await?;
    denied(&of("eu-west-1", Some("other.example.com"))?, SESSION).await;
    denied(&of("eu-west-1", None)?, SESSION).await;
    denied(&of("eu-central-1", Some("vault.example.com"))?, SESSION).await;
    let refusals = vault.refusals();
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert_eq!(refusals[0], "the server id");
    assert_eq!(refusals[1], "the server id");
    assert!(refusals[2].starts_with("the url is"), "{refusals:?}");
    Ok(())
}

/// The environment of a process can't be changed safely while it runs, so this test runs itself as
/// a process that has the access key in its own.
#[tokio::test]
async fn an_access_key_from_the_environment_signs_as_well() -> Result<()> {
    const NAME: &str = "logins::aws::an_access_key_from_the_environment_signs_as_well";
    if read_env(RUN_BY_ITSELF).is_err() {
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", NAME])
            .env(RUN_BY_ITSELF, "yes")
            .env("AWS_ACCESS_KEY_ID", TEMPORARY.access_key)
            .env("AWS_SECRET_ACCESS_KEY", TEMPORARY.secret_key)
            .env(
                "AWS_SESSION_TOKEN",
                TEMPORARY.session_token.unwrap_or_default(),
            )
            .output()?;
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        return Ok(());
    }
    let vault = vault(None)?;
    let provider = provider(&vault, Path::new(""), "", |aws| {
        aws.credentials = AwsCredentials::Environment;
    })?;
    live_a_session(&provider).await?;
    assert_eq!(vault.refusals(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_a_fault_of_the_setup() -> Result<()> {
    let vault = vault(None)?;
    let keys = Keys::write(&[("default", &LASTING)])?;
    let provider = provider(&vault, &keys.file(), "nobody", |_| {})?;
    let said = failed(&provider, SESSION, Failure::Misconfigured).await;
    assert!(
        said.contains("no profile") && !said.contains("canary"),
        "{said}"
    );
    Ok(())
}
