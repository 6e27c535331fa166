//! Pages of other origins, as browsers send their requests.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use leasehold_proxy::{Admission, Cors, MatchSpec};

use crate::origin::Origin;
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, Rig, Setup};
use crate::routing::named;

const APP: &str = "https://app.example.com";
const ASKING: &str =
    "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-consumer-key\r\n";

#[test]
fn a_browsers_question_is_answered_without_key_and_upstream() {
    let (rig, seen, _origin) = start(Some(&[APP]));
    let mut consumer = rig.connect();
    consumer.send(options(&format!("Origin: {APP}\r\n{ASKING}")));
    let answer = consumer.receive();
    assert_eq!((answer.status(), answer.text()), ("204", ""));
    assert_eq!(answer.all("access-control-allow-origin"), [APP]);
    assert_eq!(answer.all("access-control-allow-methods"), ["GET, PUT"]);
    assert_eq!(
        answer.all("access-control-allow-headers"),
        ["x-consumer-key"]
    );
    assert_eq!(answer.all("access-control-allow-credentials"), ["true"]);
    assert_eq!(answer.all("access-control-max-age"), ["300"]);
    assert!(answer.all("vary")[0].contains("origin"));
    seen.nothing();
    let record = rig.record();
    assert_eq!(
        (&record["route"], &record["status"]),
        (&"api".into(), &204.into())
    );
    assert!(
        record["consumer"].is_null() && record["upstream"].is_null(),
        "{record}"
    );
}

#[test]
fn an_origin_that_is_not_listed_byte_for_byte_is_told_nothing() {
    let (rig, seen, _origin) = start(Some(&[APP]));
    let mut consumer = rig.connect();
    for origin in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://APP.example.com",
        "https://app.example.com:443",
        "null",
    ] {
        consumer.send(options(&format!("Origin: {origin}\r\n{ASKING}")));
        let answer = consumer.receive();
        assert_eq!(answer.status(), "204");
        assert!(
            !answer.head.contains("access-control-allow"),
            "{}",
            answer.head
        );
        let key = format!("Origin: {origin}\r\n{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
        let answer = consumer.get("/api/", &key);
        assert_eq!(answer.status(), "200");
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
        seen.next();
    }
}

#[test]
fn answers_are_marked_by_the_gateway_alone() {
    let (rig, seen, _origin) = start(Some(&[APP]));
    let mut consumer = rig.connect();
    let key = format!("Origin: {APP}\r\n{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
    let answer = consumer.get("/api/", &key);
    assert_eq!(answer.all("access-control-allow-origin"), [APP]);
    assert_eq!(
        answer.all("access-control-expose-headers"),
        ["x-request-id"]
    );
    assert_eq!(answer.all("vary"), ["accept", "origin"]);
    assert_eq!(seen.next().all("origin"), [APP]);
    // A page must be able to read why it was refused.
    let answer = consumer.get("/api/", &format!("Origin: {APP}\r\n"));
    assert_eq!(answer.status(), "401");
    assert_eq!(answer.all("access-control-allow-origin"), [APP]);
}

#[test]
fn any_origin_gets_a_star_and_no_credentials() {
    let (rig, _seen, _origin) = start(None);
    let mut consumer = rig.connect();
    consumer.send(options(&format!("Origin: {APP}\r\n{ASKING}")));
    let answer = consumer.receive();
    assert_eq!(answer.all("access-control-allow-origin"), ["*"]);
    assert!(answer.all("access-control-allow-credentials").is_empty());
}

#[test]
fn what_is_no_question_of_a_browser_goes_the_ordinary_way() {
    let (rig, seen, _origin) = start(Some(&[APP]));
    let mut consumer = rig.connect();
    // The route takes GET and PUT only, so these find the one that is open.
    for more in [
        format!("Origin: {APP}\r\n"),
        ASKING.to_owned(),
        String::new(),
    ] {
        consumer.send(options(&more));
        assert_eq!(consumer.receive().status(), "200");
        seen.next();
    }
    let asking = "Access-Control-Request-Method: DELETE\r\n";
    consumer.send(options(&format!("Origin: {APP}\r\n{asking}")));
    assert_eq!(consumer.receive().status(), "200");
    seen.next();
}

fn options(more: &str) -> String {
    format!("OPTIONS /api/ HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

/// Starts a gateway with a route for `checkout` that pages of these origins, or of any, may use.
fn start(origins: Option<&[&str]>) -> (Rig, crate::origin::Seen, Origin) {
    let (origin, seen) = Origin::answering(
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://other.example\r\nvary: accept\r\n\
         access-control-expose-headers: x-internal\r\ncontent-length: 2\r\n\r\nok",
    );
    let origins = origins.map(|all| {
        let values = all.iter().map(|it| HeaderValue::from_str(it));
        values.collect::<Result<_, _>>().expect("origins")
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.routes = vec![named("api", |it| {
        it.matches = MatchSpec {
            methods: vec![Method::GET, Method::PUT],
            ..MatchSpec::prefix("/api/")
        };
        it.admission = Admission::These(["checkout".into()].into());
        it.cors = Some(Cors::new(
            origins,
            &[Method::GET, Method::PUT],
            &[HeaderName::from_static(KEY_HEADER)],
            &[HeaderName::from_static("x-request-id")],
            true,
            Duration::from_secs(300),
        ));
    })];
    (setup.start(), seen, origin)
}
