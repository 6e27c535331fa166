//! An HMAC of a text that is put together from the request.

use aws_lc_rs::hmac;
use http::HeaderName;
use http::header::HOST;
use leasehold_model::{Encoding, HmacSigning, ShownPart, SignedPart};
use leasehold_provider::Material;
use leasehold_secret::Expose as _;
use zeroize::Zeroizing;

use super::{Moment, SignError, Unsigned, Wants, digest, key, time};
use crate::prepare::{not_empty, wanted};
use crate::template::encode;
use crate::{Fault, PrepareError};

pub(super) struct HmacSigner {
    key: Box<hmac::Key>,
    rule: HmacSigning,
    headers: Vec<(HeaderName, Vec<Shown>)>,
    /// The fields that the text names, in its order.
    fields: Vec<Zeroizing<Vec<u8>>>,
}

/// A part of a header, with the fields of one generation in it.
enum Shown {
    Ready(Zeroizing<Vec<u8>>),
    Signature,
    Time,
    Nonce,
}

impl HmacSigner {
    pub(super) fn prepare(rule: &HmacSigning, material: &Material) -> Result<Self, PrepareError> {
        let key = key::shared(&rule.key, rule.key_form, rule.hash, material)?;
        let key = Box::new(key);
        let headers = rule.headers.iter().map(|(name, parts)| {
            let named = HeaderName::from_bytes(name.as_bytes());
            let named = named.map_err(|_hidden| PrepareError::UnfitText {
                place: name.clone(),
                fault: Fault::ControlCharacter,
            })?;
            let parts = parts.iter().map(|part| shown(part, material));
            Ok((named, parts.collect::<Result<_, _>>()?))
        });
        let named = rule.text.iter().filter_map(|part| match part {
            SignedPart::Field(name) => Some(field(name, material)),
            _ => None,
        });
        Ok(Self {
            key,
            headers: headers.collect::<Result<_, PrepareError>>()?,
            fields: named.collect::<Result<_, _>>()?,
            rule: rule.clone(),
        })
    }

    pub(super) fn places(&self) -> Vec<HeaderName> {
        self.headers.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn wants(&self) -> Wants {
        let mut parts = self.rule.text.iter();
        if parts.any(|part| matches!(part, SignedPart::Body(..))) {
            Wants::Whole
        } else {
            Wants::Nothing
        }
    }

    pub(super) fn sign(
        &self,
        request: &mut Unsigned<'_>,
        moment: &Moment,
    ) -> Result<(), SignError> {
        let time = time::written(self.rule.time, moment.now);
        let nonce = digest::written(Encoding::Hex, &moment.nonce)?;
        let text = self.text(request, &time, &nonce)?;
        let signature = hmac::sign(&self.key, &text);
        let signature = encode(self.rule.encoding, signature.as_ref());
        let signature = signature.map_err(|_hidden| SignError::Unfit)?;
        for (name, parts) in &self.headers {
            let mut value = Zeroizing::new(Vec::with_capacity(LIKELY));
            for part in parts {
                value.extend_from_slice(match part {
                    Shown::Ready(text) => text,
                    Shown::Signature => &signature,
                    Shown::Time => time.as_bytes(),
                    Shown::Nonce => nonce.as_bytes(),
                });
            }
            request.set_hidden(name.clone(), &value)?;
        }
        Ok(())
    }

    /// Puts together what is signed. Buffers are wiped: a field may be among the parts.
    fn text(
        &self,
        request: &Unsigned<'_>,
        time: &str,
        nonce: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let mut text = Zeroizing::new(Vec::with_capacity(LIKELY));
        let mut fields = self.fields.iter();
        for part in &self.rule.text {
            match part {
                SignedPart::Text(literal) => text.extend_from_slice(literal.as_bytes()),
                SignedPart::Method => text.extend_from_slice(request.method.as_str().as_bytes()),
                SignedPart::Path => text.extend_from_slice(request.path().as_bytes()),
                SignedPart::Query => {
                    text.extend_from_slice(request.target.query().unwrap_or_default().as_bytes());
                }
                SignedPart::Target => text.extend_from_slice(request.path_and_query().as_bytes()),
                SignedPart::Host => text.extend_from_slice(request.host()?.as_bytes()),
                SignedPart::Header(name) if name == HOST.as_str() => {
                    text.extend_from_slice(request.host()?.as_bytes());
                }
                SignedPart::Header(name) => {
                    for (number, value) in request.headers.get_all(name).iter().enumerate() {
                        let between: &[u8] = if number > 0 { b", " } else { b"" };
                        text.extend_from_slice(between);
                        text.extend_from_slice(value.as_bytes().trim_ascii());
                    }
                }
                SignedPart::Time => text.extend_from_slice(time.as_bytes()),
                SignedPart::Nonce => text.extend_from_slice(nonce.as_bytes()),
                SignedPart::Body(hash, encoding) => {
                    let digest = digest::of(*hash, request.whole()?);
                    let digest = digest::written(*encoding, digest.as_ref())?;
                    text.extend_from_slice(digest.as_bytes());
                }
                SignedPart::Field(_) => {
                    text.extend_from_slice(fields.next().ok_or(SignError::Key)?);
                }
            }
        }
        Ok(text)
    }
}

fn shown(part: &ShownPart, material: &Material) -> Result<Shown, PrepareError> {
    Ok(match part {
        ShownPart::Text(text) => Shown::Ready(Zeroizing::new(text.as_bytes().to_vec())),
        ShownPart::Signature => Shown::Signature,
        ShownPart::Time => Shown::Time,
        ShownPart::Nonce => Shown::Nonce,
        ShownPart::Field(name) => Shown::Ready(field(name, material)?),
    })
}

fn field(name: &str, material: &Material) -> Result<Zeroizing<Vec<u8>>, PrepareError> {
    // EXPOSE: an upstream is shown the value, or what is signed holds it; the copy is wiped with its
    // generation.
    let value = wanted(name, material)?.expose();
    not_empty(name, &value)?;
    if value.iter().any(u8::is_ascii_control) {
        return Err(PrepareError::Unfit {
            field: name.to_owned(),
            fault: Fault::ControlCharacter,
        });
    }
    Ok(Zeroizing::new(value.to_vec()))
}

/// A text that is longer has its buffer grow, and the allocator wipe what it grew out of.
const LIKELY: usize = 1024;

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use leasehold_model::{Hash, KeyForm, Signing, TimeForm};
    use leasehold_secret::Secret;

    use super::super::testing;
    use super::*;
    use crate::Signer;

    #[test]
    fn the_text_is_put_together_from_the_request_and_its_hmac_is_shown() {
        let text = vec![
            SignedPart::Method,
            line(),
            SignedPart::Path,
            line(),
            SignedPart::Query,
            line(),
            SignedPart::Host,
            line(),
            SignedPart::Header("x-many".to_owned()),
            line(),
            SignedPart::Time,
            line(),
            SignedPart::Nonce,
            line(),
            SignedPart::Body(Hash::Sha256, Encoding::Hex),
            line(),
            SignedPart::Field("id".to_owned()),
            line(),
            SignedPart::Target,
        ];
        let signed_text = "POST\n/a%2fb\nx=1&&y\napi.example:8080\none, two\n1618884473\n\
                           07070707070707070707070707070707\n\
                           ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
                           client-7\n/a%2fb?x=1&&y";
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789");
        let expected = hmac::sign(&key, signed_text.as_bytes());
        let expected = digest::written(Encoding::Base64, expected.as_ref()).expect("base64");
        let headers = signed(text, KeyForm::Plain, "0123456789").expect("signed");
        assert_eq!(
            headers["authorization"],
            format!("HMAC client-7:{expected}").as_str()
        );
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(headers["x-time"], "1618884473");
        assert_eq!(headers["x-nonce"], "07070707070707070707070707070707");
        assert_eq!(headers.get_all("authorization").iter().count(), 1);
        assert!(!headers.contains_key("x_time"));
    }

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        // Test case 2: its data is what a text without parts says.
        let text = vec![SignedPart::Text("what do ya want for nothing?".to_owned())];
        let mac = |form, key| signed(text.clone(), form, key).expect("signed");
        let plain = mac(KeyForm::Plain, "Jefe")["authorization"].clone();
        assert_eq!(plain, mac(KeyForm::Base64, "SmVmZQ==\n")["authorization"]);
        assert_eq!(plain, mac(KeyForm::Hex, "4a656665")["authorization"]);
        assert_eq!(
            plain,
            "HMAC client-7:W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
        );
    }

    #[test]
    fn a_key_that_is_written_otherwise_prepares_nothing() {
        for (form, key) in [
            (KeyForm::Hex, "canary"),
            (KeyForm::Hex, "abc"),
            (KeyForm::Base64, "canary!"),
            (KeyForm::Base64, "\n"),
        ] {
            let error = prepare(Vec::new(), form, key).expect_err("no key");
            assert!(
                matches!(error, PrepareError::UnreadableKey { .. }),
                "{error}"
            );
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    fn line() -> SignedPart {
        SignedPart::Text("\n".to_owned())
    }

    fn prepare(text: Vec<SignedPart>, form: KeyForm, key: &str) -> Result<Signer, PrepareError> {
        let mut material = Material::default();
        material.insert("secret", Secret::new(key));
        material.insert("id", Secret::new("client-7"));
        let header = |name: &str, parts| (name.to_owned(), parts);
        let rule = HmacSigning {
            key: "secret".to_owned(),
            key_form: form,
            hash: Hash::Sha256,
            text,
            time: TimeForm::Unix,
            encoding: Encoding::Base64,
            headers: vec![
                header(
                    "authorization",
                    vec![
                        ShownPart::Text("HMAC ".to_owned()),
                        ShownPart::Field("id".to_owned()),
                        ShownPart::Text(":".to_owned()),
                        ShownPart::Signature,
                    ],
                ),
                header("x-time", vec![ShownPart::Time]),
                header("x-nonce", vec![ShownPart::Nonce]),
            ],
        };
        Signer::prepare(&Signing::Hmac(rule), &material)
    }

    fn signed(text: Vec<SignedPart>, form: KeyForm, key: &str) -> Result<HeaderMap, SignError> {
        let signer = prepare(text, form, key).expect("a key");
        let sent = [
            ("host", "api.example:8080"),
            ("x-many", "one"),
            ("x-many", " two "),
            ("authorization", "forged"),
            ("x_time", "forged"),
        ];
        testing::signed(&signer, &sent, ("http", "/a%2fb?x=1&&y"), b"abc")
    }
}
