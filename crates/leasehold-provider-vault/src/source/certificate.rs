//! A certificate for a key that is made here and never sent: PKI's `sign`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use leasehold_provider::{Fetched, Holding, Material, Parameters, ProviderError};
use leasehold_secret::Secret;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::answer;
use crate::call::{Call, Operation};
use crate::client::Answer;
use crate::envelope::{Fields, Unreadable};
use crate::path::VaultPath;
use crate::refusal::{lost, misconfigured, unreadable};

/// Makes a key, and the call that has a request for it signed.
pub(super) fn request(
    path: VaultPath,
    parameters: &Parameters,
) -> Result<(Call, Secret), ProviderError> {
    let bare = Call::read(Operation::Sign, path);
    refuse_path(&bare)?;
    refuse_parameters(&bare, parameters)?;
    let named = subject(parameters).map_err(|parameter| {
        misconfigured(
            &bare,
            format!("parameter {parameter} holds what it can't list"),
        )
    })?;
    let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).and_then(|key| {
        let csr = named.serialize_request(&key)?.pem()?;
        Ok((csr, Secret::new(key.serialize_pem())))
    });
    let (csr, key) = made.map_err(|error| {
        misconfigured(&bare, "a key and a request for it could not be made").caused_by(error)
    })?;
    let mut body: Map<String, Value> = parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    body.insert("csr".to_owned(), csr.into());
    let body = Bytes::from(Value::Object(body).to_string());
    let call = Call::write(Operation::Sign, bare.path, body);
    Ok((call, key))
}

/// Reads the certificate and puts it together with its key; `asked` is the local time of day at which
/// it was asked for.
pub(super) fn read(
    call: &Call,
    answer: &Answer,
    key: Secret,
    asked: SystemTime,
) -> Result<Fetched, ProviderError> {
    let envelope = answer::open(call, answer)?;
    let data = envelope.data;
    let data = data.ok_or_else(|| lost(call, "the answer holds no fields"))?;
    let signed = serde_json::from_str(data.get());
    let signed: Signed =
        signed.map_err(|error: serde_json::Error| unreadable(call, Unreadable::from(error)))?;
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(signed.expiration));
    let ttl = ends.and_then(|ends| ends.duration_since(asked).ok());
    let holding = Holding::Certificate {
        ttl: ttl.unwrap_or_default(),
        serial: signed.serial_number.clone(),
    };
    let fields = Fields {
        material: signed.material(key),
        left_out: Vec::new(),
    };
    Ok(answer::from_fields(&envelope, fields, holding))
}

/// What PKI answers, in PEM.
#[derive(Deserialize)]
struct Signed {
    certificate: String,
    issuing_ca: String,
    /// From the issuer of the certificate up; absent where the issuer has no chain of its own.
    #[serde(default)]
    ca_chain: Vec<String>,
    serial_number: String,
    /// In seconds since 1970.
    expiration: u64,
}

impl Signed {
    fn material(self, key: Secret) -> Material {
        let chain = if self.ca_chain.is_empty() {
            self.issuing_ca.clone()
        } else {
            self.ca_chain.join("\n")
        };
        let mut material = Material::default();
        material.insert("certificate", Secret::new(self.certificate));
        material.insert("private_key", key);
        material.insert("ca_chain", Secret::new(chain));
        material.insert("issuing_ca", Secret::new(self.issuing_ca));
        material
    }
}

/// Refuses the path that makes the key at the server and sends it.
fn refuse_path(call: &Call) -> Result<(), ProviderError> {
    let path = call.path.to_string();
    if path.rsplit('/').nth(1) != Some("issue") {
        return Ok(());
    }
    let detail = "this path makes the key at the server and sends it: use the path that signs, such \
                  as pki/sign/web, for a key that never leaves the gateway";
    Err(misconfigured(call, detail))
}

/// Refuses parameters that are ours to set.
fn refuse_parameters(call: &Call, parameters: &Parameters) -> Result<(), ProviderError> {
    for (name, reason) in [
        ("csr", "the request is made in memory, with its key"),
        ("format", "the fields are in PEM"),
    ] {
        if parameters.contains_key(name) {
            let detail = format!("parameter {name} can't be set: {reason}");
            return Err(misconfigured(call, detail));
        }
    }
    Ok(())
}

/// Writes into the request what is asked for beside it as well: by default PKI takes the names from
/// the request and not from the parameters. Returns the parameter that can't be written there.
fn subject(parameters: &Parameters) -> Result<CertificateParams, &'static str> {
    let mut request = CertificateParams::default();
    request.distinguished_name = DistinguishedName::new();
    if let Some(name) = parameters.get("common_name") {
        request
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
    }
    for (parameter, kind) in NAMES {
        for name in list(parameters, parameter) {
            let name = kind(name).ok_or(*parameter)?;
            request.subject_alt_names.push(name);
        }
    }
    Ok(request)
}

fn list<'a>(parameters: &'a Parameters, name: &str) -> impl Iterator<Item = &'a str> {
    let written = parameters.get(name).map_or("", String::as_str);
    written
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

type MakeName = fn(&str) -> Option<SanType>;

/// What each parameter lists, between commas.
const NAMES: &[(&str, MakeName)] = &[
    ("alt_names", |name| {
        let text = name.try_into().ok()?;
        Some(if name.contains('@') {
            SanType::Rfc822Name(text)
        } else {
            SanType::DnsName(text)
        })
    }),
    ("ip_sans", |name| name.parse().ok().map(SanType::IpAddress)),
    ("uri_sans", |name| name.try_into().ok().map(SanType::URI)),
];

#[cfg(test)]
mod tests {
    use leasehold_model::Failure;
    use leasehold_secret::Expose as _;
    use reqwest::StatusCode;
    use zeroize::Zeroizing;

    use super::*;

    const SIGN: VaultPath = VaultPath::fixed("pki/sign/web");

    fn parameters(written: &[(&str, &str)]) -> Parameters {
        written
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_request_is_sent_and_the_key_is_not() {
        let asked = parameters(&[
            ("common_name", "a.example.com"),
            ("alt_names", "b.example.com, c@example.com"),
            ("ip_sans", "127.0.0.1"),
            ("ttl", "1h"),
        ]);
        let (call, key) = request(SIGN, &asked).expect("a request");
        let body = call.body.expect("a body");
        let sent: Value = serde_json::from_slice(&body).expect("json");
        assert_eq!(sent["ttl"], "1h");
        let csr = sent["csr"].as_str().expect("a request");
        assert!(csr.contains("BEGIN CERTIFICATE REQUEST"), "{csr}");
        assert!(!String::from_utf8_lossy(&body).contains("PRIVATE"));
        // EXPOSE: the test looks at the form of the key that it has made, which signs nothing.
        let key = key.expose();
        assert!(key.as_str().expect("text").contains("BEGIN PRIVATE KEY"));
    }

    #[test]
    fn each_request_is_for_another_key() {
        let sent = || request(SIGN, &Parameters::new()).expect("a request").0.body;
        assert_ne!(sent(), sent());
    }

    #[test]
    fn what_would_send_the_key_or_name_nobody_is_refused() {
        for (path, written) in [
            ("pki/issue/web", ("ttl", "1h")),
            ("team/pki/issue/web", ("ttl", "1h")),
            ("pki/sign/web", ("csr", "x")),
            ("pki/sign/web", ("format", "der")),
            ("pki/sign/web", ("ip_sans", "here")),
            ("pki/sign/web", ("alt_names", "ä")),
        ] {
            let path = VaultPath::parse(path).expect("a path");
            let refused = request(path, &parameters(&[written])).err();
            let refused = refused.map(|error| error.failure);
            assert_eq!(refused, Some(Failure::Misconfigured), "{written:?}");
        }
        let path = VaultPath::parse("issue/sign/web").expect("a path");
        assert!(request(path, &Parameters::new()).is_ok(), "a mount's name");
    }

    #[test]
    fn a_certificate_lasts_from_the_asking_to_its_end() {
        let body = r#"{"lease_id":"","data":{"certificate":"C","issuing_ca":"I","ca_chain":["I","R"],
            "serial_number":"1a:2b","expiration":1000}}"#;
        let answer = |body: &str| Answer {
            status: StatusCode::OK,
            retry_after: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let call = Call::read(Operation::Sign, SIGN);
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let key = || Secret::new("K");
        let fetched = read(&call, &answer(body), key(), at(400)).expect("a certificate");
        let holding = |seconds| Holding::Certificate {
            ttl: Duration::from_secs(seconds),
            serial: "1a:2b".to_owned(),
        };
        assert_eq!(fetched.holding, holding(600));
        let names: Vec<_> = fetched.material.names().collect();
        assert_eq!(
            names,
            ["ca_chain", "certificate", "issuing_ca", "private_key"]
        );
        let late = read(&call, &answer(body), key(), at(2000)).expect("one that has ended");
        assert_eq!(late.holding, holding(0));
        let error = read(
            &call,
            &answer(r#"{"data":{"certificate":5}}"#),
            key(),
            at(0),
        );
        let error = error.expect_err("no certificate");
        assert_eq!(error.failure, Failure::Transient);
    }
}
