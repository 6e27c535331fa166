//! An upstream that sends back what it was shown, before the whole gateway.

use anyhow::{Result, ensure};
use leasehold_testkit::{Origin, Scratch, secret, wait};

use crate::native::put;
use crate::operator::run;
use crate::support::{Gateway, PATIENCE, operated_document};

#[tokio::test]
async fn what_an_upstream_sends_back_is_blocked_from_the_reload_on_that_asks_for_it() -> Result<()>
{
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let (key, next) = (secret()?, secret()?);
    put(scratch.path(), "demo/key", &key)?;
    put(scratch.path(), "demo/short", "seven77")?;
    let origin = Origin::echo().await?;
    let (file, key_file) = (scratch.path().join("data"), scratch.path().join("key"));
    let parts = |reflection: &str| {
        format!(
            "providers: {{ local: {{ kind: native, file: {file:?}, key_file: {key_file:?} }} }}\n\
             credentials:\n  \
               key: {{ from: {{ provider: local, path: demo/key, field: key, poll: 100ms }} }}\n  \
               short: {{ from: {{ provider: local, path: demo/short, field: key, poll: 100ms }} }}\n\
             upstreams:\n  \
               echo: {{ endpoints: [{url:?}], credential: key, inject: {{ header: Authorization, prefix: 'Bearer ' }} }}\n  \
               short: {{ endpoints: [{url:?}], credential: short, inject: {{ header: X-Key }} }}\n\
             routes:\n  \
               - {{ name: short, match: {{ path: /short/ }}, upstream: short, consumers: [tester]{reflection} }}\n  \
               - {{ name: echo, upstream: echo, consumers: [tester]{reflection} }}\n",
            url = origin.url()
        )
    };
    let mut gateway = Gateway::start_operated("seals", &socket, &parts("")).await?;
    gateway.ready("echo").await?;
    ensure!(
        gateway.get("/").await?.text.contains(&key),
        "the upstream echoes"
    );

    gateway.configure(&operated_document(
        "seals",
        &socket,
        &parts(", reflection: block"),
    ))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(
        said.code == 0 && said.stdout.contains("2 (key, short) fetched"),
        "{said:?}"
    );
    ensure!(breaks_off(&gateway).await, "it breaks off");
    put(scratch.path(), "demo/key", &next)?;
    wait::until_true("the next version to be blocked too", PATIENCE, async || {
        let records = gateway.records()?;
        let versions = records
            .iter()
            .filter(|it| it.reason.as_deref() == Some("credential_reflected"));
        let mut generations: Vec<_> = versions.filter_map(|it| it.generation).collect();
        generations.dedup();
        // Each is a generation that was found.
        ensure!(breaks_off(&gateway).await, "it breaks off");
        Ok(generations.len() >= 2)
    })
    .await?;

    // What is too short to be looked for is not served unlooked.
    let answer = gateway.get("/short/").await?;
    ensure!(answer.status == 503, "{answer:?}");
    let log = gateway.process().stderr()?;
    ensure!(
        log.contains("fewer than 8 bytes") && !log.contains("seven77"),
        "{log}"
    );
    ensure!(
        log.contains("upstream sends back the credential that it was shown"),
        "{log}"
    );
    ensure!(
        !log.contains(&key) && !log.contains(&next),
        "the log shows it"
    );
    gateway.stop().await
}

/// Tells whether an answer ends before its end: with its head, where both are sent in one go.
async fn breaks_off(gateway: &Gateway) -> bool {
    match gateway.request("/").send().await {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    }
}
