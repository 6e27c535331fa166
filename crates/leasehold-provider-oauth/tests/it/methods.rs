//! How the client authenticates, verified as the RFCs say.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use leasehold_model::{Clock as _, SystemClock};
use leasehold_provider_oauth::Method;
use leasehold_testkit::origin::{Handler, TokenServer, json};
use leasehold_testkit::{Authority, Origin, Scratch};
use parking_lot::Mutex;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::lab::{Held, ask, by_secret, config, value};

#[tokio::test]
async fn a_secret_is_shown_by_basic_and_in_the_form() -> Result<()> {
    let server = TokenServer::new(std::time::Duration::from_secs(60));
    let origin = server.start().await?;
    let secret = "a+b c:&%\u{a3}";
    server.accept(secret);
    let parent = Held::of(&[("key", secret)]);
    let post = Method::SecretPost {
        secret: "key".to_owned(),
    };
    for method in [by_secret(), post] {
        let config = config(&format!("{}/token", origin.url()), method)?;
        let fetched = ask(config, &parent).await??;
        let issued = server.issued();
        let token = issued
            .iter()
            .find(|it| Some(&it.value) == value(&fetched).as_ref());
        ensure!(token.context("the token")?.form["scope"] == "a b");
    }
    ensure!(server.refused() == 0);
    Ok(())
}

/// Verifies assertions as RFC 7523 section 3 says, and lets none in twice.
struct Verifier {
    algorithm: &'static dyn VerificationAlgorithm,
    name: &'static str,
    public_key: Vec<u8>,
    audience: Mutex<String>,
    seen: Mutex<BTreeSet<String>>,
}

impl Verifier {
    fn verify(&self, request: &Request<Bytes>) -> Result<()> {
        ensure!(request.headers().get("authorization").is_none());
        let url = format!("http://x/?{}", std::str::from_utf8(request.body())?);
        let url = url::Url::parse(&url)?;
        let field = |name: &str| {
            let found = url.query_pairs().find(|(it, _)| it == name);
            found.map(|(_, it)| it.into_owned()).context("a field")
        };
        ensure!(field("grant_type")? == "client_credentials");
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        ensure!(field("client_assertion_type")? == kind);
        let assertion = field("client_assertion")?;
        let (signed, signature) = assertion.rsplit_once('.').context("a signature")?;
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        UnparsedPublicKey::new(self.algorithm, &self.public_key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_unspecified| anyhow::anyhow!("the signature does not verify"))?;
        let (header, claims) = signed.split_once('.').context("two parts")?;
        let read = |it: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(it)?)?)
        };
        let (header, claims) = (read(header)?, read(claims)?);
        ensure!(
            header.get("alg").context("alg")? == self.name
                && header.get("kid").context("kid")? == "k1",
            "{header}"
        );
        ensure!(
            claims.get("iss").context("iss")? == "gateway"
                && claims.get("sub").context("sub")? == "gateway"
        );
        ensure!(
            claims.get("aud").context("aud")? == self.audience.lock().as_str(),
            "{claims}"
        );
        let now = SystemClock.wall().duration_since(UNIX_EPOCH)?.as_secs();
        let (from, until) = (
            claims.get("iat").context("iat")?.as_u64(),
            claims.get("exp").context("exp")?.as_u64(),
        );
        let (from, until) = (from.context("iat")?, until.context("exp")?);
        ensure!(from <= now && now < until && until - from <= 60, "{claims}");
        let id = claims
            .get("jti")
            .context("jti")?
            .as_str()
            .context("jti")?
            .to_owned();
        ensure!(self.seen.lock().insert(id), "a second use");
        Ok(())
    }
}

impl Handler for Verifier {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        match self.verify(&request) {
            Ok(()) => json(
                200,
                &serde_json::json!({ "access_token": "t", "token_type": "bearer" }),
            ),
            Err(error) => {
                let why = format!("{error:#}");
                let body =
                    serde_json::json!({ "error": "invalid_client", "error_description": why });
                json(401, &body)
            }
        }
    }
}

#[tokio::test]
async fn a_key_signs_an_assertion_and_is_not_sent() -> Result<()> {
    let p256 = KeyPair::generate()?;
    let rsa =
        RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_unspecified| anyhow::anyhow!("no key"))?;
    let rsa_pem = pem(rsa
        .as_der()
        .map_err(|_unspecified| anyhow::anyhow!("no der"))?
        .as_ref());
    let keys: [(&'static dyn VerificationAlgorithm, _, Vec<u8>, String); 2] = [
        (
            &ECDSA_P256_SHA256_FIXED,
            "ES256",
            p256.public_key_raw().to_vec(),
            p256.serialize_pem(),
        ),
        (
            &RSA_PKCS1_2048_8192_SHA256,
            "RS256",
            rsa.public_key().as_ref().to_vec(),
            rsa_pem,
        ),
    ];
    for (algorithm, name, public_key, key) in keys {
        let origin = Origin::serve(Verifier {
            algorithm,
            name,
            public_key,
            audience: Mutex::default(),
            seen: Mutex::default(),
        })
        .await?;
        let endpoint = format!("{}/oauth/token", origin.url());
        origin.handler().audience.lock().clone_from(&endpoint);
        let method = || Method::PrivateKeyJwt {
            key: "key".to_owned(),
            key_id: Some("k1".to_owned()),
        };
        let parent = Held::of(&[("key", &key)]);
        for _ in 0..3 {
            ask(config(&endpoint, method())?, &parent).await??;
        }
        ensure!(origin.handler().seen.lock().len() == 3);
        let other = Held::of(&[("key", &KeyPair::generate()?.serialize_pem())]);
        let refused = ask(config(&endpoint, method())?, &other).await?;
        let refused = refused.expect_err("another key");
        ensure!(
            refused.failure == leasehold_model::Failure::Denied,
            "{refused}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_none_is_told_and_not_shown() -> Result<()> {
    let method = Method::PrivateKeyJwt {
        key: "key".to_owned(),
        key_id: None,
    };
    let parent = Held::of(&[("key", "-----BEGIN PRIVATE KEY-----\ncanary\n")]);
    let refused = ask(config("http://127.0.0.1:9/token", method)?, &parent).await?;
    let refused = refused.expect_err("no key");
    ensure!(refused.failure == leasehold_model::Failure::Misconfigured);
    ensure!(refused.to_string().contains("`key`"), "{refused}");
    ensure!(!format!("{refused} {refused:?}").contains("canary"));
    Ok(())
}

/// Answers each connection whose client certificate the authority signed, and tells its form.
async fn tls_server(authority: &Authority, listener: TcpListener) -> Result<String> {
    let scratch = Scratch::new()?;
    let files = authority.server(scratch.path())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca_pem())?)?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&files.certificate)?],
            PrivateKeyDer::from_pem_file(&files.key)?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (stream, _) = listener.accept().await?;
    let mut stream = acceptor.accept(stream).await?;
    ensure!(
        stream.get_ref().1.peer_certificates().is_some(),
        "no certificate"
    );
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("client_id=gateway") {
        ensure!(
            stream.read_buf(&mut text).await? > 0,
            "the request broke off"
        );
    }
    let body = r#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#;
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(String::from_utf8(text)?)
}

#[tokio::test]
async fn a_certificate_is_shown_at_the_handshake() -> Result<()> {
    let (authority, scratch) = (Authority::generate()?, Scratch::new()?);
    let files = authority.client("gateway", scratch.path())?;
    let (certificate, key) = (
        fs::read_to_string(&files.certificate)?,
        fs::read_to_string(&files.key)?,
    );
    let parent = Held::of(&[("certificate", &certificate), ("private_key", &key)]);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}/token", listener.local_addr()?);
    let mut config = config(
        &url,
        Method::Tls {
            certificate: "certificate".to_owned(),
            key: "private_key".to_owned(),
            chain: None,
        },
    )?;
    config.ca = Some(authority.ca_pem());
    let (fetched, text) = tokio::join!(ask(config, &parent), tls_server(&authority, listener));
    let (fetched, text) = (fetched??, text?);
    ensure!(value(&fetched).as_deref() == Some("t"));
    ensure!(
        !text.contains("authorization") && !text.contains("client_secret"),
        "{text}"
    );
    Ok(())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}
