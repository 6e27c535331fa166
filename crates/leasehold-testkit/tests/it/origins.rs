use std::fs;

use leasehold_testkit::origin::AcceptedKeys;
use leasehold_testkit::{Origin, Postgres, Scratch};
use reqwest::{Certificate, Client};
use serde_json::Value;

#[tokio::test]
async fn the_database_origin_lets_in_whom_postgres_lets_in() {
    let scratch = Scratch::new().unwrap();
    let mut postgres = Postgres::start(scratch.path()).await.unwrap();
    let client = postgres.client().await.unwrap();
    let user = "create role alice login password 'right' in role app_rw";
    client.execute(user, &[]).await.unwrap();
    let origin = Origin::database(&postgres).await.unwrap();
    let get = async |password: &str| {
        let request = http().get(origin.url()).basic_auth("alice", Some(password));
        request.send().await.unwrap()
    };

    let accepted = get("right").await;
    assert_eq!(accepted.status(), 200);
    let body: Value = serde_json::from_str(&accepted.text().await.unwrap()).unwrap();
    assert_eq!(body["user"], "alice");
    assert_eq!(get("wrong").await.status(), 401);
    assert_eq!(http().get(origin.url()).send().await.unwrap().status(), 401);
    let seen = ["right", "wrong"].map(|password| ("alice".to_owned(), password.to_owned()));
    assert_eq!(origin.pairs(), seen.into());
    assert_eq!((origin.accepted(), origin.refused()), (1, 2));

    postgres.stop().await.unwrap();
    assert_eq!(get("right").await.status(), 503);
}

#[tokio::test]
async fn the_key_origin_accepts_what_is_accepted_now() {
    let keys = AcceptedKeys::new(["first"]);
    let origin = Origin::api_key(std::sync::Arc::clone(&keys)).await.unwrap();
    let get = async |key: &str| {
        let request = http().get(origin.url()).header("X-Api-Key", key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((get("first").await, get("second").await), (200, 401));
    keys.accept("second");
    keys.refuse("first");
    assert_eq!((get("first").await, get("second").await), (401, 200));
    let seen = [("first".to_owned(), 2), ("second".to_owned(), 2)];
    assert_eq!(origin.seen(), seen.into());
}

#[tokio::test]
async fn the_echo_tells_what_arrived_also_over_tls() {
    let origin = Origin::echo_tls().await.unwrap();
    let authority = fs::read(origin.ca_pem().unwrap()).unwrap();
    let trusting = Client::builder()
        .tls_certs_only([Certificate::from_pem(&authority).unwrap()])
        .build()
        .unwrap();
    let url = format!("{}/a/b?c=d", origin.url());
    let request = trusting.post(&url).header("X-One", "1").body("content");
    let text = request.send().await.unwrap().text().await.unwrap();
    let echo: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["target"], "/a/b?c=d");
    assert_eq!(echo["body"], "content");
    let headers = echo["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!(["x-one", "1"])));

    // Nobody else trusts its authority.
    assert!(http().get(&url).send().await.is_err());
}

#[tokio::test]
async fn a_stopped_origin_is_gone() {
    let origin = Origin::echo().await.unwrap();
    let client = http();
    assert_eq!(client.get(origin.url()).send().await.unwrap().status(), 200);
    assert_eq!(origin.connections(), 1);
    origin.stop().await;
    assert!(client.get(origin.url()).send().await.is_err());
}

fn http() -> Client {
    Client::builder().no_proxy().build().unwrap()
}
