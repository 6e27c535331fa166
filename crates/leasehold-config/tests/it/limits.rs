//! How much callers may ask for.

use std::time::Duration;

use leasehold_config::load;

use crate::documents::{faults_of, report, with};

/// The sound document with limits behind its line 1, named by its second route, then in line 23.
fn document(rate: &str, concurrency: &str, named: &str) -> String {
    let limits = format!(
        "instance: edge-1\nrate_limits: {{ r: {rate} }}\nconcurrency_limits: {{ c: {concurrency} }}"
    );
    let route = format!("upstream: orders, consumers: anyone, limits: {named}");
    with("instance: edge-1", &limits).replace("upstream: orders, consumers: anyone", &route)
}

const RATE: &str = "{ per: consumer, requests: 10, every: 1s }";
const CONCURRENCY: &str = "{ per: [address, route], requests: 3 }";

#[test]
fn limits_are_read_with_their_defaults() {
    let text = document(RATE, CONCURRENCY, "{ rate: [r], concurrency: [c] }");
    let snapshot = load("leasehold.yaml", &text).expect("sound");
    let rate = &snapshot.rate_limits[0];
    assert_eq!((rate.requests.get(), rate.burst.get()), (10, 10));
    assert_eq!(
        (rate.every, rate.keys, rate.headers),
        (Duration::from_secs(1), 100_000, true)
    );
    assert!(rate.per.consumer && !rate.per.route && !rate.per.address);
    let concurrency = &snapshot.concurrency_limits[0];
    assert!(!concurrency.per.consumer && concurrency.per.route && concurrency.per.address);
    let [first, second] = snapshot.routes.as_slice() else {
        panic!("two routes");
    };
    assert!(first.limits.rate.is_empty() && first.limits.concurrency.is_empty());
    assert_eq!(second.limits.rate, ["r".into()]);
    assert_eq!(second.limits.concurrency, ["c".into()]);
}

#[test]
fn what_is_wrong_with_a_limit_is_told_with_its_line() {
    let limited = |rate: &str| faults_of(&document(rate, CONCURRENCY, "{}"));
    for (rate, code) in [
        ("{ per: consumer, requests: 0, every: 1s }", "out_of_range"),
        ("{ per: consumer, requests: 1, every: 0s }", "out_of_range"),
        ("{ per: consumer, requests: 1, every: 25h }", "out_of_range"),
        (
            "{ per: consumer, requests: 1, every: 1s, burst: 0 }",
            "out_of_range",
        ),
        (
            "{ per: consumer, requests: 1, every: 1s, keys: 1 }",
            "out_of_range",
        ),
        (
            "{ per: consumer, requests: 1, every: soon }",
            "bad_duration",
        ),
        ("{ per: caller, requests: 1, every: 1s }", "unknown_value"),
        (
            "{ per: [route, route], requests: 1, every: 1s }",
            "bad_combination",
        ),
        ("{ per: [], requests: 1, every: 1s }", "empty"),
        ("{ per: consumer, requests: 1 }", "missing_field"),
    ] {
        assert_eq!(limited(rate), [(2, code)], "{rate}");
    }
    let named = |named: &str| faults_of(&document(RATE, CONCURRENCY, named));
    for (limits, code) in [
        ("{ rate: [c] }", "unknown_limit"),
        ("{ concurrency: [r] }", "unknown_limit"),
        ("{ rate: [r, r] }", "bad_combination"),
    ] {
        assert_eq!(named(limits), [(23, code)], "{limits}");
    }
}

#[test]
fn a_limit_that_is_not_declared_is_told_with_what_may_be_meant() {
    let text = document(RATE, CONCURRENCY, "{ rate: [x] }");
    let report = report(&text);
    assert!(
        report.contains("`x` is not a declared rate limit"),
        "{report}"
    );
    assert!(report.contains("declared are `r`"), "{report}");
}
