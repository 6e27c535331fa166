//! Consumers who are known by tokens and certificates.

use leasehold_config::{ConsumerCertificate, JwksSource, Snapshot, load};

use crate::documents::{faults_of, report, with};

const KEYS: &str =
    "keys: [{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }]";
const CORP: &str =
    "corp: { issuer: \"https://issuer\", jwks: { file: jwks.json }, audiences: [api] }";

#[test]
fn what_is_not_said_has_its_default() {
    let snapshot = sound(
        CORP,
        "tokens: [{ issuer: corp, subject: alice }], scopes: [a]",
        "",
    );
    let issuer = &snapshot.token_issuers[0];
    assert_eq!(
        (issuer.clock_skew.as_secs(), issuer.max_token_size),
        (30, 8192)
    );
    assert_eq!(
        (issuer.header.as_str(), issuer.algorithms.len()),
        ("authorization", 9)
    );
    assert_eq!(issuer.keys.refresh.as_secs(), 300);
    assert_eq!(issuer.keys.max_stale.as_secs(), 24 * 3600);
    assert!(matches!(&issuer.keys.from, JwksSource::File(_)));
    let consumer = &snapshot.consumers[0];
    assert!(consumer.keys.is_empty());
    assert_eq!(consumer.tokens[0].subject.as_deref(), Some("alice"));
    assert_eq!(consumer.scopes, ["a"]);
}

#[test]
fn certificates_are_read_in_each_form() {
    let forms = "certificates: [{ san_uri: \"spiffe://a/b\" }, { san_dns: A.Mesh }, { subject: \
                 \"CN=a,O=b\" }]";
    let snapshot = sound(CORP, forms, "");
    assert_eq!(
        snapshot.consumers[0].certificates,
        [
            ConsumerCertificate::SanUri("spiffe://a/b".to_owned()),
            ConsumerCertificate::SanDns("a.mesh".to_owned()),
            ConsumerCertificate::Subject("CN=a,O=b".to_owned()),
        ]
    );
}

#[test]
fn each_rule_about_issuers_has_its_fault() {
    let url = |url: &str| format!("jwks: {{ url: \"{url}\" }}");
    for (part, other, code) in [
        (
            "jwks: { file: jwks.json }",
            "jwks: {}".to_owned(),
            "bad_combination",
        ),
        (
            "file: jwks.json",
            "file: a, url: \"https://b\"".to_owned(),
            "bad_combination",
        ),
        (
            "file: jwks.json",
            "file: a, ca: b".to_owned(),
            "bad_combination",
        ),
        (
            "jwks: { file: jwks.json }",
            url("http://issuer/jwks"),
            "bad_url",
        ),
        (
            "jwks: { file: jwks.json }",
            url("ftp://localhost/jwks"),
            "bad_url",
        ),
        (
            "jwks: { file: jwks.json }",
            url("https://a:b@issuer/jwks"),
            "secret_value",
        ),
        ("audiences: [api]", "audiences: []".to_owned(), "empty"),
        (
            "audiences: [api]",
            "audiences: [\"\"]".to_owned(),
            "bad_name",
        ),
        (
            "audiences: [api]",
            "audiences: [api], algorithms: [HS256]".to_owned(),
            "unknown_value",
        ),
        (
            "audiences: [api]",
            "audiences: [api], algorithms: [none]".to_owned(),
            "unknown_value",
        ),
        (
            "audiences: [api]",
            "audiences: [api], algorithms: []".to_owned(),
            "empty",
        ),
        (
            "audiences: [api]",
            "audiences: [api], clock_skew: 6m".to_owned(),
            "out_of_range",
        ),
        (
            "audiences: [api]",
            "audiences: [api], max_token_size: 1MiB".to_owned(),
            "out_of_range",
        ),
        (
            "audiences: [api]",
            "audiences: [api], header: x_api_key".to_owned(),
            "bad_header",
        ),
        (
            "audiences: [api]",
            "audiences: [api], header: host".to_owned(),
            "bad_header",
        ),
        (
            "audiences: [api] }",
            format!(
                "audiences: [api] }}\n  b: {}",
                CORP.trim_start_matches("corp: ")
            ),
            "duplicate_identity",
        ),
    ] {
        let text = document(&CORP.replace(part, &other), KEYS, "");
        let faults = faults_of(&text);
        assert!(
            faults.len() == 1 && faults[0].1 == code,
            "{other}: {faults:?}, not {code}"
        );
    }
    for local in [
        "http://localhost:1/jwks",
        "http://127.0.0.1/a",
        "http://[::1]/a?b",
        "https://i/a",
    ] {
        let text = document(
            &CORP.replace("jwks: { file: jwks.json }", &url(local)),
            KEYS,
            "",
        );
        assert_eq!(faults_of(&text), [], "{local}");
    }
}

#[test]
fn each_rule_about_consumers_has_its_fault() {
    let digest = "ab".repeat(32);
    let twice = format!("certificates: [{{ sha256: {digest} }}, {{ sha256: {digest} }}]");
    for (consumer, code) in [
        ("scopes: [a]", "bad_combination"),
        ("tokens: [{ issuer: corp }]", "bad_combination"),
        ("tokens: [{ issuer: crop, subject: a }]", "unknown_issuer"),
        ("certificates: [{}]", "bad_combination"),
        (
            "certificates: [{ san_dns: a, san_uri: b }]",
            "bad_combination",
        ),
        ("certificates: [{ sha256: abc }]", "bad_digest"),
        (
            "certificates: [{ san_dns: a.mesh }], scopes: [\"a b\"]",
            "bad_name",
        ),
        (&twice, "duplicate_identity"),
    ] {
        let faults = faults_of(&document(CORP, consumer, ""));
        assert!(
            faults.len() == 1 && faults[0].1 == code,
            "{consumer}: {faults:?}, not {code}"
        );
    }
}

#[test]
fn identity_has_headers_of_its_own() {
    for (headers, faults) in [
        ("consumer: x-who, subject: x-sub", 0),
        ("consumer: x-api-key", 1),
        ("consumer: Authorization", 1),
        ("consumer: x-who, subject: X_Who", 1),
        ("consumer: host", 1),
        ("consumer: \"a b\"", 1),
    ] {
        let found = faults_of(&document(CORP, KEYS, headers));
        assert_eq!(found.len(), faults, "{headers}: {found:?}");
        assert!(found.iter().all(|it| it.1 == "bad_header"), "{found:?}");
    }
    let text = document(CORP, KEYS, "consumer: x-who").replace(
        "upstream: orders, consumers: anyone",
        "upstream: orders, consumers: anyone, request_headers: { set: { X_Who: admin } }",
    );
    assert_eq!(faults_of(&text)[0].1, "bad_header");
}

#[test]
fn scopes_are_wanted_of_consumers_and_not_of_anyone() {
    let text = with("consumers: anyone", "consumers: anyone, scopes: [a]");
    let report = report(&text);
    assert!(
        report.contains("a route that is open to anyone asks nobody what they may do"),
        "{report}"
    );
    let text = with("consumers: anyone", "consumers: [checkout], scopes: [a]");
    assert_eq!(faults_of(&text), []);
}

fn sound(issuer: &str, consumer: &str, headers: &str) -> Snapshot {
    let text = document(issuer, consumer, headers);
    load("leasehold.yaml", &text).expect("a sound document")
}

fn document(issuer: &str, consumer: &str, headers: &str) -> String {
    let text = with(KEYS, consumer);
    format!("{text}token_issuers:\n  {issuer}\nidentity_headers: {{ {headers} }}\n")
}
