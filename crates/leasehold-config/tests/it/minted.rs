//! Tokens that the gateway has signed, as written and as read.

use std::fs;
use std::time::Duration;

use leasehold_config::{Source, load};
use leasehold_model::{ClaimPart, ClaimText, JwtAlgorithm, JwtKey, JwtTerms};

use crate::documents::{report, workspace};

fn example() -> String {
    let path = workspace().join("examples/minted-jwt.yaml");
    fs::read_to_string(path).expect("the example")
}

fn with(part: &str, replacement: &str) -> String {
    let text = example();
    assert!(text.contains(part), "{part}");
    text.replacen(part, replacement, 1)
}

fn minted(name: &str) -> (JwtKey, JwtTerms) {
    let snapshot = load("leasehold.yaml", &example()).expect("no fault");
    let mut credentials = snapshot.credentials.into_iter();
    let credential = credentials.find(|it| it.name.as_str() == name);
    let source = credential.map(|it| it.source);
    let token = source.and_then(|it| match it {
        Source::Minted { key, terms } => Some((key, JwtTerms::clone(&terms))),
        _ => None,
    });
    token.expect("a token of that name")
}

#[test]
fn a_token_of_transit_is_read_whole() {
    let (key, terms) = minted("partner");
    let transit = JwtKey::Transit {
        mount: "transit".to_owned(),
        name: "partner-signing".to_owned(),
    };
    assert_eq!(key, transit);
    assert_eq!(terms.algorithm, JwtAlgorithm::Es256);
    assert_eq!(terms.audiences, ["https://partner.example.com"]);
    assert_eq!(terms.lifetime, Duration::from_secs(300));
    assert_eq!(terms.subject, ClaimText(vec![ClaimPart::Consumer]));
    let text = |text: &str| ClaimPart::Text(text.to_owned());
    let client = ClaimText(vec![text("acme/"), ClaimPart::Consumer]);
    assert_eq!(terms.claims["client"], client);
}

#[test]
fn a_token_of_a_stored_key_has_its_defaults() {
    let (key, terms) = minted("reports");
    let stored = JwtKey::Stored {
        path: "keys/reports".to_owned(),
        field: "private_key".to_owned(),
    };
    assert_eq!(key, stored);
    assert_eq!(terms.audiences.len(), 2);
    assert_eq!(terms.lifetime, Duration::from_secs(300));
    let gateway = ClaimText(vec![ClaimPart::Text("gateway".to_owned())]);
    assert_eq!(terms.subject, gateway);
}

#[test]
fn what_can_not_be_signed_is_refused_with_what_to_do() {
    let cases = [
        (with("    per: consumer\n", ""), "add `per: consumer`"),
        (with("{consumer}", "{caller}"), "a brace that is no part of"),
        (
            with("{ tenant: acme", "{ exp: acme"),
            "it follows from `lifetime`",
        ),
        (with("{ tenant: acme", "{ sub: acme"), "it is `subject`"),
        (with("lifetime: 5m", "lifetime: 10s"), "from 30s"),
        (with("lifetime: 5m", "lifetime: 2h"), "write `1h` or less"),
        (
            with("algorithm: ES256", "algorithm: HS256"),
            "it is one of `RS256`, `PS256`",
        ),
        (
            with("        key: partner-signing\n", ""),
            "no `key` that signs it",
        ),
        (
            with("key: partner-signing", "key: a/b"),
            "not the name of a key",
        ),
        (
            with(
                "key: partner-signing",
                "key: k\n        key_field: private_key",
            ),
            "`key_field` does not go with a key of this provider",
        ),
        (
            with("      path: keys/reports\n", ""),
            "no `path` of the key",
        ),
        (
            with("algorithm: EdDSA", "algorithm: EdDSA\n        key: reports"),
            "`key` does not go with a key of this provider",
        ),
        (
            with("subject: gateway", "subject: \" \""),
            "text on one line",
        ),
        (
            with(
                "[https://reports.example.com, https://archive.example.com]",
                "[]",
            ),
            "audience",
        ),
        (
            with(
                "      path: keys/reports\n",
                "      path: keys/reports\n      poll: 1s\n",
            ),
            "`poll` does not go with `jwt`",
        ),
        (
            with("      path: keys/reports\n", "      kv: keys/reports\n"),
            "exactly one of",
        ),
    ];
    for (text, expected) in cases {
        let report = report(&text);
        assert!(report.contains(expected), "{expected}:\n{report}");
    }
}
