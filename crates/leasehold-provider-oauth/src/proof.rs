//! How the client proves who it is.

mod assertion;

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leasehold_provider::Material;
use leasehold_secret::{Expose as _, Secret};
use reqwest::Identity;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use self::assertion::{Assertion, AssertionError};
use crate::config::{ClientId, Method, OauthConfig};
use crate::form::{Form, LONGEST_ESCAPE, encode};

/// What a request for a token carries as proof of the client, beside what goes into its form.
#[derive(Default)]
pub(crate) struct Proof {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) identity: Option<Identity>,
}

/// Why the parent's material proves nothing. Names fields and never a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error("the client's credential has no field `{0}`")]
    Missing(String),
    #[error("field `{0}` of the client's credential is not text")]
    NotText(String),
    #[error("field `{field}` of the client's credential can't sign: it {problem}")]
    Key {
        field: String,
        problem: &'static str,
    },
    #[error(
        "fields `{certificate}` and `{key}` are not certificate and unencrypted key in pem form"
    )]
    Identity { certificate: String, key: String },
    #[error("the proof could not be encoded")]
    Unencodable,
    #[error("the system's random source failed")]
    Random,
}

/// Adds to the form what proves the client, and returns what the request carries beside it.
pub(crate) fn prove(
    config: &OauthConfig,
    material: &Material,
    now: SystemTime,
    form: &mut Form,
) -> Result<Proof, ProofError> {
    let id = client_id(&config.client_id, material)?;
    let mut proof = Proof::default();
    match &config.method {
        Method::SecretBasic { secret } => {
            proof.authorization = Some(basic(&id, wanted(secret, material)?)?);
        }
        Method::SecretPost { secret } => {
            form.add("client_id", id.as_bytes());
            // EXPOSE: the token endpoint is shown the secret; the form is wiped with the request.
            form.add("client_secret", &wanted(secret, material)?.expose());
        }
        Method::PrivateKeyJwt { key, key_id } => {
            let assertion = Assertion {
                client: &id,
                audience: config.token_endpoint.as_str(),
                key_id: key_id.as_deref(),
                now,
            };
            let signed = assertion.signed_by(wanted(key, material)?);
            let signed = signed.map_err(|error| unfit(key, &error))?;
            form.add("client_id", id.as_bytes());
            form.add("client_assertion_type", ASSERTION_TYPE);
            form.add("client_assertion", signed.as_bytes());
        }
        Method::Tls {
            certificate,
            key,
            chain,
        } => {
            form.add("client_id", id.as_bytes());
            proof.identity = Some(identity(certificate, key, chain.as_deref(), material)?);
        }
    }
    Ok(proof)
}

fn client_id(id: &ClientId, material: &Material) -> Result<String, ProofError> {
    match id {
        ClientId::Fixed(id) => Ok(id.clone()),
        ClientId::Field(field) => {
            // EXPOSE: the identifier is not secret; it is kept beside the secret so that both are
            // replaced at once.
            let value = wanted(field, material)?.expose();
            let text = value.as_str();
            let text = text.map_err(|_not_utf8| ProofError::NotText(field.clone()))?;
            Ok(text.to_owned())
        }
    }
}

/// `Authorization: Basic` with both parts encoded as in a form, as RFC 6749 section 2.3.1 wants them.
fn basic(id: &str, secret: &Secret) -> Result<HeaderValue, ProofError> {
    // EXPOSE: the token endpoint is shown the secret; both buffers are wiped, the second one when the
    // request has been sent.
    let secret = secret.expose();
    let longest = (id.len() + secret.len()) * LONGEST_ESCAPE + 1;
    let mut pair = Zeroizing::new(Vec::with_capacity(longest));
    encode(id.as_bytes(), &mut pair);
    pair.push(b':');
    encode(&secret, &mut pair);
    let length = BASIC.len() + pair.len().div_ceil(3) * 4;
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    text.extend_from_slice(BASIC);
    text.resize(length, 0);
    let (_, encoded) = text.split_at_mut(BASIC.len());
    let encoded = STANDARD.encode_slice(&*pair, encoded);
    encoded.map_err(|_too_small| ProofError::Unencodable)?;
    let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
    let mut value = value.map_err(|_invalid| ProofError::Unencodable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Puts certificate and key together as the TLS library wants them.
///
/// Why it refuses them is not told: its words may quote a line of the key.
fn identity(
    certificate: &str,
    key: &str,
    chain: Option<&str>,
    material: &Material,
) -> Result<Identity, ProofError> {
    let fields = [Some(certificate), chain, Some(key)];
    let fields = fields.into_iter().flatten();
    let fields = fields.map(|field| wanted(field, material));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    // EXPOSE: the key signs the handshake; the text is put together in a buffer that is wiped, and the
    // TLS library's own copy is wiped by the allocator when the call has ended.
    let fields: Vec<_> = fields.iter().map(|it| it.expose()).collect();
    let length = fields.iter().map(|it| it.len() + 1).sum();
    let mut pem = Zeroizing::new(Vec::with_capacity(length));
    for field in &fields {
        pem.extend_from_slice(field);
        pem.push(b'\n');
    }
    Identity::from_pem(&pem).map_err(|_quotes_the_key| ProofError::Identity {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    })
}

fn wanted<'a>(field: &str, material: &'a Material) -> Result<&'a Secret, ProofError> {
    let found = material.field(field).filter(|it| !it.is_empty());
    found.ok_or_else(|| ProofError::Missing(field.to_owned()))
}

fn unfit(field: &str, error: &AssertionError) -> ProofError {
    let problem = match error {
        AssertionError::NotPem => "is not an unencrypted key in pem form",
        AssertionError::Unsupported => {
            "is neither an rsa key of 2048 bits or more nor one of the curve p-256"
        }
        AssertionError::Random => return ProofError::Random,
        AssertionError::Unencodable => return ProofError::Unencodable,
    };
    let field = field.to_owned();
    ProofError::Key { field, problem }
}

const BASIC: &[u8] = b"Basic ";
const ASSERTION_TYPE: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
