use http::HeaderName;
use leasehold_model::{Clock as _, SystemClock};

use super::*;
use crate::TrustedRoots;

#[test]
fn a_route_must_lead_somewhere_and_match_something() {
    assert!(matches!(
        build(
            vec![route("a", None, "/", "none")],
            vec![upstream(&["http://h"])]
        ),
        Err(GatewayError::UnknownUpstream { .. })
    ));
    for prefix in ["", "a", "/a/../", "/a%2fb"] {
        assert!(matches!(
            build(
                vec![route("a", None, prefix, "u")],
                vec![upstream(&["http://h"])]
            ),
            Err(GatewayError::PathPrefix { .. })
        ));
    }
    for host in ["", "a:80", "a/b", "*.example.com", "a:"] {
        assert!(matches!(
            build(
                vec![route("a", Some(host), "/", "u")],
                vec![upstream(&["http://h"])]
            ),
            Err(GatewayError::Host { .. })
        ));
    }
}

#[test]
fn two_routes_for_the_same_requests_are_named() {
    let routes = vec![
        route("a", Some("API.example.com"), "/x/", "u"),
        route("b", Some("api.example.com."), "/x/", "u"),
    ];
    let error = build(routes, vec![upstream(&["http://h"])]).expect_err("they are the same");
    assert_eq!(
        error.to_string(),
        "route `b` matches the same requests as route `a`"
    );
}

#[test]
fn an_endpoint_is_an_origin_and_nothing_more() {
    for address in [
        "ftp://h",
        "http://u:canary@h",
        "http://h/base",
        "http://h/?q",
        "http://h/#f",
    ] {
        let error = build(vec![], vec![upstream(&["http://h", address])]).expect_err(address);
        let text = error.to_string();
        assert!(text.starts_with("endpoint 2 of upstream `u`"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(matches!(
        build(vec![], vec![upstream(&[])]),
        Err(GatewayError::NoEndpoint(_))
    ));
    assert!(matches!(
        build(
            vec![],
            vec![upstream(&["http://h"]), upstream(&["http://h"])]
        ),
        Err(GatewayError::DuplicateUpstream(_))
    ));
}

#[test]
fn an_upstream_reads_its_own_authority() {
    let gateway = build(
        vec![],
        vec![upstream(&[
            "http://h",
            "http://h:8080",
            "https://[::1]:443",
        ])],
    )
    .expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let seen: Vec<_> = upstream
        .in_turn(0, BootTime::default())
        .iter()
        .map(|it| (it.authority.clone(), it.host.clone(), it.port))
        .collect();
    let want = [("h", "h", 80), ("h:8080", "h", 8080), ("[::1]", "::1", 443)];
    for (seen, (authority, host, port)) in seen.iter().zip(want) {
        assert_eq!(
            seen,
            &(HeaderValue::from_static(authority), host.to_owned(), port)
        );
    }
}

#[test]
fn endpoints_take_turns_and_those_out_of_reach_come_last() {
    let gateway = build(
        vec![],
        vec![upstream(&["http://a", "http://b", "http://c"])],
    )
    .expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let now = SystemClock.boot();
    let order = |turn, now| -> String {
        upstream
            .in_turn(turn, now)
            .iter()
            .map(|it| it.host.as_str())
            .collect()
    };
    assert_eq!(order(0, now), "abc");
    assert_eq!(order(1, now), "bca");
    assert_eq!(order(5, now), "cab");
    let b = upstream.in_turn(1, now)[0];
    assert!(
        b.missed(now) && !b.missed(now),
        "only the first miss is news"
    );
    assert_eq!(order(1, now), "cab");
    let later = now.after(std::time::Duration::from_secs(60));
    assert_eq!(order(2, later), "bca", "one request tries it again");
    assert_eq!(order(1, later), "cab", "the others go on avoiding it");
    assert!(b.reached() && !b.reached(), "only the first time is news");
    assert_eq!(order(1, now), "bca");
}

#[test]
fn what_is_reached_the_same_way_keeps_its_connections_and_its_health() {
    let first = build(vec![], vec![upstream(&["http://a"])]).expect("a gateway");
    let endpoint = |gateway: &Gateway| {
        let upstream = gateway.upstreams().next().expect("one");
        let first = upstream.in_turn(0, SystemClock.boot())[0];
        (first.key, first.reached())
    };
    let before = first.upstreams().next().expect("one");
    before.in_turn(0, BootTime::default())[0].missed(SystemClock.boot());
    let mut patient = upstream(&["http://a"]);
    patient.response_timeout = std::time::Duration::from_secs(9);
    let same = first
        .succeeded_by(spec(vec![], vec![patient]))
        .expect("one");
    let (key, was_missed) = endpoint(&same);
    assert!(was_missed, "what was known of it is known on");
    assert_eq!(key, endpoint(&first).0);
    let elsewhere = spec(vec![], vec![upstream(&["http://b"])]);
    let other = first.succeeded_by(elsewhere).expect("one");
    assert_ne!(endpoint(&other).0, key, "connections elsewhere are others");
}

#[test]
fn the_challenge_fits_the_header_that_the_key_is_shown_in() {
    let in_header = |name| challenge(&Consumers::new(name, []));
    assert!(in_header(AUTHORIZATION).as_bytes().starts_with(b"Bearer"));
    let own = HeaderName::from_static("x-consumer-key");
    assert!(in_header(own).as_bytes().starts_with(b"Key"));
}

fn build(routes: Vec<RouteSpec>, upstreams: Vec<UpstreamSpec>) -> Result<Gateway, GatewayError> {
    Gateway::new(spec(routes, upstreams))
}

fn spec(routes: Vec<RouteSpec>, upstreams: Vec<UpstreamSpec>) -> GatewaySpec {
    GatewaySpec {
        routes,
        upstreams,
        consumers: Consumers::new(AUTHORIZATION, []),
    }
}

fn route(name: &str, host: Option<&str>, prefix: &str, upstream: &str) -> RouteSpec {
    RouteSpec {
        name: name.into(),
        host: host.map(str::to_owned),
        path_prefix: prefix.to_owned(),
        upstream: upstream.into(),
        admission: Admission::Anyone,
    }
}

fn upstream(endpoints: &[&str]) -> UpstreamSpec {
    UpstreamSpec {
        name: "u".into(),
        endpoints: endpoints
            .iter()
            .map(|it| it.parse().expect("a URL"))
            .collect(),
        roots: TrustedRoots::System,
        credential: None,
        connect_timeout: std::time::Duration::from_secs(1),
        response_timeout: std::time::Duration::from_secs(1),
    }
}
