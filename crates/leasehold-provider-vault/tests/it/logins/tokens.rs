use anyhow::Result;
use leasehold_model::Failure;
use leasehold_provider_vault::{AuthMethod, TokenFile};
use serde_json::{Value, json};

use super::log::Log;
use super::signed::Signer;
use super::{Server, denied, failed, live_a_session, short_lived};
use crate::bench::SESSION;

/// A server that knows a signer, with a role `gateway`.
async fn server(signer: &Signer) -> Result<Server> {
    let server = Server::start().await?;
    server.enable("jwt").await?;
    let config = json!({
        "jwt_validation_pubkeys": [signer.public_pem()],
        "jwt_supported_algs": ["ES256"],
    });
    server.post("auth/jwt/config", config).await?;
    role(&server, "gateway", json!({})).await?;
    Ok(server)
}

async fn role(server: &Server, name: &str, with: Value) -> Result<()> {
    let mut role = short_lived(json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
    }));
    for (key, value) in with.as_object().into_iter().flatten() {
        role[key] = value.clone();
    }
    server.post(&format!("auth/jwt/role/{name}"), role).await?;
    Ok(())
}

fn login(server: &Server, role: &str) -> AuthMethod {
    AuthMethod::Jwt(TokenFile {
        mount: "jwt".to_owned(),
        role: role.to_owned(),
        file: server.file("token"),
    })
}

fn claims() -> Value {
    json!({ "sub": "edge-1", "aud": "vault" })
}

#[tokio::test]
async fn a_signed_token_opens_a_session_and_is_read_again_for_the_next() -> Result<()> {
    let signer = Signer::generate()?;
    let server = server(&signer).await?;
    let provider = server.provider(login(&server, "gateway"))?;
    let log = Log::start();
    let first = signer.sign(claims(), 60)?;
    server.write("token", &first)?;
    live_a_session(&provider).await?;
    let expired = signer.sign(claims(), -120)?;
    server.write("token", &expired)?;
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("status 400"), "{said}");
    let second = signer.sign(claims(), 60)?;
    server.write("token", &format!("{second}\n"))?;
    live_a_session(&provider).await?;
    for token in [&first, &expired, &second] {
        assert!(!said.contains(token.as_str()), "{said}");
        assert!(!log.text().contains(token.as_str()), "{}", log.text());
    }
    Ok(())
}

#[tokio::test]
async fn f08_a_token_that_the_role_does_not_take_is_denied() -> Result<()> {
    let signer = Signer::generate()?;
    let server = server(&signer).await?;
    let provider = server.provider(login(&server, "gateway"))?;
    for token in [
        Signer::generate()?.sign(claims(), 60)?,
        signer.sign(json!({ "sub": "edge-1", "aud": "other" }), 60)?,
        "canary".to_owned(),
    ] {
        server.write("token", &token)?;
        let said = denied(&provider, SESSION).await;
        assert!(said.contains("status 400"), "{said}");
        assert!(!said.contains(token.as_str()), "{said}");
    }
    server.write("token", &signer.sign(claims(), 60)?)?;
    let unknown = server.provider(login(&server, "nobody"))?;
    denied(&unknown, SESSION).await;
    Ok(())
}

#[tokio::test]
async fn f25_a_token_that_must_not_be_lived_on_is_given_back_whatever_the_method() -> Result<()> {
    let signer = Signer::generate()?;
    let server = server(&signer).await?;
    server.write("token", &signer.sign(claims(), 60)?)?;
    role(&server, "limited", json!({ "token_num_uses": 3 })).await?;
    let before = server.tokens().await?;
    let provider = server.provider(login(&server, "limited"))?;
    let said = failed(&provider, SESSION, Failure::Misconfigured).await;
    assert!(said.contains("token_num_uses"), "{said}");
    assert!(!said.contains("could not be given back"), "{said}");
    assert_eq!(server.tokens().await?, before, "no token is left behind");
    Ok(())
}
