//! What becomes of a request by its route: who gets it, and in which form.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use leasehold_proxy::{
    Admission, HostMatch, HostRewrite, MatchSpec, PathMatch, PathPolicy, Redirect, RouteSpec,
    TargetSpec,
};

use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, Setup};

#[test]
fn a_request_goes_where_host_path_and_conditions_say() {
    let (origin, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.routes = vec![
        named("below", |it| {
            it.matches.host = HostMatch::Below("example".to_owned())
        }),
        named("exact", |it| {
            it.matches.path = PathMatch::Exact("/x".to_owned())
        }),
        named("template", |it| {
            it.matches.path = PathMatch::Template("/users/{id}/{*rest}".to_owned());
        }),
        named("get", |it| {
            it.matches = MatchSpec {
                methods: vec![Method::GET],
                ..MatchSpec::prefix("/x/")
            }
        }),
        named("v2", |it| {
            it.matches = MatchSpec {
                query: vec![("v".to_owned(), "2".to_owned())],
                ..MatchSpec::prefix("/q/")
            }
        }),
    ];
    let rig = setup.start();
    let mut consumer = rig.connect();
    for (number, (line, host, route)) in [
        ("GET /x", "api.example", "below"),
        ("GET /x", "example", "exact"),
        ("GET /users/7/a/b", "h", "template"),
        ("GET /x/y", "h", "get"),
        ("DELETE /x/y", "h", "open"),
        ("GET /q/?a&v=2", "h", "v2"),
        ("GET /q/?v=1", "h", "open"),
    ]
    .into_iter()
    .enumerate()
    {
        consumer.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(consumer.receive().status(), "200", "{line}");
        let record = rig.records(number + 1).remove(number);
        assert_eq!(record["route"], route, "{line} {host}");
    }
    for line in [
        "GET /q/?%76=2",
        "GET /q/?v=2&v=1",
        "GET /%78",
        "GET /q/?a;v=2",
    ] {
        let mut consumer = rig.connect();
        consumer.send(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(consumer.receive().status(), "400", "{line}");
    }
}

#[test]
fn the_path_is_settled_before_it_is_routed_and_goes_on_settled() {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.path_policy = PathPolicy {
        forward_encoded_slashes: true,
        normalise_dot_segments: true,
        merge_slashes: true,
    };
    let rig = setup.start();
    let mut consumer = rig.connect();
    for (sent, goes_on) in [
        ("/a/../b//c/./d?q=/../x", "/b/c/d?q=/../x"),
        ("/a%2Fb/%2e%2e/c", "/c"),
        ("/a%2Fb", "/a%2Fb"),
    ] {
        assert_eq!(consumer.get(sent, "").status(), "200", "{sent}");
        let head = seen.next().head;
        assert!(
            head.starts_with(&format!("GET {goes_on} HTTP/1.1\r\n")),
            "{head}"
        );
    }
    // What is kept for `checkout` is not reached by another name.
    assert_eq!(consumer.get("/x/../closed/y", "").status(), "401");
    assert_eq!(consumer.get("//closed/y", "").status(), "401");
    for sent in ["/closed%2Fy", "/x/..%2Fclosed/y", "/..", "/x/..;/closed/y"] {
        // A refusal of this kind closes the connection.
        assert_eq!(rig.connect().get(sent, "").status(), "400", "{sent}");
    }
    seen.nothing();
}

#[test]
fn the_upstream_sees_the_rewritten_target() {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.routes = vec![
        named("kept", |it| {
            it.matches.path = PathMatch::Prefix("/api/".to_owned());
            it.rewrite_prefix = Some("/v2".to_owned());
            it.host = HostRewrite::Preserve;
        }),
        named("fixed", |it| {
            it.matches.path = PathMatch::Exact("/x".to_owned());
            it.rewrite_prefix = Some("/y/z".to_owned());
            it.host = HostRewrite::Fixed(HeaderValue::from_static("inner.example"));
        }),
    ];
    let rig = setup.start();
    let mut consumer = rig.connect();
    for (sent, goes_on, host) in [
        ("/api/a%20b?c=%2F", "/v2/a%20b?c=%2F", "api.example"),
        ("/x?", "/y/z?", "inner.example"),
    ] {
        assert_eq!(consumer.get(sent, "").status(), "200");
        let request = seen.next();
        assert!(
            request.head.starts_with(&format!("GET {goes_on} ")),
            "{}",
            request.head
        );
        assert_eq!(request.all("host"), [host]);
    }
}

#[test]
fn edits_change_the_rest_of_the_head_and_never_the_credential() {
    let (origin, seen) = Origin::answering(
        "HTTP/1.1 200 OK\r\nserver: origin\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nok",
    );
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(60)));
    let mut setup = lease.setup(&origin);
    let name = HeaderName::from_static;
    let value = HeaderValue::from_static;
    setup.routes = vec![named("edited", |it| {
        it.matches.path = PathMatch::Prefix("/e/".to_owned());
        it.request_headers.set = vec![
            (name("x-env"), value("prod")),
            // No document lets that in; the credential is placed after it all the same.
            (name("x-api-key"), value("forged")),
        ];
        it.request_headers.remove = vec![name("cookie"), name("x-api-key")];
        it.response_headers.remove = vec![name("server")];
        it.response_headers.add = vec![(name("x-a"), value("2"))];
    })];
    let rig = setup.start();
    let answer = rig.connect().get("/e/", "Cookie: a=b\r\nX-Env: test\r\n");
    assert_eq!(answer.all("x-a"), ["1", "2"]);
    assert!(answer.all("server").is_empty());
    let request = seen.next();
    assert_eq!(request.all("x-env"), ["prod"]);
    assert!(request.all("cookie").is_empty());
    assert_eq!(request.all("x-api-key").len(), 1);
    assert!(
        request.all("x-api-key")[0].starts_with("Key "),
        "{}",
        request.head
    );
}

#[test]
fn the_gateway_itself_sends_callers_elsewhere() {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    let redirect = |scheme: Option<&str>, path: Option<&str>| {
        TargetSpec::Redirect(Redirect {
            status: StatusCode::PERMANENT_REDIRECT,
            scheme: scheme.map(str::to_owned),
            host: None,
            port: None,
            path: path.map(str::to_owned),
        })
    };
    setup.routes = vec![
        named("tls", |it| {
            it.matches.path = PathMatch::Prefix("/old/".to_owned());
            it.target = redirect(Some("https"), None);
        }),
        named("moved", |it| {
            it.matches.path = PathMatch::Prefix("/moved/".to_owned());
            it.target = redirect(None, Some("/"));
        }),
    ];
    let rig = setup.start();
    let mut consumer = rig.connect();
    for (sent, location) in [
        ("/old/x?y=1", "https://api.example/old/x?y=1"),
        ("/moved/x", "/x"),
        // A reference that begins with two slashes would lead to a host of the caller's choice.
        ("/moved//evil.example/", "/evil.example/"),
    ] {
        let answer = consumer.get(sent, "");
        assert_eq!((answer.status(), answer.text()), ("308", ""));
        assert_eq!(answer.all("location"), [location]);
    }
    seen.nothing();
    let record = rig.records(3).remove(0);
    assert_eq!(
        (&record["route"], &record["status"]),
        (&"tls".into(), &308.into())
    );
    assert!(
        record["upstream"].is_null() && record["reason"].is_null(),
        "{record}"
    );
}

#[test]
fn upstreams_share_requests_and_each_is_shown_its_own() {
    let (stable, seen_by_stable) = Origin::answering(OK);
    let (canary, seen_by_canary) = Origin::answering(OK);
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(60)));
    let mut setup = lease.setup(&stable);
    setup.others = vec![("canary".to_owned(), canary.url(), None)];
    setup.routes = vec![named("split", |it| {
        it.matches.path = PathMatch::Prefix("/s/".to_owned());
        let weights = [("origin".into(), 3), ("canary".into(), 1)];
        it.target = TargetSpec::Upstreams(weights.to_vec());
    })];
    let rig = setup.start();
    let mut consumer = rig.connect();
    let count = 200;
    for _ in 0..count {
        assert_eq!(consumer.get("/s/", "").status(), "200");
    }
    let records = rig.records(count);
    let named = |name: &str| records.iter().filter(|it| it["upstream"] == name).count();
    let (to_stable, to_canary) = (named("origin"), named("canary"));
    assert_eq!(to_stable + to_canary, count);
    assert!((20..90).contains(&to_canary), "{to_canary} of {count}");
    for _ in 0..to_stable {
        assert_eq!(seen_by_stable.next().all("x-api-key").len(), 1);
    }
    for _ in 0..to_canary {
        assert!(seen_by_canary.next().all("x-api-key").is_empty());
    }
    let counted = format!(
        "leasehold_split_requests_total{{route=\"split\",upstream=\"canary\"}} {to_canary}\n"
    );
    assert!(rig.metrics().contains(&counted), "{}", rig.metrics());
}

#[test]
fn a_route_limits_bodies_and_heads() {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.routes = vec![named("small", |it| {
        it.matches.path = PathMatch::Prefix("/s/".to_owned());
        it.body_limit = Some(10);
        it.head_limit = Some(200);
    })];
    let rig = setup.start();
    let post = "POST /s/ HTTP/1.1\r\nHost: a\r\n";
    let mut consumer = rig.connect();
    consumer.send(format!("{post}Content-Length: 10\r\n\r\n0123456789"));
    assert_eq!(consumer.receive().status(), "200");
    assert_eq!(seen.next().body.len(), 10);
    let mut consumer = rig.connect();
    consumer.send(format!("{post}Content-Length: 11\r\n\r\n"));
    let answer = consumer.receive();
    assert_eq!(answer.status(), "413");
    assert!(
        answer.text().contains("body_too_large"),
        "{}",
        answer.text()
    );
    seen.nothing();
    let mut consumer = rig.connect();
    consumer.send(format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n"
    ));
    consumer.send("6\r\n012345\r\n0\r\n\r\n");
    let answer = consumer.receive();
    assert_eq!(
        (answer.status(), answer.all("connection")),
        ("413", vec!["close"])
    );
    let answer = rig
        .connect()
        .get("/s/", &format!("X-Long: {}\r\n", "a".repeat(200)));
    assert_eq!(answer.status(), "431");
    assert!(
        answer.text().contains("head_too_large"),
        "{}",
        answer.text()
    );
    let records = rig.records(4);
    let reasons: Vec<_> = records
        .iter()
        .filter_map(|it| it["reason"].as_str())
        .collect();
    assert_eq!(
        reasons,
        ["body_too_large", "body_too_large", "head_too_large"]
    );
}

#[test]
fn what_is_compressed_stays_byte_for_byte() {
    let body: Vec<u8> = (0..40_000_u32).map(|it| (it * 31 % 251) as u8).collect();
    let sent = body.clone();
    let (show, seen) = crate::origin::seen();
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("shown");
            connection.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\nvary: accept-encoding\r\netag: \"x\"\r\n\
                 content-length: {}\r\n\r\n",
                sent.len()
            ));
            connection.send(&sent);
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5, br\r\nContent-Encoding: gzip\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    ));
    consumer.send(&body);
    let answer = consumer.receive();
    assert!(answer.body == body);
    assert_eq!(answer.all("content-encoding"), ["br"]);
    assert_eq!(answer.all("vary"), ["accept-encoding"]);
    let request = seen.next();
    assert!(request.body == body);
    assert_eq!(request.all("accept-encoding"), ["gzip;q=0.5, br"]);
    assert_eq!(request.all("content-encoding"), ["gzip"]);
}

#[test]
fn a_rewritten_route_still_asks_for_its_consumers() {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.routes = vec![named("known", |it| {
        it.matches.path = PathMatch::Prefix("/k/".to_owned());
        it.rewrite_prefix = Some("/".to_owned());
        it.admission = Admission::These(["checkout".into()].into());
        it.host = HostRewrite::Preserve;
    })];
    let rig = setup.start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/k/x", "").status(), "401");
    seen.nothing();
    assert_eq!(rig.record()["upstream"], "origin");
    let key = format!("{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
    assert_eq!(consumer.get("/k/x", &key).status(), "200");
    let request = seen.next();
    assert!(request.head.starts_with("GET /x HTTP"), "{}", request.head);
    assert!(request.all(KEY_HEADER).is_empty());
}

/// A route to the origin that is open to anyone.
pub(crate) fn named(name: &str, change: impl FnOnce(&mut RouteSpec)) -> RouteSpec {
    let mut route = RouteSpec::to(name, "/", "origin", Admission::Anyone);
    change(&mut route);
    route
}
