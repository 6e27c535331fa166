//! HTTP Message Signatures, RFC 9421.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, Uri};
use leasehold_model::{Component, Encoding, Hash, KeyId, MessageSigning};
use leasehold_provider::Material;
use leasehold_secret::Expose as _;

use super::key::MessageKey;
use super::{Moment, SignError, Unsigned, Wants, digest};
use crate::prepare::{not_empty, wanted};
use crate::{Fault, PrepareError};

pub(super) struct MessageSigner {
    key: MessageKey,
    key_id: Option<String>,
    rule: MessageSigning,
}

impl MessageSigner {
    pub(super) fn prepare(
        rule: &MessageSigning,
        material: &Material,
    ) -> Result<Self, PrepareError> {
        let key_id = match &rule.key_id {
            Some(KeyId::Named(name)) => Some(name.clone()),
            Some(KeyId::Field(field)) => Some(quotable(field, material)?),
            None => None,
        };
        Ok(Self {
            key: MessageKey::read(rule.algorithm, &rule.key, rule.key_form, material)?,
            key_id,
            rule: rule.clone(),
        })
    }

    pub(super) fn places(&self) -> Vec<HeaderName> {
        let mut places = vec![SIGNATURE_INPUT, SIGNATURE];
        if self.covers_body() {
            places.push(CONTENT_DIGEST);
        }
        places
    }

    pub(super) fn wants(&self) -> Wants {
        if self.covers_body() {
            Wants::Whole
        } else {
            Wants::Nothing
        }
    }

    fn covers_body(&self) -> bool {
        self.rule.components.contains(&Component::ContentDigest)
    }

    pub(super) fn sign(
        &self,
        request: &mut Unsigned<'_>,
        moment: &Moment,
    ) -> Result<(), SignError> {
        if self.covers_body() {
            let digest = digest::of(Hash::Sha256, request.whole()?);
            let digest = digest::written(Encoding::Base64, digest.as_ref())?;
            request.set(CONTENT_DIGEST, format!("sha-256=:{digest}:").as_bytes())?;
        }
        let (base, input) = self.base(request, moment)?;
        let signature = digest::written(Encoding::Base64, &self.key.sign(&base)?)?;
        let label = &self.rule.label;
        request.set(SIGNATURE_INPUT, format!("{label}={input}").as_bytes())?;
        request.set_hidden(SIGNATURE, format!("{label}=:{signature}:").as_bytes())
    }

    /// Returns what is signed, by RFC 9421 §2.5, and the list of what that covers.
    fn base(
        &self,
        request: &Unsigned<'_>,
        moment: &Moment,
    ) -> Result<(Vec<u8>, String), SignError> {
        let mut base = Vec::with_capacity(LIKELY);
        let mut covered = Vec::new();
        for component in &self.rule.components {
            let Some((name, value)) = component_of(component, request)? else {
                continue;
            };
            base.extend_from_slice(format!("\"{name}\": ").as_bytes());
            base.extend_from_slice(&value);
            base.push(b'\n');
            covered.push(format!("\"{name}\""));
        }
        let input = format!("({}){}", covered.join(" "), self.parameters(moment)?);
        base.extend_from_slice(format!("\"@signature-params\": {input}").as_bytes());
        Ok((base, input))
    }

    fn parameters(&self, moment: &Moment) -> Result<String, SignError> {
        let created = seconds(moment.now);
        let mut text = format!(";created={created}");
        if let Some(span) = self.rule.expires {
            text += &format!(";expires={}", created.saturating_add(span.as_secs()));
        }
        if self.rule.nonce {
            let nonce = digest::written(Encoding::Base64Url, &moment.nonce)?;
            text += &format!(";nonce=\"{nonce}\"");
        }
        if let Some(key_id) = &self.key_id {
            text += &format!(";keyid=\"{key_id}\"");
        }
        if self.rule.shows_algorithm {
            text += &format!(";alg=\"{}\"", self.rule.algorithm.name());
        }
        if let Some(tag) = &self.rule.tag {
            text += &format!(";tag=\"{tag}\"");
        }
        Ok(text)
    }
}

/// Returns a component's name and value; `None` where it is not there and need not be.
fn component_of<'a>(
    component: &'a Component,
    request: &Unsigned<'_>,
) -> Result<Option<(&'a str, Vec<u8>)>, SignError> {
    let (name, text) = match component {
        Component::Method => ("@method", request.method.as_str().to_owned()),
        Component::TargetUri => {
            let (scheme, target) = (request.scheme, request.path_and_query());
            let authority = authority(request)?;
            ("@target-uri", format!("{scheme}://{authority}{target}"))
        }
        Component::Authority => ("@authority", authority(request)?),
        Component::Scheme => ("@scheme", request.scheme.to_owned()),
        Component::RequestTarget => ("@request-target", request.path_and_query().to_owned()),
        Component::Path => ("@path", path(request.target).to_owned()),
        Component::Query => {
            let query = request.target.query().unwrap_or_default();
            ("@query", format!("?{query}"))
        }
        Component::ContentDigest => return header(CONTENT_DIGEST_NAME, false, request),
        Component::Header { name, is_optional } => return header(name, *is_optional, request),
    };
    Ok(Some((name, text.into_bytes())))
}

fn header<'a>(
    name: &'a str,
    is_optional: bool,
    request: &Unsigned<'_>,
) -> Result<Option<(&'a str, Vec<u8>)>, SignError> {
    let values: Vec<_> = request.headers.get_all(name).iter().collect();
    if values.is_empty() {
        return if is_optional {
            Ok(None)
        } else {
            Err(SignError::NoHeader(name.to_owned()))
        };
    }
    let values: Vec<_> = values.iter().map(|it| it.as_bytes().trim_ascii()).collect();
    let text = values.join(&b", "[..]);
    if text.is_ascii() {
        Ok(Some((name, text)))
    } else {
        // A signature base is ASCII.
        Err(SignError::NotText(name.to_owned()))
    }
}

/// Returns the host, by RFC 9421 §2.2.3: in small letters, and without the scheme's own port.
fn authority(request: &Unsigned<'_>) -> Result<String, SignError> {
    let host = request.host()?.to_str();
    let host = host.map_err(|_hidden| SignError::NotText("host".to_owned()))?;
    let host = host.to_ascii_lowercase();
    let own = if request.scheme == "https" {
        ":443"
    } else {
        ":80"
    };
    Ok(host.strip_suffix(own).unwrap_or(&host).to_owned())
}

fn path(target: &Uri) -> &str {
    let path = target.path();
    if path.is_empty() { "/" } else { path }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads a field that stands in quotes.
fn quotable(field: &str, material: &Material) -> Result<String, PrepareError> {
    // EXPOSE: an upstream is shown the name of a key, which is no secret; it lives as long as the signer.
    let value = wanted(field, material)?.expose();
    not_empty(field, &value)?;
    let unfit = || PrepareError::Unfit {
        field: field.to_owned(),
        fault: Fault::ControlCharacter,
    };
    let is_plain = |it: &u8| (b' '..=b'~').contains(it) && !b"\"\\".contains(it);
    if !value.iter().all(is_plain) {
        return Err(unfit());
    }
    value.as_str().map(str::to_owned).map_err(|_hidden| unfit())
}

const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const CONTENT_DIGEST_NAME: &str = "content-digest";
const CONTENT_DIGEST: HeaderName = HeaderName::from_static(CONTENT_DIGEST_NAME);
const LIKELY: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use leasehold_model::{KeyForm, MessageAlgorithm, Signing};
    use leasehold_secret::Secret;

    use super::super::testing;
    use super::*;
    use crate::Signer;

    #[test]
    fn hmac_is_that_of_appendix_b_2_5() {
        let rule = rule(
            MessageAlgorithm::HmacSha256,
            vec![named("date"), Component::Authority, named("content-type")],
            ("test-shared-secret", "sig-b25"),
        );
        let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let headers = signed(&rule, key);
        assert_eq!(
            headers["signature-input"],
            "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
        );
        assert_eq!(
            headers["signature"],
            "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"
        );
    }

    #[test]
    fn ed25519_is_that_of_appendix_b_2_6() {
        let rule = rule(
            MessageAlgorithm::Ed25519,
            vec![
                named("date"),
                Component::Method,
                Component::Path,
                Component::Authority,
                named("content-type"),
                named("content-length"),
            ],
            ("test-key-ed25519", "sig-b26"),
        );
        let key = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n\
                   -----END PRIVATE KEY-----\n";
        assert_eq!(
            signed(&rule, key)["signature"],
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
        );
    }

    #[test]
    fn the_digest_is_made_and_covered_and_what_came_in_its_place_is_gone() {
        let mut rule = rule(
            MessageAlgorithm::HmacSha256,
            vec![
                Component::ContentDigest,
                Component::Query,
                Component::TargetUri,
            ],
            ("k", "sig1"),
        );
        rule.shows_algorithm = true;
        rule.expires = Some(Duration::from_secs(60));
        rule.nonce = true;
        rule.tag = Some("app".to_owned());
        let headers = signed(&rule, "c2VjcmV0LWtleQ==");
        assert_eq!(
            headers["content-digest"],
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
        );
        assert_eq!(
            headers["signature-input"],
            "sig1=(\"content-digest\" \"@query\" \"@target-uri\");created=1618884473;\
             expires=1618884533;nonce=\"BwcHBwcHBwcHBwcHBwcHBw\";keyid=\"k\";alg=\"hmac-sha256\";tag=\"app\""
        );
        assert_eq!(headers.get_all("signature").iter().count(), 1);
        assert!(!headers.contains_key("content_digest"));
    }

    #[test]
    fn what_is_missing_is_signed_without_where_it_may_be_and_refused_where_not() {
        let with = |is_optional| Component::Header {
            name: "x-none".to_owned(),
            is_optional,
        };
        let of = |component| {
            rule(
                MessageAlgorithm::HmacSha256,
                vec![Component::Method, component],
                ("k", "sig1"),
            )
        };
        let headers = signed(&of(with(true)), "c2VjcmV0LWtleQ==");
        assert_eq!(
            headers["signature-input"],
            "sig1=(\"@method\");created=1618884473;keyid=\"k\""
        );
        let refused = sign(&of(with(false)), "c2VjcmV0LWtleQ==");
        assert_eq!(refused, Err(SignError::NoHeader("x-none".to_owned())));
    }

    #[test]
    fn a_key_of_another_kind_prepares_nothing_and_is_not_shown() {
        let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n\
                       -----END PRIVATE KEY-----\n";
        for algorithm in [
            MessageAlgorithm::EcdsaP256Sha256,
            MessageAlgorithm::RsaPssSha512,
        ] {
            let rule = rule(algorithm, vec![Component::Method], ("k", "sig1"));
            let error = prepare(&rule, ed25519).expect_err("of another kind");
            let told = format!("{error} {error:?}");
            assert!(
                told.contains(algorithm.name()) && !told.contains("MC4C"),
                "{told}"
            );
        }
    }

    fn rule(
        algorithm: MessageAlgorithm,
        components: Vec<Component>,
        (key_id, label): (&str, &str),
    ) -> MessageSigning {
        MessageSigning {
            key: "key".to_owned(),
            key_form: KeyForm::Base64,
            algorithm,
            components,
            key_id: Some(KeyId::Named(key_id.to_owned())),
            label: label.to_owned(),
            tag: None,
            expires: None,
            nonce: false,
            shows_algorithm: false,
        }
    }

    fn named(name: &str) -> Component {
        Component::Header {
            name: name.to_owned(),
            is_optional: false,
        }
    }

    fn prepare(rule: &MessageSigning, key: &str) -> Result<Signer, PrepareError> {
        let mut material = Material::default();
        material.insert("key", Secret::new(key));
        Signer::prepare(&Signing::Message(rule.clone()), &material)
    }

    fn signed(rule: &MessageSigning, key: &str) -> HeaderMap {
        sign(rule, key).expect("signed")
    }

    /// Signs the request of appendix B.2.
    fn sign(rule: &MessageSigning, key: &str) -> Result<HeaderMap, SignError> {
        let signer = prepare(rule, key).expect("a key");
        let sent = [
            ("host", "EXAMPLE.com:443"),
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("content-type", "application/json"),
            ("content-length", "18"),
            ("signature", "sig1=:Zm9yZ2Vk:"),
            ("signature", "sig2=:Zm9yZ2Vk:"),
            ("content_digest", "sha-256=:Zm9yZ2Vk:"),
        ];
        let target = ("https", "/foo?param=Value&Pet=dog");
        testing::signed(&signer, &sent, target, b"{\"hello\": \"world\"}")
    }
}
