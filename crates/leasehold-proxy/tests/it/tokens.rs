//! Consumers who are known by a token or a certificate, and what upstreams are told of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use leasehold_consumer::{CertificateName, TokenRule};
use leasehold_proxy::{Admission, GatewaySpec, IdentityHeaders, RouteSpec};
use serde_json::json;

use crate::issuer::{IssuerLab, Manner, Signer};
use crate::origin::{OK, Origin};
use crate::pki::{Authority, Material, ask};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, REPORTS_KEY, Rig, Setup, until};

#[test]
fn a_token_tells_who_calls_and_goes_no_further() {
    let (origin, seen) = Origin::answering(OK);
    let signer = Signer::new("k1");
    let lab = lab(&signer);
    let rig = rig(&origin, &lab);
    let token =
        signer.bearer(&json!({ "sub": "alice\r\nx-admin: 1", "jti": "t-1", "scp": ["a", "b"] }));
    let forged = "x-who: admin\r\nX-Who: root\r\nx-subject: root\r\nx-scopes: all\r\nx-by: key\r\n\
                  x-issuer: evil\r\nTrailer: x-who, x-sum\r\n";
    let answer = rig.connect().get("/closed/x", &format!("{token}{forged}"));
    assert_eq!(answer.status(), "200", "{}", answer.text());
    let sent = seen.next();
    assert_eq!(sent.all("x-who"), ["checkout"]);
    assert_eq!(sent.all("x-subject"), ["alice%0D%0Ax-admin: 1"]);
    assert_eq!(sent.all("x-issuer"), ["corp"]);
    assert_eq!(sent.all("x-scopes"), ["a b"]);
    assert_eq!(sent.all("x-by"), ["token"]);
    assert!(sent.all("authorization").is_empty() && sent.all("x-admin").is_empty());
    let record = rig.record();
    assert_eq!(record["consumer"], "checkout");
    assert_eq!(record["authenticated_by"], "token");
    assert_eq!(
        (&record["issuer"], &record["token_id"]),
        (&json!("corp"), &json!("t-1"))
    );
    let token = token.rsplit_once('.').expect("a token").1.trim();
    assert!(!record.to_string().contains(token) && !record.to_string().contains("alice"));
}

#[test]
fn forged_identity_reaches_nobody_under_any_name() {
    let (origin, seen) = Origin::answering(OK);
    let lab = lab(&Signer::new("k1"));
    let rig = rig(&origin, &lab);
    // Nobody is known, so nobody is told of, and what was sent is taken away.
    let answer = rig
        .connect()
        .get("/", "X-WHO: admin\r\nx-subject: root\r\nx-by: key\r\n");
    assert_eq!(answer.status(), "200");
    let sent = seen.next();
    for name in ["x-who", "x-subject", "x-by"] {
        assert!(sent.all(name).is_empty(), "{name}");
    }
    for forged in [
        "x_who: a",
        "X_Who: a",
        "x.who: a",
        "x_subject: a",
        "X~By: a",
    ] {
        let answer = rig.connect().get("/", &format!("{forged}\r\n"));
        assert_eq!(answer.status(), "400", "{forged}");
    }
    for named in ["x-who", "X_By", "x-scopes"] {
        let answer = rig.connect().get("/", &format!("Connection: {named}\r\n"));
        assert_eq!(answer.status(), "400", "{named}");
    }
    seen.nothing();
}

#[test]
fn a_token_that_does_not_hold_is_refused_everywhere_and_says_why() {
    let (origin, seen) = Origin::answering(OK);
    let signer = Signer::new("k1");
    let lab = lab(&signer);
    let rig = rig(&origin, &lab);
    let good = json!({ "sub": "alice" });
    let with = |name: &str, value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.bearer(&claims)
    };
    let other = Signer::new("k1").bearer(&good);
    let twice = signer.bearer(&good).repeat(2);
    for (token, reason) in [
        (with("exp", json!(1)), "consumer_token_expired"),
        (with("aud", json!("them")), "consumer_token_audience"),
        (with("iss", json!("them")), "consumer_token_issuer"),
        (other, "consumer_token_signature"),
        (twice, "consumer_token_malformed"),
        (
            "Authorization: Bearer abc\r\n".to_owned(),
            "consumer_token_malformed",
        ),
    ] {
        for path in ["/", "/closed/x"] {
            let answer = rig.connect().get(path, &token);
            assert_eq!(answer.status(), "401", "{reason} {}", answer.text());
            assert!(answer.text().contains(reason), "{reason} {}", answer.text());
            let challenges = answer.all("www-authenticate");
            assert!(
                challenges[0].contains("error=\"invalid_token\""),
                "{challenges:?}"
            );
        }
    }
    let unknown = with("sub", json!("bob"));
    let answer = rig.connect().get("/closed/x", &unknown);
    assert!(
        answer.text().contains("consumer_token_unknown"),
        "{}",
        answer.text()
    );
    let nothing = rig.connect().get("/closed/x", "");
    assert!(
        nothing.text().contains("consumer_token_missing"),
        "{}",
        nothing.text()
    );
    let asked = nothing.all("www-authenticate")[0];
    assert_eq!(asked, "Bearer realm=\"leasehold\", Key realm=\"leasehold\"");
    seen.nothing();
}

#[test]
fn who_shows_two_things_must_be_one() {
    let (origin, _seen) = Origin::answering(OK);
    let signer = Signer::new("k1");
    let lab = lab(&signer);
    let rig = rig(&origin, &lab);
    let token = signer.bearer(&json!({ "sub": "alice" }));
    for (key, status, reason) in [
        (CHECKOUT_KEY, "200", ""),
        (REPORTS_KEY, "401", "consumer_conflict"),
        ("nobodys", "401", "consumer_key_unknown"),
    ] {
        let answer = rig
            .connect()
            .get("/closed/x", &format!("{token}{KEY_HEADER}: {key}\r\n"));
        assert_eq!(answer.status(), status, "{key}");
        assert!(answer.text().contains(reason), "{}", answer.text());
    }
}

#[test]
fn a_route_may_want_scopes() {
    let (origin, _seen) = Origin::answering(OK);
    let signer = Signer::new("k1");
    let lab = lab(&signer);
    let rig = rig(&origin, &lab);
    let ask = |scope: &str| {
        let token = signer.bearer(&json!({ "sub": "alice", "scope": scope }));
        rig.connect().get("/scoped/x", &token)
    };
    assert_eq!(ask("orders:read orders:write more").status(), "200");
    for scope in [
        "",
        "orders:write",
        "orders:read",
        "ORDERS:READ orders:write",
    ] {
        let answer = ask(scope);
        assert_eq!(answer.status(), "403", "{scope}");
        assert!(answer.text().contains("insufficient_scope"));
        let challenge = answer.all("www-authenticate")[0];
        assert!(
            challenge.contains("scope=\"orders:read orders:write\""),
            "{challenge}"
        );
    }
    // A key has the scopes that the configuration gives its consumer.
    let key = format!("{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
    assert_eq!(rig.connect().get("/scoped/x", &key).status(), "200");
}

#[test]
fn keys_that_change_are_fetched_when_the_first_token_needs_them_and_not_for_made_up_ones() {
    let (origin, _seen) = Origin::answering(OK);
    let (old, new) = (Signer::new("k1"), Signer::new("k2"));
    let lab = lab(&old);
    let rig = rig(&origin, &lab);
    let alice = json!({ "sub": "alice" });
    assert_eq!(
        rig.connect().get("/closed/x", &old.bearer(&alice)).status(),
        "200"
    );
    lab.behave(Manner::Keys(new.keys()));
    assert_eq!(
        rig.connect().get("/closed/x", &new.bearer(&alice)).status(),
        "200"
    );
    assert_eq!(
        rig.connect().get("/closed/x", &old.bearer(&alice)).status(),
        "401"
    );
    let asked = lab.asked();
    for number in 0..200 {
        let forged = Signer::new(&format!("made-up-{number}")).bearer(&alice);
        assert_eq!(rig.connect().get("/closed/x", &forged).status(), "401");
    }
    assert!(lab.asked() <= asked + 1, "{} after {asked}", lab.asked());
}

#[test]
fn an_issuer_that_is_down_or_talks_rubbish_changes_nothing() {
    let (origin, _seen) = Origin::answering(OK);
    let signer = Signer::new("k1");
    let keys = Manner::Keys(signer.keys());
    let lab = IssuerLab::start(keys, Duration::from_millis(50), Duration::from_secs(3600));
    let rig = rig(&origin, &lab);
    let token = signer.bearer(&json!({ "sub": "alice" }));
    let served = || rig.connect().get("/closed/x", &token).status() == "200";
    assert!(served());
    for manner in [
        Manner::Down,
        Manner::Says("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"),
        Manner::Says("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}"),
        Manner::Says(
            "HTTP/1.1 302 Found\r\nLocation: https://localhost/evil\r\nContent-Length: 0\r\n\r\n",
        ),
        Manner::Says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        Manner::Says("rubbish"),
    ] {
        lab.behave(manner);
        lab.await_asked(2);
        assert!(served());
    }
    lab.behave(Manner::Silent);
    lab.await_asked(1);
    assert!(served());
}

#[test]
fn without_keys_nobody_is_let_in() {
    let (origin, seen) = Origin::answering(OK);
    let signer = Signer::new("k1");
    let lab = IssuerLab::start(
        Manner::Down,
        Duration::from_millis(50),
        Duration::from_millis(200),
    );
    let rig = rig(&origin, &lab);
    let token = signer.bearer(&json!({ "sub": "alice" }));
    let refused = || {
        let answer = rig.connect().get("/closed/x", &token);
        answer.status() == "503" && answer.text().contains("issuer_keys_unavailable")
    };
    assert!(refused());
    seen.nothing();
    lab.behave(Manner::Keys(signer.keys()));
    until("keys", || (!refused()).then_some(()));
    lab.behave(Manner::Down);
    until("keys that are too old", || refused().then_some(()));
}

#[test]
fn a_certificate_tells_who_calls() {
    let (origin, seen) = Origin::answering(OK);
    let authority = Authority::new();
    let mut material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
    material.ca = Some(authority.pem());
    material.required = false;
    let (checkout, reports) = (
        authority.leaf(&["Checkout.Mesh"], 2),
        authority.leaf(&["x"], 3),
    );
    let both = authority.leaf(&["checkout.mesh", "reports.mesh"], 4);
    let nobody = authority.leaf(&["nobody.mesh"], 5);
    let mut digest = [0; 32];
    let hashed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, reports.der());
    digest.copy_from_slice(hashed.as_ref());
    let mut setup = Setup::to(&[origin.url()]);
    setup.tls = Some(material.tls());
    setup.admission = admission();
    let rig = setup.start_with(|mut spec| {
        let dns = |name: &str| CertificateName::SanDns(name.to_owned());
        spec.consumers = spec.consumers.with_certificates([
            ("checkout".into(), dns("checkout.mesh")),
            ("reports".into(), dns("reports.mesh")),
            ("reports".into(), CertificateName::Sha256(digest)),
        ]);
        spec.identity = identity();
        spec
    });
    let status = |leaf| {
        let client = Arc::new(authority.client(leaf));
        let heard = ask(rig.address, &client, "a.example").expect("an answer");
        heard.answer.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!(status(Some(&checkout)), "200");
    let sent = seen.next();
    assert_eq!(
        (sent.all("x-who"), sent.all("x-by")),
        (vec!["checkout"], vec!["certificate"])
    );
    assert_eq!(status(Some(&reports)), "403");
    assert_eq!(status(Some(&both)), "401");
    assert_eq!(status(Some(&nobody)), "401");
    assert_eq!(status(None), "401");
    seen.nothing();
}

fn lab(signer: &Signer) -> IssuerLab {
    let keys = Manner::Keys(signer.keys());
    let lab = IssuerLab::start(keys, Duration::from_secs(600), Duration::from_secs(3600));
    // A request that comes first would have to wait for them.
    until("keys", || (lab.asked() > 0).then_some(()));
    lab
}

/// `alice` is `checkout`, and to `/scoped/` scopes are wanted too.
fn rig(origin: &Origin, lab: &IssuerLab) -> Rig {
    let mut setup = Setup::to(&[origin.url()]);
    let mut scoped = RouteSpec::to("scoped", "/scoped/", "origin", admission());
    scoped.scopes = vec!["orders:read".to_owned(), "orders:write".to_owned()];
    setup.routes.push(scoped);
    setup.start_with(|spec| with_tokens(spec, lab))
}

fn with_tokens(mut spec: GatewaySpec, lab: &IssuerLab) -> GatewaySpec {
    let rule = TokenRule {
        consumer: "checkout".into(),
        issuer: "corp".into(),
        subject: None,
        claims: vec![],
    };
    let of = |subject: &str| TokenRule {
        subject: Some(subject.to_owned()),
        ..rule.clone()
    };
    let scopes = ["orders:read", "orders:write"].map(str::to_owned).to_vec();
    spec.consumers = spec
        .consumers
        .with_tokens(
            vec![lab.issuer()],
            vec![of("alice"), of("alice\r\nx-admin: 1")],
        )
        .with_scopes([("checkout".into(), scopes)]);
    spec.identity = identity();
    spec
}

fn identity() -> IdentityHeaders {
    let name = |name| Some(HeaderName::from_static(name));
    IdentityHeaders {
        consumer: name("x-who"),
        subject: name("x-subject"),
        issuer: name("x-issuer"),
        scopes: name("x-scopes"),
        authenticated_by: name("x-by"),
    }
}

fn admission() -> Admission {
    Admission::These(BTreeSet::from(["checkout".into()]))
}
