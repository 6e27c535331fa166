//! What a token endpoint that misbehaves comes to.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use leasehold_model::Failure;
use leasehold_provider::Holding;
use leasehold_testkit::Origin;
use leasehold_testkit::origin::Handler;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::lab::{Held, ask, by_secret, config};

/// Answers with what it was told to.
struct Told {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    seen: Mutex<Vec<String>>,
}

impl Handler for Told {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        self.seen.lock().push(request.uri().path().to_owned());
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        let body = Full::from(self.body.clone());
        // One that can't be made is an empty answer, which no test waits for.
        response.body(body).unwrap_or_default()
    }
}

async fn told(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Origin<Told>> {
    let headers = headers.iter();
    Origin::serve(Told {
        status,
        headers: headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: body.to_owned(),
        seen: Mutex::default(),
    })
    .await
}

#[tokio::test]
async fn each_failure_is_what_the_engine_takes_it_for() -> Result<()> {
    let wait = Failure::SlowDown {
        retry_after: Some(Duration::from_secs(7)),
    };
    let large = format!(r#"{{"access_token":"{}"}}"#, "canary".repeat(20_000));
    let said = r#"{"error":"invalid_scope","error_description":"canary"}"#;
    let away = [("location", "/elsewhere")];
    let cases: [(u16, &[(&'static str, &str)], &str, Failure); 12] = [
        (500, &[], "canary", Failure::MaybeIssued),
        (502, &[], "<html>canary</html>", Failure::MaybeIssued),
        (503, &[("retry-after", "7")], "", wait),
        (429, &[("retry-after", "7")], "", wait),
        (400, &[], said, Failure::Misconfigured),
        (401, &[], r#"{"error":"canary"}"#, Failure::Denied),
        (404, &[], "<html>canary</html>", Failure::Misconfigured),
        (200, &[], "<html>canary</html>", Failure::MaybeIssued),
        (200, &[], "", Failure::MaybeIssued),
        (200, &[], &large, Failure::MaybeIssued),
        (302, &away, "", Failure::Misconfigured),
        (307, &away, "", Failure::Misconfigured),
    ];
    for (status, headers, body, expected) in cases {
        let origin = told(status, headers, body).await?;
        let config = config(&format!("{}/token", origin.url()), by_secret())?;
        let error = ask(config, &Held::of(&[("key", "canary")])).await?;
        let error = error.expect_err("a failure");
        ensure!(error.failure == expected, "{status} {body:.30}: {error}");
        ensure!(
            !format!("{error} {error:?}").contains("canary"),
            "{error:?}"
        );
        let seen = origin.handler().seen.lock().clone();
        ensure!(seen == ["/token"], "asked once and nowhere else: {seen:?}");
    }
    Ok(())
}

#[tokio::test]
async fn only_a_call_that_was_not_sent_has_certainly_issued_nothing() -> Result<()> {
    let parent = Held::of(&[("key", "canary")]);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/token", listener.local_addr()?);
    let gone = async {
        let (mut stream, _) = listener.accept().await?;
        // The whole head has come when the connection ends without an answer.
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("grant_type") {
            ensure!(
                stream.read_buf(&mut text).await? > 0,
                "the request broke off"
            );
        }
        Ok(())
    };
    let (lost, gone) = tokio::join!(ask(config(&url, by_secret())?, &parent), gone);
    gone?;
    ensure!(lost?.expect_err("no answer").failure == Failure::MaybeIssued);
    drop(listener);
    let refused = ask(config(&url, by_secret())?, &parent).await?;
    ensure!(refused.expect_err("no connection").failure == Failure::Unreachable);
    Ok(())
}

#[tokio::test]
async fn a_refused_client_is_doubted() -> Result<()> {
    let origin = told(
        401,
        &[("x-request-id", "r-17")],
        r#"{"error":"invalid_client"}"#,
    )
    .await?;
    let parent = Held::of(&[("key", "canary")]);
    let config = config(&format!("{}/token", origin.url()), by_secret())?;
    let error = ask(config, &parent).await?.expect_err("refused");
    ensure!(error.failure == Failure::Denied);
    ensure!(error.to_string().contains("invalid_client"), "{error}");
    ensure!(error.request_id.is_some_and(|it| it.to_string() == "r-17"));
    ensure!(parent.refused.load(Ordering::Relaxed) == 1);
    Ok(())
}

#[tokio::test]
async fn nothing_is_given_out_that_a_former_client_asked_for() -> Result<()> {
    let body = r#"{"access_token":"t","token_type":"Bearer"}"#;
    let origin = told(200, &[], body).await?;
    let url = format!("{}/token", origin.url());
    let parent = Held::of(&[("key", "canary")]);
    let fetched = ask(config(&url, by_secret())?, &parent).await??;
    let declared = Duration::from_secs(300);
    ensure!(fetched.holding == Holding::Token { ttl: declared });
    parent.replaced.store(true, Ordering::Relaxed);
    let error = ask(config(&url, by_secret())?, &parent).await?;
    ensure!(error.expect_err("replaced").failure == Failure::Transient);
    let error = ask(config(&url, by_secret())?, &Held::none()).await?;
    ensure!(error.expect_err("none").failure == Failure::Transient);
    Ok(())
}
