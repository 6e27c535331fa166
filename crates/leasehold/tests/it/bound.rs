//! What is on lease goes where the configuration says, whatever the environment or a change of it says.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use leasehold_testkit::origin::TokenServer;
use leasehold_testkit::{GatewayProcess, Origin, Scratch, secret, wait};
use rustix::process::Signal;
use serde_json::json;

use crate::native;
use crate::support::{Gateway, PATIENCE, binary, document, lab, vault_provider};

#[tokio::test]
async fn proxies_that_the_environment_names_are_asked_for_nothing() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let client = secret()?;
    lab.openbao
        .kv_put("kv", "idp/client", json!({ "key": client }))
        .await?;
    let server = TokenServer::new(Duration::from_hours(1));
    server.accept(&client);
    let (origin, keys, collector) = (
        server.start().await?,
        Origin::echo().await?,
        Origin::echo().await?,
    );
    let trap = TcpListener::bind("127.0.0.1:0")?;
    let proxy = format!("http://{}", trap.local_addr()?);
    let variables = PROXIES.map(|name| (name, OsStr::new(&proxy)));
    let text = document(&format!(
        "{vault}  \
           idp: {{ kind: oauth, token_endpoint: {url}/token, client: {{ credential: client, id: gateway, \
             secret: key, method: client_secret_basic }} }}\n\
         telemetry: {{ endpoint: {:?} }}\n\
         token_issuers: {{ corp: {{ issuer: corp, audiences: [api], jwks: {{ url: {:?} }} }} }}\n\
         credentials:\n  \
           client: {{ from: {{ provider: vault, kv: kv/idp/client, field: key }}, hosts: [127.0.0.1] }}\n  \
           token: {{ from: {{ provider: idp, oauth: {{}} }}, hosts: [127.0.0.1] }}\n\
         upstreams:\n  \
           crm: {{ endpoints: [{url:?}], credential: token, \
             inject: {{ header: Authorization, prefix: 'Bearer ', field: access_token }} }}\n\
         routes: [{{ name: crm, upstream: crm, consumers: [tester] }}]\n",
        collector.url(),
        keys.url(),
        vault = vault_provider(&lab).await?,
        url = origin.url(),
    ));
    let process = GatewayProcess::launch_observable(binary(), &text, &[], &variables)?;
    let mut gateway = Gateway::of(process).await?;
    gateway.ready("crm").await?;
    ensure!(gateway.get("/").await?.status == 200);
    for (what, asked) in [("the issuer", &keys), ("the collector", &collector)] {
        wait::until_true(what, PATIENCE, async || Ok(asked.connections() > 0)).await?;
    }
    gateway.stop().await?;
    trap.set_nonblocking(true)?;
    let asked = trap.accept().map_err(|error| error.kind());
    ensure!(matches!(asked, Err(ErrorKind::WouldBlock)), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_outside_the_hosts_of_its_credential_is_not_put_to_work() -> Result<()> {
    let scratch = Scratch::new()?;
    let key = secret()?;
    native::put(scratch.path(), "demo/key", &key)?;
    let (file, key_file) = (scratch.path().join("data"), scratch.path().join("key"));
    let (origin, elsewhere) = (Origin::echo().await?, Origin::echo().await?);
    let port = origin.address().port();
    let parts = |endpoint: &str| {
        format!(
            "providers: {{ local: {{ kind: native, file: {file:?}, key_file: {key_file:?} }} }}\n\
             credentials:\n  \
               key: {{ from: {{ provider: local, path: demo/key, field: key }}, hosts: [\"127.0.0.1:{port}\"] }}\n\
             upstreams:\n  \
               api: {{ endpoints: [{endpoint:?}], credential: key, inject: {{ header: X-Key }} }}\n\
             routes: [{{ name: api, upstream: api, consumers: [tester] }}]\n"
        )
    };
    let mut gateway = Gateway::start(&parts(&origin.url())).await?;
    gateway.ready("api").await?;
    for (count, endpoint) in [
        elsewhere.url(),
        elsewhere.url().replace("127.0.0.1", "localhost"),
        format!("http://127.0.0.2:{port}"),
    ]
    .iter()
    .enumerate()
    {
        gateway.configure(&document(&parts(endpoint)))?;
        gateway.signal(Signal::HUP)?;
        let line = format!(
            "leasehold_config_reloads_total{{outcome=\"refused\"}} {}",
            count + 1
        );
        wait::until_true(&line, PATIENCE, async || {
            Ok(gateway.metrics().await?.lines().any(|it| it == line))
        })
        .await?;
        let answer = gateway.get("/").await?;
        ensure!(answer.status == 200 && answer.text.contains(&key));
    }
    gateway.stop().await?;
    ensure!(elsewhere.connections() == 0);
    let log = gateway.process().stderr()?;
    ensure!(log.contains("outside_hosts"), "{log}");
    Ok(())
}

const PROXIES: [&str; 7] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
