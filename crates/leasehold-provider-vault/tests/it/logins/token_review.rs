use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::signed::Signer;
use crate::fake::read_request;

/// The part of a Kubernetes API server that answers token reviews, as
/// `authentication.k8s.io/v1` documents them.
///
/// It verifies what it signed itself: signature, expiry, audience, and that the account exists.
pub(crate) struct TokenReviewer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    signer: Signer,
    deleted: Mutex<Vec<String>>,
    reviews: Mutex<usize>,
}

impl TokenReviewer {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            signer: Signer::generate()?,
            deleted: Mutex::default(),
            reviews: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            // The thread ends with the test's process: it holds nothing that needs cleaning up.
            for stream in listener.incoming().flatten() {
                // A connection that breaks is the other side's to notice.
                serve(stream, &ours).ok();
            }
        });
        Ok(Self { address, shared })
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many reviews were asked for.
    pub(crate) fn reviews(&self) -> usize {
        *self.shared.reviews.lock()
    }

    /// Projects a token for a service account, as the kubelet asks for it.
    pub(crate) fn project(&self, namespace: &str, account: &str, seconds: i64) -> Result<String> {
        let claims = json!({
            "iss": "https://kubernetes.default.svc.cluster.local",
            "aud": [AUDIENCE],
            "sub": username(namespace, account),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": { "name": account, "uid": uid(account) },
            },
        });
        self.shared.signer.sign(claims, seconds)
    }

    /// Deletes a service account: its tokens are no longer authenticated.
    pub(crate) fn delete(&self, account: &str) {
        self.shared.deleted.lock().push(account.to_owned());
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = read_request(&mut stream)?;
    let (status, body) = answer(&request, shared);
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    Ok(())
}

fn answer(request: &str, shared: &Shared) -> (u16, Value) {
    if !request.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews ") {
        return (404, failure(404, "NotFound"));
    }
    // Whoever asks must be somebody: without a reviewer's token it is the reviewed one itself.
    let bearer = bearer(request).and_then(|token| shared.authenticate(&token));
    if bearer.is_none() {
        return (401, failure(401, "Unauthorized"));
    }
    let Some(review) = review(request) else {
        return (400, failure(400, "BadRequest"));
    };
    *shared.reviews.lock() += 1;
    let token = review.pointer("/spec/token").and_then(Value::as_str);
    let claims = token.and_then(|token| shared.authenticate(token));
    let asked = review.pointer("/spec/audiences").and_then(Value::as_array);
    let takes = asked.is_none_or(|asked| asked.is_empty() || asked.contains(&json!(AUDIENCE)));
    let status = match claims {
        Some(claims) if takes => authenticated(&claims),
        _ => json!({ "user": {}, "error": "[invalid bearer token, token lookup failed]" }),
    };
    let mut answer = review;
    answer["status"] = status;
    (201, answer)
}

impl Shared {
    fn authenticate(&self, token: &str) -> Option<Value> {
        let claims = self.signer.check(token)?;
        let account = claims["kubernetes.io"]["serviceaccount"]["name"].as_str()?;
        let deleted = self.deleted.lock().iter().any(|it| it == account);
        (!deleted).then_some(claims)
    }
}

fn authenticated(claims: &Value) -> Value {
    let account = &claims["kubernetes.io"]["serviceaccount"];
    let namespace = claims["kubernetes.io"]["namespace"].as_str();
    let group = format!("system:serviceaccounts:{}", namespace.unwrap_or_default());
    json!({
        "authenticated": true,
        "user": {
            "username": claims["sub"],
            "uid": account["uid"],
            "groups": ["system:serviceaccounts", group, "system:authenticated"],
        },
        "audiences": [AUDIENCE],
    })
}

fn failure(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    })
}

fn review(request: &str) -> Option<Value> {
    let (_head, body) = request.split_once("\r\n\r\n")?;
    let mut review: Value = serde_json::from_str(body).ok()?;
    // What does not say what it is, is taken for what belongs to the path; OpenBao does not say.
    let kind = review.get("kind").cloned();
    if kind.is_some_and(|kind| kind != "TokenReview") {
        return None;
    }
    review["kind"] = json!("TokenReview");
    review["apiVersion"] = json!("authentication.k8s.io/v1");
    Some(review)
}

fn bearer(request: &str) -> Option<String> {
    let line = request.lines().find(|line| {
        line.get(..AUTHORIZATION.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(AUTHORIZATION))
    })?;
    line.split("Bearer ").nth(1).map(str::to_owned)
}

fn username(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

fn uid(account: &str) -> String {
    format!("uid-of-{account}")
}

const AUTHORIZATION: &str = "authorization: bearer ";
/// The audience of the tokens that are projected.
pub(crate) const AUDIENCE: &str = "vault";
