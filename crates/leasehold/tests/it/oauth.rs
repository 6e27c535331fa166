//! Access tokens that are asked for with a secret of the native provider, of a server that verifies
//! each authentication.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::{IssuedToken, TokenServer};
use leasehold_testkit::{Origin, Scratch, secret, wait};

use crate::native;
use crate::support::{Gateway, PATIENCE};

struct Scene {
    scratch: Scratch,
    server: TokenServer,
    origin: Origin<TokenServer>,
    secret: String,
}

impl Scene {
    async fn new(life: u64) -> Result<Self> {
        let scratch = Scratch::new()?;
        let server = TokenServer::new(Duration::from_secs(life));
        let scene = Self {
            origin: server.start().await?,
            // What a form has to escape goes through both methods.
            secret: format!("{}+ &%:", secret()?),
            scratch,
            server,
        };
        scene.server.accept(&scene.secret);
        native::put(scene.scratch.path(), "idp/client", &scene.secret)?;
        Ok(scene)
    }

    async fn gateway(&self, method: &str, token: &str) -> Result<Gateway> {
        self.gateway_that_trusts_for("1h", method, token).await
    }

    /// Starts a gateway that serves a secret for this long after it was last seen at its provider.
    async fn gateway_that_trusts_for(
        &self,
        max_stale: &str,
        method: &str,
        token: &str,
    ) -> Result<Gateway> {
        let path = self.scratch.path();
        let (file, key) = (path.join("data"), path.join("key"));
        let url = self.origin.url();
        Gateway::start(&format!(
            "providers:\n  \
               local: {{ kind: native, file: {file:?}, key_file: {key:?} }}\n  \
               idp:\n    \
                 kind: oauth\n    \
                 token_endpoint: {url}/token\n    \
                 client: {{ credential: client, id: gateway, secret: key, method: {method} }}\n\
             credentials:\n  \
               client: {{ from: {{ provider: local, path: idp/client, poll: 100ms, max_stale: {max_stale} }} }}\n  \
               token: {{ from: {{ provider: idp, oauth: {token} }} }}\n\
             upstreams:\n  \
               crm:\n    \
                 endpoints: [{url:?}]\n    \
                 credential: token\n    \
                 inject: {{ header: Authorization, prefix: 'Bearer ', field: access_token }}\n\
             routes: [{{ name: crm, upstream: crm, consumers: [tester] }}]\n",
        ))
        .await
    }

    /// Ends the gateway and looks for what was secret in all that it wrote and answered.
    async fn end(&self, mut gateway: Gateway, more: &[String]) -> Result<()> {
        gateway.stop().await?;
        let tokens = self.server.issued().into_iter().map(|it| it.value);
        let mut secrets: Vec<_> = tokens.chain(more.iter().cloned()).collect();
        secrets.push(self.secret.clone());
        gateway.assert_no_leak(&secrets)
    }

    fn shown(&self, is_it: impl Fn(&IssuedToken) -> bool) -> usize {
        let issued = self.server.issued().into_iter();
        issued.filter(|it| is_it(it)).map(|it| it.shown).sum()
    }
}

#[tokio::test]
async fn a_token_is_asked_for_by_basic_and_by_the_form() -> Result<()> {
    for method in ["client_secret_basic", "client_secret_post"] {
        let scene = Scene::new(3600).await?;
        let mut gateway = scene
            .gateway(method, "{ scope: 'crm.read crm.write', audience: crm }")
            .await?;
        gateway.ready("crm").await?;
        let answer = gateway.get("/").await?;
        ensure!(answer.status == 200, "{method}: {answer:?}");
        let issued = scene.server.issued();
        let [token] = issued.as_slice() else {
            anyhow::bail!("{method}: {} tokens were issued", issued.len());
        };
        ensure!(token.form["scope"] == "crm.read crm.write", "{token:?}");
        ensure!(token.form["audience"] == "crm", "{token:?}");
        ensure!(scene.server.refused() == 0);
        scene.end(gateway, &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_replaced_under_load_costs_no_request() -> Result<()> {
    let scene = Scene::new(3600).await?;
    let mut gateway = scene.gateway("client_secret_basic", "{}").await?;
    gateway.ready("crm").await?;
    let mut secrets = vec![scene.secret.clone()];
    let rotated = async {
        for _ in 0..5 {
            let next = secret()?;
            scene.server.accept(&next);
            native::put(scene.scratch.path(), "idp/client", &next)?;
            wait::until_true("a token of the new secret in use", PATIENCE, async || {
                Ok(scene.shown(|it| it.secret == next) > 20)
            })
            .await?;
            // Its owner ends the former one, and with it every token that it was asked for with.
            scene.server.refuse(secrets.last().context("one")?);
            secrets.push(next);
        }
        Ok(())
    };
    let statuses = gateway.load("/", Duration::from_millis(5), rotated).await?;
    println!("requests by status over 5 rotations of the secret: {statuses:?}");
    ensure!(
        statuses.keys().eq([&200]),
        "{statuses:?}\n{}",
        gateway.process().stderr()?
    );
    ensure!(
        scene.server.issued().len() == 6,
        "{} tokens for 6 secrets",
        scene.server.issued().len()
    );
    scene.end(gateway, &secrets).await
}

#[tokio::test]
async fn tokens_of_three_seconds_cost_no_request() -> Result<()> {
    let scene = Scene::new(3).await?;
    let mut gateway = scene.gateway("client_secret_post", "{}").await?;
    gateway.ready("crm").await?;
    let lived = async {
        wait::until_true("the eighth token in use", PATIENCE, async || {
            let issued = scene.server.issued();
            Ok(issued.iter().filter(|it| it.shown > 0).count() >= 8)
        })
        .await
    };
    let statuses = gateway.load("/", Duration::from_millis(5), lived).await?;
    println!("requests by status over 8 tokens of 3 s: {statuses:?}");
    ensure!(
        statuses.keys().eq([&200]),
        "{statuses:?}\n{}",
        gateway.process().stderr()?
    );
    scene.end(gateway, &[]).await
}

#[tokio::test]
async fn a_token_goes_with_its_secret_and_comes_back_with_the_next() -> Result<()> {
    let scene = Scene::new(3600).await?;
    let starting = scene.gateway_that_trusts_for("3s", "client_secret_basic", "{}");
    let mut gateway = starting.await?;
    gateway.ready("crm").await?;
    wait::until_true("the route to be open", PATIENCE, async || {
        Ok(gateway.request("/").send().await?.status() == 200)
    })
    .await?;
    native::delete(scene.scratch.path(), "idp/client")?;
    wait::until_true("the route to be closed", PATIENCE, async || {
        Ok(gateway.request("/").send().await?.status() == 503)
    })
    .await?;
    let next = secret()?;
    scene.server.accept(&next);
    native::put(scene.scratch.path(), "idp/client", &next)?;
    wait::until_true("the route to be open", PATIENCE, async || {
        Ok(gateway.request("/").send().await?.status() == 200)
    })
    .await?;
    ensure!(scene.shown(|it| it.secret == next) > 0);
    scene.end(gateway, &[next]).await
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_replaced_at_once() -> Result<()> {
    let scene = Scene::new(3600).await?;
    let mut gateway = scene.gateway("client_secret_basic", "{}").await?;
    gateway.ready("crm").await?;
    ensure!(gateway.get("/").await?.status == 200);
    let ended: Vec<_> = scene
        .server
        .issued()
        .into_iter()
        .map(|it| it.value)
        .collect();
    scene.server.forget_tokens();
    let answer = gateway.get("/").await?;
    ensure!(
        answer.status == 200,
        "the request is sent again: {answer:?}"
    );
    ensure!(scene.server.issued().len() == 1, "one more was issued");
    scene.end(gateway, &ended).await
}

#[tokio::test]
async fn a_wrong_secret_is_denied_until_it_is_replaced() -> Result<()> {
    let scene = Scene::new(3600).await?;
    scene.server.refuse(&scene.secret);
    let mut gateway = scene.gateway("client_secret_basic", "{}").await?;
    wait::until_true("a refusal", PATIENCE, async || {
        Ok(scene.server.refused() > 0)
    })
    .await?;
    wait::until_true(
        "the refusal in the readiness report",
        PATIENCE,
        async || Ok(gateway.admin("/readyz").await?.text.contains("denied")),
    )
    .await?;
    ensure!(gateway.get("/").await?.status == 503);
    let next = secret()?;
    scene.server.accept(&next);
    native::put(scene.scratch.path(), "idp/client", &next)?;
    gateway.ready("crm").await?;
    ensure!(gateway.get("/").await?.status == 200);
    scene.end(gateway, &[next]).await
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_costs_nothing_while_the_token_lives() -> Result<()> {
    let scene = Scene::new(3600).await?;
    let mut gateway = scene.gateway("client_secret_basic", "{}").await?;
    gateway.ready("crm").await?;
    scene.server.fail_with(Some(503));
    let next = secret()?;
    scene.server.accept(&next);
    native::put(scene.scratch.path(), "idp/client", &next)?;
    wait::until_true("a failed call in the metrics", PATIENCE, async || {
        Ok(gateway.process().stderr()?.contains("maybe_issued"))
    })
    .await?;
    ensure!(
        gateway.get("/").await?.status == 200,
        "the token still serves"
    );
    scene.server.fail_with(None);
    wait::until_true("a token of the new secret in use", PATIENCE, async || {
        gateway.request("/").send().await?;
        Ok(scene.shown(|it| it.secret == next) > 0)
    })
    .await?;
    scene.end(gateway, &[next]).await
}
