use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_model::JwtAlgorithm;
use serde::Serialize;

/// The claims could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("the claims can't be written as json")]
pub struct TextError;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

/// Returns what the signature of a token is over: its header and its claims, encoded.
///
/// # Errors
///
/// When the claims can't be written as JSON.
pub fn text(
    algorithm: JwtAlgorithm,
    key_id: Option<&str>,
    claims: &impl Serialize,
) -> Result<String, TextError> {
    let header = Header {
        alg: algorithm.name(),
        typ: "JWT",
        kid: key_id,
    };
    Ok(format!("{}.{}", part(&header)?, part(claims)?))
}

fn part(value: &impl Serialize) -> Result<String, TextError> {
    let json = serde_json::to_vec(value).map_err(|_unwritable| TextError)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
