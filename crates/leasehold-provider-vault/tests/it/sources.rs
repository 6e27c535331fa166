//! What is neither a lease nor a version.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use leasehold_model::{Clock as _, Failure, SystemClock};
use leasehold_provider::{Fetched, FingerprintKey, Holding, Parameters, Provider as _, Source};
use leasehold_testkit::{Lab, Postgres};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use crate::bench::{
    ANCHOR, BY_ANCHOR, BY_SESSION, Bench, SESSION, chain, failure, field, lease_id,
};

fn parameters(written: &[(&str, &str)]) -> Parameters {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    written.iter().map(owned).collect()
}

fn certificate(path: &str) -> Source {
    Source::Certificate {
        path: path.to_owned(),
        parameters: parameters(&[
            ("common_name", "a.example.com"),
            ("alt_names", "b.example.com"),
            ("ttl", "30m"),
        ]),
    }
}

fn rotating(path: &str) -> Source {
    Source::Rotating {
        path: path.to_owned(),
    }
}

fn hinted(path: &str) -> Source {
    Source::Hinted {
        path: path.to_owned(),
    }
}

fn rotation(fetched: &Fetched) -> Result<(u64, Duration)> {
    match fetched.holding {
        Holding::Rotating { rotation, next } => Ok((rotation, next)),
        ref other => bail!("{other:?}"),
    }
}

/// How many leases there are below a path.
async fn leases(lab: &Lab, path: &str) -> Result<usize> {
    let path = format!("sys/leases/lookup/{path}");
    let answer = lab
        .openbao
        .call(lab.openbao.root_token(), "LIST", &path, None);
    let answer = answer.await?;
    let keys = answer.body.pointer("/data/keys").and_then(Value::as_array);
    Ok(keys.map_or(0, Vec::len))
}

#[tokio::test]
async fn f35_an_account_says_when_its_password_was_changed_and_is_changed_next() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let source = rotating("database/static-creds/svc");
    let first = bench.provider.fetch(BY_SESSION, &source).await?;
    let (at_first, next) = rotation(&first)?;
    assert!(next <= Duration::from_secs(31), "{next:?}");
    let now = SystemClock.wall().duration_since(UNIX_EPOCH)?;
    let ago = now.saturating_sub(Duration::from_nanos(at_first));
    assert!(ago < Duration::from_secs(3600), "{ago:?}");
    let names: Vec<_> = first.material.names().collect();
    assert_eq!(names, ["password", "username"]);
    let log_in = async |fetched: &Fetched| {
        let (user, password) = (field(fetched, "username")?, field(fetched, "password")?);
        let postgres = &bench.lab.postgres;
        let login = postgres.connect_as(&user, &password, Postgres::DATABASE);
        anyhow::Ok(login.await.is_ok())
    };
    assert!(log_in(&first).await?);

    let path = "database/rotate-role/svc";
    bench.lab.openbao.api("POST", path, None).await?;
    let second = bench.provider.fetch(BY_SESSION, &source).await?;
    assert!(rotation(&second)?.0 > at_first);
    assert!(log_in(&second).await?);
    assert!(!log_in(&first).await?, "there is no overlap");

    let again = bench.provider.fetch(BY_SESSION, &source).await?;
    let key = FingerprintKey::generate()?;
    assert_eq!(
        again.material.fingerprint(&key),
        second.material.fingerprint(&key),
        "a read without a change in between is the same credential"
    );
    assert_eq!(rotation(&again)?.0, rotation(&second)?.0);
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_signed_for_a_key_that_never_left() -> Result<()> {
    let bench = Bench::logged_in().await?;
    bench.provider.mint_anchor(SESSION, ANCHOR).await?;
    let fetched = bench
        .provider
        .fetch(BY_ANCHOR, &certificate("pki/sign/nolease"))
        .await?;
    let Holding::Certificate { ttl, serial } = &fetched.holding else {
        bail!("{:?}", fetched.holding);
    };
    let life = Duration::from_secs(29 * 60)..=Duration::from_secs(30 * 60 + 1);
    assert!(life.contains(ttl), "{ttl:?}");
    let path = format!("pki/cert/{serial}");
    let known = bench.lab.openbao.api("GET", &path, None).await?;
    let known = known.pointer("/data/certificate").and_then(Value::as_str);
    let known = known.context("a certificate")?.trim();
    assert_eq!(known, field(&fetched, "certificate")?.trim());

    let chain = |name: &str| -> Result<Vec<CertificateDer<'static>>> {
        let pem = field(&fetched, name)?;
        let read: Result<_, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        Ok(read?)
    };
    let own = chain("certificate")?;
    let key = PrivateKeyDer::from_pem_slice(field(&fetched, "private_key")?.as_bytes())?;
    // It refuses a key that is not the certificate's.
    CertifiedKey::from_der(own.clone(), key, &default_provider())?;

    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain("issuing_ca")?);
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let own = own.first().context("a certificate")?;
    let issuers = chain("ca_chain")?;
    for (name, is_its_own) in [
        ("a.example.com", true),
        ("b.example.com", true),
        ("c.example.com", false),
    ] {
        let verified =
            verifier.verify_server_cert(own, &issuers, &name.try_into()?, &[], UnixTime::now());
        assert_eq!(verified.is_ok(), is_its_own, "{name}: {verified:?}");
    }
    Ok(())
}

#[tokio::test]
async fn each_certificate_has_a_key_of_its_own() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let source = certificate("pki/sign/nolease");
    let one = bench.provider.fetch(BY_SESSION, &source).await?;
    let other = bench.provider.fetch(BY_SESSION, &source).await?;
    assert_ne!(field(&one, "private_key")?, field(&other, "private_key")?);
    assert_ne!(field(&one, "certificate")?, field(&other, "certificate")?);
    Ok(())
}

#[tokio::test]
async fn f14_a_certificate_on_a_lease_is_asked_for_as_one_and_is_never_renewed() -> Result<()> {
    let bench = Bench::logged_in().await?;
    // As a certificate it would die with the token, unknown to everybody.
    let source = certificate("pki/sign/lease");
    let refused = bench.provider.fetch(BY_SESSION, &source).await;
    assert_eq!(failure(&refused), Some(Failure::Misconfigured));
    let said = chain(refused);
    assert!(said.contains("generate_lease=false"), "{said}");
    assert!(!said.contains("given back"), "{said}");
    assert_eq!(leases(&bench.lab, "pki/sign/lease").await?, 0);

    let source = Source::Leased {
        path: "pki/issue/lease".to_owned(),
        parameters: parameters(&[("common_name", "a.example.com"), ("ttl", "20m")]),
    };
    let fetched = bench.provider.fetch(BY_SESSION, &source).await?;
    let Holding::Leased { ttl, renewable, .. } = fetched.holding else {
        bail!("{:?}", fetched.holding);
    };
    assert!(!renewable);
    assert!(ttl <= Duration::from_secs(20 * 60), "{ttl:?}");
    assert_eq!(leases(&bench.lab, "pki/issue/lease").await?, 1);
    let lease = lease_id(&fetched)?;
    let renewal = bench.provider.renew_lease(SESSION, &lease).await;
    assert_eq!(failure(&renewal), Some(Failure::NotRenewable));
    bench.provider.revoke_lease(SESSION, &lease).await?;
    assert_eq!(leases(&bench.lab, "pki/issue/lease").await?, 0);
    Ok(())
}

#[tokio::test]
async fn f14_a_duration_without_a_lease_is_a_hint() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let fetched = bench
        .provider
        .fetch(BY_SESSION, &hinted("kv1/legacy"))
        .await?;
    let holding = Holding::Hinted {
        refresh: Duration::from_secs(2_764_800),
    };
    assert_eq!(fetched.holding, holding);
    assert_eq!(field(&fetched, "api_key")?, "v1-secret");
    // The value's own word on it counts.
    let body = json!({ "api_key": "v2-secret", "ttl": "30s" });
    bench
        .lab
        .openbao
        .api("POST", "kv1/legacy", Some(body))
        .await?;
    let fetched = bench
        .provider
        .fetch(BY_SESSION, &hinted("kv1/legacy"))
        .await?;
    let holding = Holding::Hinted {
        refresh: Duration::from_secs(30),
    };
    assert_eq!(fetched.holding, holding);
    assert_eq!(field(&fetched, "api_key")?, "v2-secret");
    Ok(())
}

#[tokio::test]
async fn a_source_that_is_something_else_is_a_fault_of_the_setup_and_leaves_nothing() -> Result<()>
{
    let bench = Bench::logged_in().await?;
    let nameless = Source::Certificate {
        path: "pki/sign/nolease".to_owned(),
        parameters: Parameters::new(),
    };
    for (source, remedy) in [
        (hinted("kv/data/app"), "declare it with kv"),
        (hinted("kv1/nothing"), "no value at this path"),
        (rotating("kv1/legacy"), "static role"),
        (rotating("database/creds/app"), "declare it with lease"),
        (hinted("database/creds/app"), "declare it with lease"),
        (certificate("pki/issue/nolease"), "pki/sign/web"),
        (certificate("pki/sign/nobody"), "unknown role"),
        (nameless, "common_name"),
    ] {
        let outcome = bench.provider.fetch(BY_SESSION, &source).await;
        let debug = format!("{outcome:?}");
        assert_eq!(failure(&outcome), Some(Failure::Misconfigured), "{debug}");
        let said = chain(outcome);
        assert!(said.contains(remedy), "{said}");
        assert!(!said.contains("given back"), "{said}");
        assert!(!debug.contains("v1-secret"), "{debug}");
    }
    let users = bench.lab.postgres.login_roles_like("v-").await?;
    assert!(users.is_empty(), "{users:?}");
    Ok(())
}

#[tokio::test]
async fn a_name_that_the_role_forbids_is_a_fault_of_the_setup() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let role = json!({ "allowed_domains": "example.org", "key_type": "ec", "key_bits": 256 });
    let path = "pki/roles/strict";
    bench.lab.openbao.api("POST", path, Some(role)).await?;
    let source = certificate("pki/sign/strict");
    let outcome = bench.provider.fetch(BY_SESSION, &source).await;
    assert_eq!(failure(&outcome), Some(Failure::Misconfigured));
    let said = chain(outcome);
    assert!(said.contains("not allowed by this role"), "{said}");
    Ok(())
}
