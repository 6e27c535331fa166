//! Credentials that are bound to hosts.

use crate::documents::{faults_of, report, with};

const ORDERS: &str = "{ from: { provider: vault, lease: database/creds/orders } }";
const KEY: &str = "{ from: { provider: vault, kv: kv/payments/api, field: key } }";
const PAYMENTS: &str = r#"payments: { endpoints: ["https://payments"], "#;
const ROUTE: &str = "match: { host: API.example.com, path: /payments/ }, upstream: payments,";

/// Returns the sound document in which the key is bound to `hosts`, with one more change.
fn bound(hosts: &str, (part, replacement): (&str, &str)) -> String {
    let open = KEY.strip_suffix(" }").expect("a mapping");
    let text = with(KEY, &format!("{open}, hosts: {hosts} }}"));
    assert_eq!(text.matches(part).count(), 1, "{part}");
    text.replace(part, replacement)
}

const NOTHING: (&str, &str) = ("instance: edge-1", "instance: edge-1");

#[test]
fn an_upstream_within_the_hosts_is_no_fault() {
    for hosts in [
        "[payments]",
        "[other.internal, PAYMENTS]",
        "[\"payments:443\"]",
    ] {
        assert_eq!(faults_of(&bound(hosts, NOTHING)), [], "{hosts}");
    }
    let other = with(
        ORDERS,
        "{ from: { provider: vault, lease: database/creds/orders }, hosts: [\"orders:80\"] }",
    );
    assert_eq!(faults_of(&other), []);
}

#[test]
fn whatever_is_elsewhere_is_a_fault_with_its_line() {
    let endpoint = |text: &'static str| (PAYMENTS, text);
    for (hosts, change, line) in [
        ("[payments.internal]", NOTHING, 15),
        ("[\"*.payments\"]", NOTHING, 15),
        ("[\"payments:8443\"]", NOTHING, 15),
        (
            "[payments]",
            endpoint(r#"payments: { endpoints: ["https://payments", "https://elsewhere"], "#),
            15,
        ),
        (
            "[payments]",
            endpoint(r#"payments: { endpoints: ["https://payments"], tls: { sni: elsewhere }, "#),
            15,
        ),
        (
            "[payments]",
            endpoint(r#"payments: { endpoints: ["https://payments"], host: "elsewhere:443", "#),
            15,
        ),
        (
            "[payments]",
            endpoint(r#"payments: { endpoints: ["http://payments"], proxy: "http://proxy:3128", "#),
            15,
        ),
        (
            "[payments]",
            (
                ROUTE,
                "match: { path: /payments/ }, upstream: payments, rewrite: { host: elsewhere },",
            ),
            20,
        ),
        (
            "[payments]",
            (
                ROUTE,
                "match: { path: /payments/ }, upstream: payments, rewrite: { host: preserve },",
            ),
            20,
        ),
        (
            "[payments]",
            (
                ROUTE,
                "match: { path: /payments/, host: \"*.payments\" }, upstream: payments, rewrite: { host: preserve },",
            ),
            20,
        ),
        (
            "[payments]",
            endpoint(r#"payments: { endpoints: ["https://payments"], host: preserve, "#),
            20,
        ),
        // A copy is shown it too.
        (
            "[orders]",
            (
                "- { upstream: orders, consumers: anyone }",
                "- { upstream: orders, mirror: { upstream: payments }, consumers: anyone }",
            ),
            15,
        ),
    ] {
        let faults = faults_of(&bound(hosts, change));
        assert_eq!(faults, [(line, "outside_hosts")], "{hosts} {change:?}");
    }
}

#[test]
fn a_host_that_callers_say_may_be_one_that_the_route_matches() {
    for (hosts, matched) in [
        ("[payments, api.example.com]", "host: API.example.com"),
        ("[payments, \"*.example.com\"]", "host: API.example.com"),
        (
            "[payments, \"*.example.com\"]",
            "host: \"*.eu.example.com\"",
        ),
    ] {
        let route = format!(
            "match: {{ {matched}, path: /payments/ }}, upstream: payments, rewrite: {{ host: preserve }},"
        );
        assert_eq!(
            faults_of(&bound(hosts, (ROUTE, &route))),
            [],
            "{hosts} {matched}"
        );
    }
}

#[test]
fn the_secret_of_a_client_goes_to_no_other_token_endpoint() {
    let text = bound(
        "[payments]",
        (
            "  native: { kind",
            "  idp: { kind: oauth, token_endpoint: \"https://idp/token\", client: { credential: payments-key, id: me, secret: key, method: client_secret_post } }\n  native: { kind",
        ),
    );
    assert_eq!(faults_of(&text), [(9, "outside_hosts")]);
    let text = text.replace("hosts: [payments]", "hosts: [payments, idp]");
    assert_eq!(faults_of(&text), []);
}

#[test]
fn what_is_no_host_is_a_fault_that_says_how_to_write_one() {
    let text = bound("[payments, \"https://payments/x\"]", NOTHING);
    assert_eq!(faults_of(&text), [(11, "bad_host")]);
    assert!(report(&text).contains("api.internal:8443"));
    assert_eq!(faults_of(&bound("[]", NOTHING)), [(11, "empty")]);
}
