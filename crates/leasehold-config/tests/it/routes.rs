//! What a route may say.

use std::time::Duration;

use leasehold_config::{
    HeaderTest, HostMatch, HostRewrite, Origins, PathMatch, Redirect, Route, Target, load,
};

use crate::documents::{faults_of, report, with};

/// The second route of the sound document, which stands in its line 21.
const SECOND: &str = "upstream: orders, consumers: anyone";

fn route(text: &str) -> Route {
    let document = with(SECOND, &format!("{text}, consumers: anyone"));
    let snapshot = load("leasehold.yaml", &document).expect(text);
    snapshot.routes.into_iter().nth(1).expect("two routes")
}

fn fault(text: &str) -> Vec<(usize, &'static str)> {
    faults_of(&with(SECOND, &format!("{text}, consumers: anyone")))
}

#[test]
fn what_is_left_out_of_a_route_changes_nothing() {
    let route = route("upstream: orders");
    assert_eq!(route.target, Target::Upstreams(vec![("orders".into(), 1)]));
    assert_eq!(route.rewrite.host, HostRewrite::Upstream);
    assert_eq!(route.rewrite.prefix, None);
    assert!(route.request_headers.set.is_empty() && route.matches.methods.is_empty());
    assert_eq!((route.timeouts.request, route.limits.body), (None, None));
    assert!(route.retry.is_none() && route.cors.is_none() && route.mirror.is_none());
    let document = with("instance: edge-1", "instance: edge-1\npath_policy: {}");
    let policy = load("leasehold.yaml", &document)
        .expect("sound")
        .path_policy;
    assert!(!policy.forward_encoded_slashes && !policy.normalise_dot_segments);
    assert!(!policy.merge_slashes);
}

#[test]
fn answers_are_looked_through_where_there_is_something_to_look_for() {
    use leasehold_config::Reflection::{Block, Mask, Off, Report};
    for (word, reflection) in [
        ("off", Off),
        ("report", Report),
        ("mask", Mask),
        ("block", Block),
    ] {
        let read = route(&format!("upstream: orders, reflection: {word}"));
        assert_eq!(read.reflection, reflection);
    }
    assert_eq!(route("upstream: orders").reflection, Off);
    assert_eq!(
        fault("upstream: orders, reflection: hide"),
        [(21, "unknown_value")]
    );
    let bare = with(
        SECOND,
        "redirect: { host: elsewhere }, reflection: block, consumers: anyone",
    );
    assert_eq!(faults_of(&bare), [(21, "bad_combination")]);
    let shown = report(&bare);
    assert!(
        shown.contains("no upstream of this route is sent a credential"),
        "{shown}"
    );
}

#[test]
fn websockets_are_asked_for_where_the_route_says_so() {
    assert_eq!(route("upstream: orders").websocket, None);
    assert_eq!(route("upstream: orders, upgrades: []").websocket, None);
    let idle = |text: &str| {
        let read = route(&format!("upstream: orders, upgrades: [websocket]{text}"));
        read.websocket.map(|it| it.idle)
    };
    assert_eq!(idle(""), Some(Duration::from_mins(5)));
    let written = idle(", timeouts: { websocket_idle: 90s }");
    assert_eq!(written, Some(Duration::from_secs(90)));
    for (text, code) in [
        ("upstream: orders, upgrades: [h2c]", "unknown_value"),
        (
            "upstream: orders, timeouts: { websocket_idle: 90s }",
            "bad_combination",
        ),
        (
            "upstream: orders, upgrades: [websocket], timeouts: { websocket_idle: 10ms }",
            "out_of_range",
        ),
        (
            "redirect: { host: elsewhere }, upgrades: [websocket]",
            "bad_combination",
        ),
        (
            "upstream: orders, upgrades: [websocket], reflection: block",
            "bad_combination",
        ),
    ] {
        assert_eq!(fault(text), [(21, code)], "{text}");
    }
}

#[test]
fn each_kind_of_match_is_read() {
    let matches = |text: &str| route(&format!("match: {text}, upstream: orders")).matches;
    let below = matches("{ host: \"*.Example.com\" }").host;
    assert_eq!(below, HostMatch::Below("example.com".to_owned()));
    let path = |text: &str| matches(&format!("{{ path: {text} }}")).path;
    assert_eq!(path("/x"), PathMatch::Prefix("/x".to_owned()));
    assert_eq!(path("{ prefix: /x/ }"), PathMatch::Prefix("/x/".to_owned()));
    assert_eq!(path("{ exact: /x }"), PathMatch::Exact("/x".to_owned()));
    assert_eq!(
        path("{ template: \"/users/{id}/orders\" }"),
        PathMatch::Template("/users/{id}/orders".to_owned())
    );
    let read = matches(
        "{ methods: [GET, PUT], headers: { X-Env: prod, X-Id: { present: true } }, query: { v: \"2\" } }",
    );
    assert_eq!(read.methods.iter().collect::<Vec<_>>(), ["GET", "PUT"]);
    assert_eq!(read.headers["x-env"], HeaderTest::Exact("prod".to_owned()));
    assert_eq!(read.headers["x-id"], HeaderTest::Present(true));
    assert_eq!(read.query["v"], "2");
}

#[test]
fn a_match_that_no_request_can_meet_is_a_fault() {
    for (text, code) in [
        ("{ host: \"*\" }", "bad_host"),
        ("{ host: \"*.*.com\" }", "bad_host"),
        ("{ path: { exact: x } }", "bad_path"),
        ("{ path: { template: /x } }", "bad_path"),
        ("{ path: { template: \"/{*a}/b\" } }", "bad_path"),
        ("{ path: { exact: /x, prefix: /y } }", "bad_combination"),
        ("{ path: {} }", "bad_combination"),
        ("{ methods: [] }", "empty"),
        ("{ methods: [get] }", "bad_method"),
        ("{ methods: [TRACE] }", "bad_method"),
        ("{ headers: { Host: x } }", "bad_header"),
        ("{ headers: { X-Env: { present: maybe } } }", "wrong_type"),
        ("{ query: { v: \"a b\" } }", "unknown_value"),
        ("{ headers: { X-Env: a, x-env: b } }", "duplicate_key"),
    ] {
        let faults = fault(&format!("match: {text}, upstream: orders"));
        assert_eq!(faults, [(21, code)], "{text}");
    }
}

#[test]
fn two_routes_for_exactly_the_same_requests_are_shown_both() {
    let both = |one: &str, other: &str| {
        let routes = format!(
            "{{ name: a, match: {one}, upstream: orders, consumers: anyone }}\n  \
             - {{ name: b, match: {other}, upstream: orders, consumers: anyone }}"
        );
        with(&format!("{{ {SECOND} }}"), &routes)
    };
    for (one, other) in [
        (
            "{ path: /x, methods: [GET, PUT] }",
            "{ path: /x, methods: [PUT, GET] }",
        ),
        (
            "{ path: { template: \"/x/{a}\" } }",
            "{ path: { template: \"/x/{b}\" } }",
        ),
        ("{ path: /x }", "{ path: { prefix: /x } }"),
        ("{ host: \"*.A.com\" }", "{ host: \"*.a.com\" }"),
    ] {
        assert_eq!(faults_of(&both(one, other)), [(22, "duplicate_route")]);
    }
    for (one, other) in [
        ("{ path: /x, methods: [GET] }", "{ path: /x }"),
        (
            "{ path: { template: \"/x/{a}\" } }",
            "{ path: { template: \"/x/{*a}\" } }",
        ),
        ("{ path: /x }", "{ path: { exact: /x } }"),
        ("{ host: \"*.a.com\" }", "{ host: a.com }"),
        ("{ headers: { X-Env: a } }", "{ headers: { X-Env: b } }"),
    ] {
        assert_eq!(faults_of(&both(one, other)), []);
    }
    let report = report(&both("{ path: /x }", "{ path: { prefix: /x } }"));
    assert!(
        report.contains(" 21 │") && report.contains(" 22 │"),
        "{report}"
    );
    assert!(report.contains("the other one"), "{report}");
}

#[test]
fn a_route_leads_to_one_upstream_to_several_or_elsewhere() {
    let several = route("upstreams: [{ name: payments, weight: 9 }, { name: orders, weight: 1 }]");
    let want = vec![("payments".into(), 9), ("orders".into(), 1)];
    assert_eq!(several.target, Target::Upstreams(want));
    let redirect = route("redirect: { status: 308, scheme: https, port: 8443, path: /new/ }");
    let want = Redirect {
        status: 308,
        scheme: Some("https".to_owned()),
        host: None,
        port: Some(8443),
        path: Some("/new/".to_owned()),
    };
    assert_eq!(redirect.target, Target::Redirect(want));
    for (text, code) in [
        ("name: a", "missing_field"),
        ("upstream: 5", "wrong_type"),
        ("upstreams: []", "empty"),
        ("upstreams: [{ name: orders, weight: 0 }]", "out_of_range"),
        (
            "upstreams: [{ name: ordrs, weight: 1 }]",
            "unknown_upstream",
        ),
        (
            "upstreams: [{ name: orders, weight: 1 }, { name: orders, weight: 2 }]",
            "duplicate_name",
        ),
        (
            "upstream: orders, redirect: { path: /x }",
            "bad_combination",
        ),
        ("redirect: {}", "bad_combination"),
        ("redirect: { path: / }", "bad_combination"),
        ("redirect: { scheme: ftp }", "unknown_value"),
        ("redirect: { scheme: https, status: 303 }", "out_of_range"),
        ("redirect: { host: \"a:80\" }", "bad_host"),
        (
            "upstream: orders, mirror: { upstream: none }",
            "unknown_upstream",
        ),
        (
            "upstream: orders, mirror: { upstream: orders, percent: 0 }",
            "out_of_range",
        ),
    ] {
        assert_eq!(fault(text), [(21, code)], "{text}");
    }
}

#[test]
fn edits_leave_alone_what_is_not_the_operators() {
    let edits = |text: &str| format!("upstream: orders, request_headers: {text}");
    let route = route(&edits(
        "{ set: { X-Env: prod 1 }, add: { Via-Us: a }, remove: [Cookie] }",
    ));
    assert_eq!(
        route.request_headers.set,
        [("x-env".to_owned(), "prod 1".to_owned())]
    );
    assert_eq!(route.request_headers.remove, ["cookie"]);
    for (text, code) in [
        ("{ set: { Content-Length: \"1\" } }", "bad_header"),
        ("{ remove: [Transfer-Encoding] }", "bad_header"),
        ("{ remove: [Traceparent] }", "bad_header"),
        // The consumer key and the credential of `orders`, by any name that a server may take.
        ("{ remove: [X_Api_Key] }", "bad_header"),
        ("{ remove: [Authorization] }", "bad_header"),
        (
            "{ add: { authorization_: a, x-api.key: b } }",
            "secret_value",
        ),
        ("{ set: { X-Env: \" a\" } }", "bad_header"),
        ("{ set: { X-Env: \"ä\" } }", "bad_header"),
        (
            "{ set: { X-Env: hvs.CAESIJcanarycanary0123456789 } }",
            "secret_value",
        ),
        (
            "{ set: { X-Env: Bearer aB3dE5fG7hI9jK1lM3nO5pQ7 } }",
            "secret_value",
        ),
        ("{ set: { X-Client-Secret: a } }", "secret_value"),
    ] {
        let found = fault(&edits(text));
        assert!(found.contains(&(21, code)), "{text}: {found:?}");
    }
    let text = edits("{ set: { X-Env: Bearer aB3dE5fG7hI9jK1lM3nO5pQ7 } }");
    let report = report(&with(SECOND, &format!("{text}, consumers: anyone")));
    assert!(!report.contains("aB3dE5fG7hI9"), "{report}");
}

#[test]
fn retries_timeouts_and_limits_are_read() {
    let read = route(
        "upstream: orders, timeouts: { request: 30s }, limits: { body: 10MiB, head: 32KiB }, \
         retry: { attempts: 3, on: [connect, \"503\"], per_try: 5s, methods: [POST] }",
    );
    assert_eq!(read.timeouts.request, Some(Duration::from_secs(30)));
    assert_eq!(read.limits.body, Some(10 << 20));
    assert_eq!(read.limits.head, Some(32 << 10));
    let retry = read.retry.expect("a policy");
    assert!(retry.on_connect && !retry.on_reset);
    assert_eq!((retry.attempts, retry.budget_percent), (3, 20));
    assert!(retry.on_status.contains(&503) && retry.methods.contains("POST"));
    let retry = route("upstream: orders, retry: {}")
        .retry
        .expect("a policy");
    assert!(retry.on_connect && retry.on_reset && retry.on_status.is_empty());
    assert!(retry.methods.contains("PUT") && !retry.methods.contains("POST"));
    for (text, code) in [
        ("limits: { body: 10 }", "wrong_type"),
        ("limits: { body: 10MB }", "bad_size"),
        ("limits: { body: 0B }", "bad_size"),
        ("timeouts: { request: 0s }", "out_of_range"),
        ("retry: { attempts: 1 }", "out_of_range"),
        ("retry: { on: [\"404\"] }", "unknown_value"),
        ("retry: { on: [timeout] }", "unknown_value"),
        ("retry: { budget_percent: 101 }", "out_of_range"),
    ] {
        assert_eq!(
            fault(&format!("upstream: orders, {text}")),
            [(21, code)],
            "{text}"
        );
    }
}

#[test]
fn cors_names_origins_or_any() {
    let cors = |text: &str| format!("match: {{ methods: [PUT] }}, upstream: orders, cors: {text}");
    let read = route(&cors("{ origins: any }")).cors.expect("a rule");
    assert_eq!((read.origins, read.credentials), (Origins::Any, false));
    assert_eq!(read.methods, ["PUT"]);
    assert_eq!(read.max_age, Duration::from_secs(300));
    let origins =
        "{ origins: [\"https://app.example.com\", \"http://localhost:3000\"], credentials: true }";
    assert!(route(&cors(origins)).cors.expect("a rule").credentials);
    for (text, code) in [
        ("{ origins: any, credentials: true }", "bad_combination"),
        ("{ origins: all }", "unknown_value"),
        ("{ origins: [] }", "empty"),
        ("{ origins: [\"https://app.example.com/\"] }", "bad_origin"),
        (
            "{ origins: [\"https://app.example.com:443\"] }",
            "bad_origin",
        ),
        ("{ origins: [\"https://App.example.com\"] }", "bad_origin"),
        ("{ origins: [\"null\"] }", "bad_origin"),
        ("{ origins: any, methods: [put] }", "bad_method"),
        ("{}", "missing_field"),
    ] {
        assert_eq!(fault(&cors(text)), [(21, code)], "{text}");
    }
}

#[test]
fn a_word_of_several_is_one_of_them() {
    let policy = |text: &str| {
        let text = format!("instance: edge-1\npath_policy: {text}");
        with("instance: edge-1", &text)
    };
    let all = "{ encoded_slashes: forward, dot_segments: normalise, merge_slashes: true }";
    let read = load("leasehold.yaml", &policy(all))
        .expect("sound")
        .path_policy;
    assert!(read.forward_encoded_slashes && read.normalise_dot_segments && read.merge_slashes);
    for text in [
        "{ encoded_slashes: normalise }",
        "{ dot_segments: forward }",
    ] {
        assert_eq!(faults_of(&policy(text)), [(2, "unknown_value")], "{text}");
    }
}
