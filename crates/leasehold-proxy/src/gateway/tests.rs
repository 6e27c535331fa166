use http::HeaderName;
use leasehold_model::{Clock as _, SystemClock};

use http::HeaderValue;
use http::header::AUTHORIZATION;
use leasehold_consumer::Consumers;

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
            Err(GatewayError::Path { .. })
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
fn what_a_route_puts_in_a_request_is_checked_too() {
    let fault = |change: fn(&mut RouteSpec)| {
        let mut route = route("a", None, "/", "u");
        change(&mut route);
        build(vec![route], vec![upstream(&["http://h"])]).expect_err("a fault")
    };
    for path in ["/a/../", "/a<b", "/a b"] {
        let mut route = route("a", None, "/", "u");
        route.rewrite_prefix = Some(path.to_owned());
        let rewritten = build(vec![route], vec![upstream(&["http://h"])]);
        assert!(
            matches!(rewritten, Err(GatewayError::Path { .. })),
            "{path}"
        );
    }
    let edited = fault(|it| it.request_headers.remove = vec![http::header::CONTENT_LENGTH]);
    assert!(matches!(edited, GatewayError::Edit { .. }));
    let unshared = fault(|it| it.target = TargetSpec::Upstreams(vec![("u".into(), 0)]));
    assert!(matches!(unshared, GatewayError::NoChoice(_)));
}

#[test]
fn requests_are_shared_out_by_weight() {
    let mut spec = route("a", None, "/", "u");
    let weights = [("u", 3), ("w", 0), ("v", 1)];
    spec.target = TargetSpec::Upstreams(weights.map(|(name, it)| (name.into(), it)).to_vec());
    let upstreams = ["u", "v", "w"].map(|name| UpstreamSpec {
        name: name.into(),
        ..upstream(&["http://h"])
    });
    let gateway = build(vec![spec], upstreams.to_vec()).expect("a gateway");
    let Some(Target::Upstreams(choice)) = gateway.route(0).map(|route| &route.target) else {
        panic!("the route has upstreams");
    };
    let mut counts = [0; 2];
    for _ in 0..4000 {
        let (place, _) = choice.pick().expect("one of them");
        counts[place] += 1;
    }
    assert!((2800..3200).contains(&counts[0]), "{counts:?}");
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
        .endpoints()
        .iter()
        .map(|it| &it.origin)
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
    let mut spec = upstream(&["http://a", "http://b", "http://c"]);
    spec.policy.balance = Balance::RoundRobin;
    let gateway = build(vec![], vec![spec]).expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let now = SystemClock.boot();
    let order = |turn, now| order(upstream, turn, now);
    assert_eq!(order(0, now), "abc");
    assert_eq!(order(1, now), "bca");
    assert_eq!(order(5, now), "cba");
    let b = Arc::clone(&upstream.endpoints()[1]);
    b.standing.missed(now);
    assert_eq!(order(1, now), "cab");
    let later = now.after(std::time::Duration::from_secs(60));
    assert_eq!(order(2, later), "bac", "one request tries it again");
    assert_eq!(order(1, later), "cab", "the others go on avoiding it");
    b.standing.reached();
    assert_eq!(order(1, now), "bca");
}

#[test]
fn at_most_half_of_the_endpoints_are_left_out() {
    let spec = upstream(&["http://a", "http://b", "http://c"]);
    let gateway = build(vec![], vec![spec]).expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let now = SystemClock.boot();
    let mut ejected = 0;
    for endpoint in upstream.endpoints() {
        let faults = (0..9).filter_map(|_| upstream.faulted(&endpoint, now));
        ejected += faults.count();
    }
    assert_eq!(ejected, 1);
    for turn in 0..20 {
        assert!(!order(upstream, turn, now).starts_with('a'));
    }
}

#[test]
fn each_address_of_a_name_is_an_endpoint() {
    let gateway = build(
        vec![],
        vec![upstream(&["http://name:8080", "http://127.0.0.1"])],
    );
    let gateway = gateway.expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let now = SystemClock.boot();
    let due = |now| upstream.due_names(now).len();
    assert_eq!((due(now), due(now)), (1, 0), "once, and no address");
    assert_eq!(due(now.after(std::time::Duration::from_secs(31))), 1);
    let address = |last| std::net::SocketAddr::from(([10, 0, 0, last], 8080));
    upstream.found(0, &[address(1), address(2)]);
    let before = upstream.endpoints();
    assert_eq!(before.len(), 3);
    upstream.found(0, &[address(2), address(3)]);
    let after = upstream.endpoints();
    let seen: Vec<_> = after.iter().filter_map(|it| it.address).collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.contains(&address(3)) && !seen.contains(&address(1)));
    let stays = |it: &&Arc<Endpoint>| it.address == Some(address(2));
    let (one, other) = (before.iter().find(stays), after.iter().find(stays));
    assert_eq!(
        one.map(|it| it.key),
        other.map(|it| it.key),
        "it is the same"
    );
}

#[test]
fn the_same_key_goes_to_the_same_endpoint_while_that_is_well() {
    let mut spec = upstream(&["http://a", "http://b", "http://c"]);
    spec.policy.balance = Balance::RingHash(HashKey::Header(HeaderName::from_static("x-user")));
    let gateway = build(vec![], vec![spec]).expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let now = SystemClock.boot();
    let headers = |user| http::HeaderMap::from_iter([(HeaderName::from_static("x-user"), user)]);
    let key = upstream.key(&headers(HeaderValue::from_static("u1")), Sender::default());
    let chosen = || {
        let draw = Draw {
            turn: 0,
            roll: fastrand::u64(..),
            key,
        };
        match upstream.choose(&[], &draw, now) {
            Choice::To(flight) => Arc::clone(flight.endpoint()),
            other => panic!("{other:?}"),
        }
    };
    let first = chosen();
    assert!((0..20).all(|_| chosen().key == first.key));
    first.standing.missed(now);
    let second = chosen();
    assert!(second.key != first.key && (0..20).all(|_| chosen().key == second.key));
}

#[test]
fn one_address_is_one_key_however_it_is_written() {
    let mut spec = upstream(&["http://a", "http://b"]);
    spec.policy.balance = Balance::RingHash(HashKey::Address);
    let gateway = build(vec![], vec![spec]).expect("a gateway");
    let upstream = gateway.upstreams().next().expect("one");
    let key = |address: &str| {
        let address = Some(address.parse().expect("an address"));
        let sender = Sender {
            address,
            ..Sender::default()
        };
        upstream.key(&http::HeaderMap::new(), sender)
    };
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    // Over a Unix socket there is none.
    assert_eq!(
        upstream.key(&http::HeaderMap::new(), Sender::default()),
        None
    );
}

/// Returns the hosts in the order that a request tries them in.
fn order(upstream: &Upstream, turn: usize, now: BootTime) -> String {
    let mut tried = Vec::new();
    let mut hosts = String::new();
    let draw = Draw {
        turn,
        roll: fastrand::u64(..),
        key: None,
    };
    while let Choice::To(flight) = upstream.choose(&tried, &draw, now) {
        hosts.push_str(&flight.endpoint().origin.host);
        tried.push(flight.endpoint().key);
    }
    hosts
}

fn build(routes: Vec<RouteSpec>, upstreams: Vec<UpstreamSpec>) -> Result<Gateway, GatewayError> {
    Gateway::new(spec(routes, upstreams))
}

fn spec(routes: Vec<RouteSpec>, upstreams: Vec<UpstreamSpec>) -> GatewaySpec {
    GatewaySpec {
        limits: LimitSpecs::default(),
        path_policy: PathPolicy::default(),
        routes,
        upstreams,
        consumers: Consumers::new(AUTHORIZATION, []),
        identity: IdentityHeaders::default(),
    }
}

fn route(name: &str, host: Option<&str>, prefix: &str, upstream: &str) -> RouteSpec {
    let mut route = RouteSpec::to(name, prefix, upstream, Admission::Anyone);
    route.matches.host = host.map_or(HostMatch::Any, |it| HostMatch::Exact(it.to_owned()));
    route
}

fn upstream(endpoints: &[&str]) -> UpstreamSpec {
    UpstreamSpec {
        name: "u".into(),
        endpoints: endpoints
            .iter()
            .map(|it| it.parse().expect("a URL"))
            .collect(),
        roots: TrustedRoots::System,
        credentials: Vec::new(),
        connect_timeout: std::time::Duration::from_secs(1),
        response_timeout: std::time::Duration::from_secs(1),
        policy: UpstreamPolicy::default(),
    }
}

#[test]
fn what_is_reached_the_same_way_keeps_its_connections_and_its_health() {
    let first = build(vec![], vec![upstream(&["http://a"])]).expect("a gateway");
    let endpoint = |gateway: &Gateway| {
        let upstream = gateway.upstreams().next().expect("one");
        Arc::clone(&upstream.endpoints()[0])
    };
    endpoint(&first).standing.missed(SystemClock.boot());
    let mut patient = upstream(&["http://a"]);
    patient.response_timeout = std::time::Duration::from_secs(9);
    let same = first.succeeded_by(spec(vec![], vec![patient]));
    let same = endpoint(&same.expect("one"));
    assert_eq!(same.key, endpoint(&first).key);
    assert!(same.standing.reached(), "what was known of it is known on");
    let elsewhere = first.succeeded_by(spec(vec![], vec![upstream(&["http://b"])]));
    assert_ne!(endpoint(&elsewhere.expect("one")).key, same.key);
    let mut otherwise = upstream(&["http://a"]);
    otherwise.policy.protocol = Protocol::Http2;
    let otherwise = first.succeeded_by(spec(vec![], vec![otherwise]));
    assert_ne!(
        endpoint(&otherwise.expect("one")).key,
        same.key,
        "spoken to otherwise"
    );
}
