use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret};
use serde::Serialize;
use zeroize::Zeroizing;

use super::aws_keys::Keys;
use super::{login_path, longest, unprepared, unprepared_by};
use crate::body;
use crate::call::{Call, Operation};
use crate::config::SetupError;
use crate::config::auth::{AwsCredentials, AwsIam};
use crate::path::VaultPath;

/// A login with a signed `sts:GetCallerIdentity`: the server sends the request on to AWS and learns
/// from its answer who signed it. The secret key stays here.
#[derive(Debug)]
pub(crate) struct AwsLogin {
    path: VaultPath,
    role: String,
    region: String,
    url: String,
    server_id: Option<String>,
    credentials: AwsCredentials,
}

impl AwsLogin {
    pub(super) fn new(aws: &AwsIam) -> Result<Self, SetupError> {
        Ok(Self {
            path: login_path(&aws.mount)?,
            role: aws.role.clone(),
            region: aws.region.clone(),
            url: format!("https://{}/", sts_host(&aws.region)),
            server_id: aws.server_id.clone(),
            credentials: aws.credentials.clone(),
        })
    }

    /// Reads the access key, signs the request with it and writes the call.
    pub(super) fn call(&self, now: SystemTime) -> Result<Call, ProviderError> {
        let keys = Keys::read(&self.credentials).map_err(|error| {
            unprepared_by(&self.path, "the access key could not be read", error)
        })?;
        let body = self
            .body(&keys, now)
            .ok_or_else(|| unprepared(&self.path, "the request to aws could not be signed"))?;
        Ok(Call::write(Operation::LogIn, self.path.clone(), body))
    }

    fn body(&self, keys: &Keys, now: SystemTime) -> Option<Bytes> {
        #[derive(Serialize)]
        struct Body<'a> {
            role: &'a str,
            iam_http_request_method: &'a str,
            iam_request_url: &'a str,
            iam_request_body: &'a str,
            iam_request_headers: &'a str,
        }
        let url = STANDARD.encode(&self.url);
        let request = STANDARD.encode(REQUEST);
        let headers = self.headers(keys, now)?;
        let headers = Zeroizing::new(STANDARD.encode(&*headers));
        let role = self.role.as_str();
        let body = Body {
            role,
            iam_http_request_method: METHOD,
            iam_request_url: &url,
            iam_request_body: &request,
            iam_request_headers: &headers,
        };
        body::write(&body, longest([role, METHOD, &url, &request, &headers])).ok()
    }

    /// Returns the headers of the signed request as JSON. A session token is among them, so nobody
    /// may print them.
    ///
    /// Nothing is said of why a request can't be signed: it would quote what was to be signed.
    fn headers(&self, keys: &Keys, now: SystemTime) -> Option<Zeroizing<Vec<u8>>> {
        let mut headers = BTreeMap::from([
            ("host", sts_host(&self.region)),
            ("content-type", FORM.to_owned()),
        ]);
        if let Some(server_id) = &self.server_id {
            headers.insert(SERVER_ID, server_id.clone());
        }
        let identity = credentials(keys)?.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sts")
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let unsigned = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(REQUEST.as_bytes());
        let request = SignableRequest::new(METHOD, &self.url, unsigned, body).ok()?;
        let (signed, _signature) = sign(request, &params).ok()?.into_parts();
        let unsigned = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let all: BTreeMap<String, &str> = unsigned
            .chain(signed.headers())
            .map(|(name, value)| (canonical(name), value))
            .collect();
        serde_json::to_vec(&all).ok().map(Zeroizing::new)
    }
}

fn credentials(keys: &Keys) -> Option<Credentials> {
    let text = |secret: &Secret| {
        // EXPOSE: the signer takes the key as text and wipes it when it drops it; the secret key
        // itself goes no further than the signature.
        secret.expose().as_str().map(str::to_owned).ok()
    };
    let session_token = match &keys.session_token {
        Some(token) => Some(text(token)?),
        None => None,
    };
    Some(Credentials::new(
        text(&keys.access_key)?,
        text(&keys.secret_key)?,
        session_token,
        None,
        "leasehold",
    ))
}

/// Writes a header's name as Go does, which is how Vault looks `Authorization` up.
fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|it| it.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

/// Returns where the request is signed for. Where the server sends it is the server's own setting;
/// it must be the same region, and unless it is told otherwise it is `sts.amazonaws.com`.
fn sts_host(region: &str) -> String {
    if region == "us-east-1" {
        return "sts.amazonaws.com".to_owned();
    }
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("sts.{region}.amazonaws.com{china}")
}

const METHOD: &str = "POST";
const REQUEST: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const SERVER_ID: &str = "x-vault-aws-iam-server-id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_endpoint_of_its_region() {
        for (region, host) in [
            ("us-east-1", "sts.amazonaws.com"),
            ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
            ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(sts_host(region), host);
        }
    }
}
