use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use leasehold_model::{Signing, Template};
use leasehold_provider::Material;
use leasehold_secret::{Expose as _, Secret};
use zeroize::Zeroizing;

use crate::cookie::Cookie;
use crate::identity::Identity;
use crate::prepared::Place;
use crate::query::Query;
use crate::reflect::scanner_of;
use crate::template::{Text, render};
use crate::{Fault, PrepareError, Prepared, Signer};

/// Where a credential is placed, and which fields of one generation are placed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// One field as the value of a header.
    Header {
        /// The header.
        name: HeaderName,
        /// What stands before the value, such as `Bearer `, with its space; may be empty.
        prefix: String,
        /// The field.
        field: String,
    },
    /// Two fields as `Authorization: Basic` of RFC 7617.
    Basic {
        /// The field that holds the user name.
        username: String,
        /// The field that holds the password.
        password: String,
    },
    /// A certificate that the gateway shows at the TLS handshake, and nothing in the head.
    ClientCertificate {
        /// The field that holds the certificate, in PEM.
        certificate: String,
        /// The field that holds its private key, in PEM.
        key: String,
        /// The field that holds those between it and its authority, in PEM, where there are any.
        chain: Option<String>,
    },
    /// What a template makes of the fields.
    Rendered {
        /// Where it is placed.
        spot: Spot,
        /// The template.
        template: Template,
    },
    /// As a signature of each request, made with fields that are not shown.
    Signed(Signing),
    /// In no request that is forwarded: these fields are kept for the provider that asks with them.
    Kept(Vec<String>),
    /// Nowhere: what these show is looked for in what upstreams send back.
    Reflection(Vec<Self>),
}

/// Where what was rendered is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// In a header.
    Header {
        /// The header.
        name: HeaderName,
        /// What stands before the value; may be empty.
        prefix: String,
    },
    /// In the query, as the parameter of that name, which is letters, digits, `-`, `.`, `_` and `~`.
    Query(String),
    /// As the cookie of that name, as above.
    Cookie(String),
}

/// Makes ready header values of one generation's material, one for each injection.
///
/// The material can be dropped afterwards.
///
/// # Errors
///
/// When the material lacks a field or holds a value that can't be sent unchanged at that place.
/// Nothing is prepared then: a generation serves all its injections or none.
pub fn prepare(injections: &[Injection], material: &Material) -> Result<Prepared, PrepareError> {
    let places = injections
        .iter()
        .map(|injection| place(injection, material))
        .collect::<Result<_, _>>()?;
    Ok(Prepared { places })
}

fn place(injection: &Injection, material: &Material) -> Result<Place, PrepareError> {
    let (name, value) = match injection {
        Injection::Header {
            name,
            prefix,
            field,
        } => (name.clone(), header(name, prefix, field, material)?),
        Injection::Basic { username, password } => {
            (AUTHORIZATION, basic(username, password, material)?)
        }
        Injection::ClientCertificate {
            certificate,
            key,
            chain,
        } => {
            let identity = Identity::prepare(certificate, key, chain.as_deref(), material)?;
            return Ok(Place::Identity(identity));
        }
        Injection::Rendered { spot, template } => {
            return rendered(spot, &render(template, material)?);
        }
        Injection::Signed(signing) => {
            let signer = Signer::prepare(signing, material)?;
            return Ok(Place::Signer(Box::new(signer)));
        }
        Injection::Kept(fields) => return Ok(Place::Kept(kept(fields, material)?)),
        Injection::Reflection(of) => {
            return Ok(Place::Reflection(Arc::new(scanner_of(of, material)?)));
        }
    };
    Ok(Place::Header { name, value })
}

fn rendered(spot: &Spot, text: &Text) -> Result<Place, PrepareError> {
    let (name, prefix) = match spot {
        Spot::Header { name, prefix } => (name, prefix),
        Spot::Query(name) => return Ok(Place::Query(Query::new(name, text))),
        Spot::Cookie(name) => return Ok(Place::Cookie(Cookie::new(name, text)?)),
    };
    fault_of(text).map_or(Ok(()), |fault| {
        Err(PrepareError::UnfitText {
            place: name.to_string(),
            fault,
        })
    })?;
    let value = ready(name, prefixed(prefix, text))?;
    Ok(Place::Header {
        name: name.clone(),
        value,
    })
}

fn header(
    name: &HeaderName,
    prefix: &str,
    field: &str,
    material: &Material,
) -> Result<HeaderValue, PrepareError> {
    let secret = wanted(field, material)?;
    // EXPOSE: an upstream is shown the value itself; it is copied once, into a buffer that is wiped
    // when the last request that points at it has ended.
    let value = secret.expose();
    not_empty(field, &value)?;
    fit(field, &value)?;
    ready(name, prefixed(prefix, &value))
}

fn prefixed(prefix: &str, value: &[u8]) -> Text {
    let mut text = Zeroizing::new(Vec::with_capacity(prefix.len() + value.len()));
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(value);
    text
}

fn basic(username: &str, password: &str, material: &Material) -> Result<HeaderValue, PrepareError> {
    let (user, pass) = (wanted(username, material)?, wanted(password, material)?);
    // EXPOSE: an upstream is shown both values; they are copied into a buffer that is wiped here
    // and, encoded, into one that is wiped when the last request that points at it has ended.
    let (user, pass) = (user.expose(), pass.expose());
    not_empty(username, &user)?;
    fit_basic(username, &user)?;
    fit_basic(password, &pass)?;
    if user.contains(&b':') {
        return Err(unfit(username, Fault::Colon));
    }
    // Buffers have their full size from the start: one that grew would leave its smaller selves.
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + pass.len()));
    pair.extend_from_slice(&user);
    pair.push(b':');
    pair.extend_from_slice(&pass);
    ready(&AUTHORIZATION, encode(&pair)?)
}

/// Copies what a provider asks with: the material itself is wiped when all forms have been made.
fn kept(fields: &[String], material: &Material) -> Result<Material, PrepareError> {
    let mut kept = Material::default();
    for field in fields {
        // EXPOSE: the one copy is wiped when the last call that is made with it has ended.
        let value = wanted(field, material)?.expose();
        not_empty(field, &value)?;
        kept.insert(field.as_str(), Secret::new(&*value));
    }
    Ok(kept)
}

fn encode(pair: &[u8]) -> Result<Zeroizing<Vec<u8>>, PrepareError> {
    let len = BASIC.len() + pair.len().div_ceil(3) * 4;
    let mut text = Zeroizing::new(Vec::with_capacity(len));
    text.extend_from_slice(BASIC);
    text.resize(len, 0);
    let (_, encoded) = text.split_at_mut(BASIC.len());
    STANDARD.encode_slice(pair, encoded)?;
    Ok(text)
}

pub(crate) fn wanted<'a>(field: &str, material: &'a Material) -> Result<&'a Secret, PrepareError> {
    material
        .field(field)
        .ok_or_else(|| PrepareError::MissingField {
            field: field.to_owned(),
            present: material.names().map(str::to_owned).collect(),
        })
}

pub(crate) fn not_empty(field: &str, value: &[u8]) -> Result<(), PrepareError> {
    if value.is_empty() {
        return Err(PrepareError::EmptyField {
            field: field.to_owned(),
        });
    }
    Ok(())
}

fn fit(field: &str, value: &[u8]) -> Result<(), PrepareError> {
    fault_of(value).map_or(Ok(()), |fault| Err(unfit(field, fault)))
}

/// Returns why a value can't stand in a header.
fn fault_of(value: &[u8]) -> Option<Fault> {
    if value.iter().any(u8::is_ascii_control) {
        return Some(Fault::ControlCharacter);
    }
    let outer = value.first() == Some(&b' ') || value.last() == Some(&b' ');
    outer.then_some(Fault::OuterSpace)
}

/// As [`fit`], for a value that is encoded: spaces are safe there, and the text has to be UTF-8.
fn fit_basic(field: &str, value: &[u8]) -> Result<(), PrepareError> {
    if std::str::from_utf8(value).is_err() {
        return Err(unfit(field, Fault::NotUtf8));
    }
    if value.iter().any(u8::is_ascii_control) {
        return Err(unfit(field, Fault::ControlCharacter));
    }
    Ok(())
}

fn unfit(field: &str, fault: Fault) -> PrepareError {
    PrepareError::Unfit {
        field: field.to_owned(),
        fault,
    }
}

/// Turns the text into a value that requests point at, without another copy of it.
pub(crate) fn ready(
    name: &HeaderName,
    text: Zeroizing<Vec<u8>>,
) -> Result<HeaderValue, PrepareError> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
        .ok()
        // The fields have been found fit, so what is left to refuse is the prefix.
        .ok_or_else(|| PrepareError::UnfitPrefix {
            header: name.clone(),
        })?;
    value.set_sensitive(true);
    Ok(value)
}

const BASIC: &[u8] = b"Basic ";

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::InjectionIndex;

    #[test]
    fn a_header_is_prefix_and_value() {
        let headers = applied(&[bearer("X-Token", "Bearer ", "key")], &[("key", "s3cret")]);
        assert_eq!(headers["x-token"], "Bearer s3cret");
        assert!(headers["x-token"].is_sensitive());
    }

    #[test]
    fn basic_is_that_of_rfc_7617_in_utf_8() {
        let fields = [("username", "test"), ("password", "123\u{a3}")];
        // The example of RFC 7617, section 2.1.
        assert_eq!(
            applied(&[login()], &fields)["authorization"],
            "Basic dGVzdDoxMjPCow=="
        );
    }

    #[test]
    fn the_password_may_be_empty_and_hold_colons() {
        let value = |password| {
            let fields = [("username", "u"), ("password", password)];
            applied(&[login()], &fields)["authorization"].clone()
        };
        assert_eq!(value(""), "Basic dTo=");
        assert_eq!(value("a:b"), "Basic dTphOmI=");
    }

    #[test]
    fn what_the_consumer_sent_at_that_place_is_gone() {
        let prepared = prepare(
            &[bearer("x-api-key", "", "key")],
            &material(&[("key", "ours")]),
        )
        .expect("prepared");
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", HeaderValue::from_static("theirs"));
        headers.append("x-api-key", HeaderValue::from_static("theirs too"));
        headers.append("x_api_key", HeaderValue::from_static("theirs again"));
        for _ in 0..2 {
            prepared
                .apply(InjectionIndex(0), &mut headers)
                .expect("known");
            assert_eq!(headers.len(), 1, "{headers:?}");
            assert_eq!(headers["x-api-key"], "ours");
        }
    }

    #[test]
    fn requests_point_at_one_copy_of_the_value() {
        let prepared = prepare(
            &[bearer("x-api-key", "", "key")],
            &material(&[("key", "ours")]),
        )
        .expect("prepared");
        let at = || {
            let mut headers = HeaderMap::new();
            prepared
                .apply(InjectionIndex(0), &mut headers)
                .expect("known");
            headers["x-api-key"].as_bytes().as_ptr()
        };
        assert_eq!(at(), at());
    }

    #[test]
    fn an_unknown_injection_leaves_the_head_alone() {
        let prepared = prepare(&[], &Material::default()).expect("prepared");
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", HeaderValue::from_static("theirs"));
        let error = prepared
            .apply(InjectionIndex(0), &mut headers)
            .expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "the generation was prepared without injection 0"
        );
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_missing_field_is_named_beside_those_there_are() {
        let error = refused(
            &[bearer("a", "", "key")],
            &[("value", "canary"), ("kid", "canary")],
        );
        let text = error.to_string();
        assert!(
            text.contains("`key`") && text.ends_with("kid, value"),
            "{text}"
        );
    }

    #[test]
    fn values_that_http_would_change_are_refused_and_not_shown() {
        for value in [
            "canary\n",
            "canary\r\nX-Admin: 1",
            "canary\t",
            "canary\0",
            " canary",
            "canary ",
        ] {
            let error = refused(&[bearer("a", "", "key")], &[("key", value)]);
            assert!(matches!(error, PrepareError::Unfit { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
        assert!(matches!(
            refused(&[bearer("a", "", "key")], &[("key", "")]),
            PrepareError::EmptyField { .. }
        ));
    }

    #[test]
    fn a_user_name_is_neither_empty_nor_split_by_a_colon() {
        let with = |user| refused(&[login()], &[("username", user), ("password", "canary")]);
        assert!(matches!(
            with("a:b"),
            PrepareError::Unfit {
                fault: Fault::Colon,
                ..
            }
        ));
        assert!(matches!(with(""), PrepareError::EmptyField { .. }));
        assert!(matches!(
            with("a\n"),
            PrepareError::Unfit {
                fault: Fault::ControlCharacter,
                ..
            }
        ));
    }

    #[test]
    fn a_password_that_is_not_utf_8_is_refused() {
        let mut material = material(&[("username", "u")]);
        material.insert("password", Secret::new([0xff]));
        let error = prepare(&[login()], &material).expect_err("refused");
        assert!(matches!(
            error,
            PrepareError::Unfit {
                fault: Fault::NotUtf8,
                ..
            }
        ));
    }

    #[test]
    fn a_prefix_with_a_line_end_is_refused() {
        let error = refused(&[bearer("a", "Bearer\n", "key")], &[("key", "canary")]);
        assert!(matches!(error, PrepareError::UnfitPrefix { .. }));
    }

    #[test]
    fn debug_shows_no_value() {
        let fields = [
            ("key", "canary"),
            ("username", "canary"),
            ("password", "canary"),
        ];
        let prepared = prepare(&[bearer("a", "", "key"), login()], &material(&fields));
        let text = format!("{prepared:?}");
        assert!(
            !text.contains("canary") && !text.contains("Y2FuYXJ5"),
            "{text}"
        );
    }

    fn bearer(name: &'static str, prefix: &str, field: &str) -> Injection {
        Injection::Header {
            name: name.parse().expect("a header name"),
            prefix: prefix.to_owned(),
            field: field.to_owned(),
        }
    }

    fn login() -> Injection {
        Injection::Basic {
            username: "username".to_owned(),
            password: "password".to_owned(),
        }
    }

    fn material(fields: &[(&str, &str)]) -> Material {
        let mut material = Material::default();
        for (name, value) in fields {
            material.insert(*name, Secret::new(*value));
        }
        material
    }

    fn applied(injections: &[Injection], fields: &[(&str, &str)]) -> HeaderMap {
        let prepared = prepare(injections, &material(fields)).expect("prepared");
        let mut headers = HeaderMap::new();
        for index in 0..injections.len() {
            prepared
                .apply(InjectionIndex(index), &mut headers)
                .expect("known");
        }
        headers
    }

    fn refused(injections: &[Injection], fields: &[(&str, &str)]) -> PrepareError {
        prepare(injections, &material(fields)).expect_err("refused")
    }
}
