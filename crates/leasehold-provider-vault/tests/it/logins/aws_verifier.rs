use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::signed::now;
use crate::fake::read_request;

/// An access key that AWS knows.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) access_key: &'static str,
    pub(crate) secret_key: &'static str,
    pub(crate) session_token: Option<&'static str>,
}

/// What Vault's AWS method and the STS behind it check of a login, with a signature that is
/// computed anew from the request as it was sent, by code that shares nothing with the signer's.
#[derive(Clone)]
pub(crate) struct Verifier {
    pub(crate) keys: Vec<Known>,
    pub(crate) region: &'static str,
    pub(crate) host: &'static str,
    pub(crate) server_id: Option<&'static str>,
}

/// A Vault with nothing but the AWS method and tokens that can be renewed and revoked.
pub(crate) struct AwsVault {
    address: SocketAddr,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl AwsVault {
    pub(crate) fn start(verifier: Verifier) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let refusals = Arc::new(Mutex::default());
        let ours = Arc::clone(&refusals);
        thread::spawn(move || {
            // The thread ends with the test's process: it holds nothing that needs cleaning up.
            for stream in listener.incoming().flatten() {
                // A connection that breaks is the other side's to notice.
                serve(stream, &verifier, &ours).ok();
            }
        });
        Ok(Self { address, refusals })
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns why logins were refused, in order.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.refusals.lock().clone()
    }
}

fn serve(mut stream: TcpStream, verifier: &Verifier, refusals: &Mutex<Vec<String>>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = read_request(&mut stream)?;
    let (head, body) = request.split_once("\r\n\r\n").context("a request")?;
    let (status, body) = if head.starts_with("POST /v1/auth/aws/login ") {
        match verifier.login(body) {
            Ok(()) => (200, granted()),
            Err(reason) => {
                refusals.lock().push(format!("{reason:#}"));
                let text = "error making upstream request: received error code 403 from STS";
                (400, json!({ "errors": [text] }))
            }
        }
    } else if head.starts_with("POST /v1/auth/token/renew-self ") {
        (200, granted())
    } else {
        (204, Value::Null)
    };
    let body = if status == 204 {
        String::new()
    } else {
        body.to_string()
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}

fn granted() -> Value {
    json!({ "auth": {
        "client_token": "s.aws-session", "lease_duration": 60, "renewable": true, "num_uses": 0,
        "policies": ["default"], "token_type": "service",
    }})
}

impl Verifier {
    fn login(&self, body: &str) -> Result<()> {
        let login: Value = serde_json::from_str(body)?;
        let text = |name: &str| login[name].as_str().context("a text").map(str::to_owned);
        let decoded = |name: &str| -> Result<String> {
            Ok(String::from_utf8(STANDARD.decode(text(name)?)?)?)
        };
        ensure!(text("role")? == "gateway", "the role");
        ensure!(text("iam_http_request_method")? == "POST", "the method");
        let url = decoded("iam_request_url")?;
        ensure!(url == format!("https://{}/", self.host), "the url is {url}");
        let request = decoded("iam_request_body")?;
        ensure!(
            request == "Action=GetCallerIdentity&Version=2011-06-15",
            "the body is {request}"
        );
        let headers: BTreeMap<String, String> =
            serde_json::from_str(&decoded("iam_request_headers")?)?;
        // Vault looks this one up by its canonical name.
        ensure!(
            headers.contains_key("Authorization"),
            "no Authorization among {:?}",
            headers.keys()
        );
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        self.request(&headers, &request)
    }

    /// Checks the request that the server would send on.
    fn request(&self, headers: &BTreeMap<String, String>, body: &str) -> Result<()> {
        let header = |name: &str| headers.get(name).map(String::as_str);
        let authorization = header("authorization").context("no authorization")?;
        let shown = Authorization::parse(authorization)?;
        let known = self
            .keys
            .iter()
            .find(|it| it.access_key == shown.access_key);
        let known = known.context("an unknown access key")?;
        ensure!(
            header("x-amz-security-token") == known.session_token,
            "the session token"
        );
        ensure!(header("host") == Some(self.host), "the host");
        for signed in ["host", "x-amz-date"] {
            ensure!(shown.signs(signed), "{signed} is not signed");
        }
        if let Some(server_id) = self.server_id {
            ensure!(header(SERVER_ID) == Some(server_id), "the server id");
            ensure!(shown.signs(SERVER_ID), "the server id is not signed");
        }
        let date = header("x-amz-date").context("no date")?;
        let age = (now()? - seconds(date)?).abs();
        ensure!(age < 15 * 60, "the request is {age} s old");
        let scope = format!(
            "{}/{}/sts/aws4_request",
            date.get(..8).unwrap_or_default(),
            self.region
        );
        ensure!(shown.scope == scope, "the scope is {}", shown.scope);
        let computed = signature(
            known.secret_key,
            "POST",
            headers,
            &shown.signed_headers,
            body,
            &scope,
        )?;
        ensure!(computed == shown.signature, "the signature is wrong");
        Ok(())
    }
}

/// The parts of an `Authorization` header.
struct Authorization {
    access_key: String,
    scope: String,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("AWS4-HMAC-SHA256 ");
        let parts: BTreeMap<&str, &str> = rest
            .context("another algorithm")?
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
            .collect();
        let part = |name: &str| parts.get(name).copied().context("a part is missing");
        let (access_key, scope) = part("Credential")?.split_once('/').context("a scope")?;
        Ok(Self {
            access_key: access_key.to_owned(),
            scope: scope.to_owned(),
            signed_headers: part("SignedHeaders")?
                .split(';')
                .map(str::to_owned)
                .collect(),
            signature: part("Signature")?.to_owned(),
        })
    }

    fn signs(&self, header: &str) -> bool {
        self.signed_headers.iter().any(|it| it == header)
    }
}

/// Computes the signature of a request for `/`, as AWS's description of Signature Version 4 says.
fn signature(
    secret_key: &str,
    method: &str,
    headers: &BTreeMap<String, String>,
    signed: &[String],
    body: &str,
    scope: &str,
) -> Result<String> {
    let mut canonical = format!("{method}\n/\n\n");
    for name in signed {
        let value = headers.get(name).context("a signed header is missing")?;
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    canonical.push_str(&format!("\n{}\n{}", signed.join(";"), sha256(body)));
    let date = headers.get("x-amz-date").context("no date")?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
    let mut key = format!("AWS4{secret_key}").into_bytes();
    for part in scope.split('/') {
        key = hmac_sha256(&key, part);
    }
    Ok(hex::encode(hmac_sha256(&key, &to_sign)))
}

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// Reads `20150830T123600Z` as seconds since 1970.
fn seconds(date: &str) -> Result<i64> {
    let number = |from: usize, to: usize| -> Result<i64> {
        let digits = date.get(from..to).context("a date")?;
        digits.parse().context("a date")
    };
    if date.len() != 16 || !date.ends_with('Z') {
        bail!("{date} is no date");
    }
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Counted from March, so that the leap day is the last one of a year.
    let years = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = years * 365 + years / 4 - years / 100 + years / 400 + day_of_year - 719_468;
    Ok(days * 86_400 + number(9, 11)? * 3600 + number(11, 13)? * 60 + number(13, 15)?)
}

/// The verifier gets the signature that AWS publishes for its example `get-vanilla`.
#[test]
fn the_verifier_agrees_with_a_signature_that_aws_published() -> Result<()> {
    let headers = BTreeMap::from([
        ("host".to_owned(), "example.amazonaws.com".to_owned()),
        ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
    ]);
    let signed = ["host".to_owned(), "x-amz-date".to_owned()];
    let computed = signature(
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "GET",
        &headers,
        &signed,
        "",
        "20150830/us-east-1/service/aws4_request",
    )?;
    let published = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    assert_eq!(computed, published);
    assert_eq!(seconds("20150830T123600Z")?, 1_440_938_160);
    assert_eq!(seconds("19700101T000000Z")?, 0);
    Ok(())
}

const SERVER_ID: &str = "x-vault-aws-iam-server-id";
