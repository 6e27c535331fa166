//! No report shows a secret, wherever in the document it was written.

use leasehold_config::load;

use crate::documents::{SOUND, faults_of, report, with};

/// Ways to write a secret into a document: the part to replace, what to write there, the line and
/// the code of the fault. Each holds a canary.
const WRITTEN: &[(&str, &str, usize, &str)] = &[
    (
        "secret_id: { file: secret-id }",
        "secret_id: canary",
        8,
        "secret_value",
    ),
    (
        "secret_id: { file: secret-id }",
        "secret_id: { file: secret-id, value: canary }",
        8,
        "secret_value",
    ),
    (
        "role_id: role-1",
        "role_id: role-1, password: 'canary''canary'",
        8,
        "secret_value",
    ),
    (
        "role_id: role-1",
        "role_id: hvs.canary0123456789abcdefghij",
        8,
        "secret_value",
    ),
    (
        "field: key } }\n  orders-db",
        "field: key, token: [canary, canary] } }\n  orders-db",
        11,
        "secret_value",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, parameters: { db_password: canary }",
        12,
        "secret_value",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, parameters: { a: hvs.canary0123456789abcdefghij }",
        12,
        "secret_value",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, parameters: { token: [canary] }",
        12,
        "secret_value",
    ),
    (
        "header: X-Api-Key",
        "header: X-Api-Key, value: canary",
        15,
        "secret_value",
    ),
    (
        "header: X-Api-Key",
        "header: X-Api-Key, prefix: \"Bearer canary0123456789\"",
        15,
        "secret_value",
    ),
    (
        "header: X-Api-Key",
        "header: X-Api-Key, prefix: \"canary canary, 123\"",
        15,
        "bad_header",
    ),
    (
        "password: password",
        "password: \"canary!\"",
        16,
        "bad_name",
    ),
    (
        "credential: orders-db",
        "credential: \"canary canary\"",
        16,
        "unknown_credential",
    ),
    (
        "\"https://payments\"",
        "\"https://user:canary@payments\"",
        15,
        "secret_value",
    ),
    (
        "\"https://payments\"",
        "\"https://user:ca/nary@payments\"",
        15,
        "bad_url",
    ),
    (
        "\"https://payments\"",
        "\"https://payments?key=canary\"",
        15,
        "bad_url",
    ),
    (
        "https://vault:8200",
        "https://canary@vault:8200",
        7,
        "secret_value",
    ),
    (
        "{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }",
        "{ key: canary }",
        18,
        "consumer_key_in_clear",
    ),
    (
        "{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }",
        "canary",
        18,
        "consumer_key_in_clear",
    ),
    (
        "[{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }]",
        "canary",
        18,
        "consumer_key_in_clear",
    ),
    (
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "canary",
        18,
        "bad_digest",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\napi_key: canary",
        2,
        "secret_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\napi_key: |\n  canary\n  canary",
        3,
        "secret_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nnotes: { a: [canary, { b: canary }] }",
        2,
        "unknown_field",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nsk_live_canary0123456789: x",
        2,
        "secret_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\n\"canary canary\": x",
        2,
        "unknown_field",
    ),
    (
        "instance: edge-1",
        "instance: edge-1 # hvs.canary0123456789abcdefghij",
        1,
        "secret_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\n# ghp_canary0123456789abcdefghijABCDEFGHIJ",
        2,
        "secret_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nworkers: canary",
        2,
        "wrong_type",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\n# password: canary\nworkers: 0",
        3,
        "out_of_range",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nadmin: &a { token: canary }\nshutdown: *a",
        2,
        "secret_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\ninstance: canary",
        2,
        "duplicate_key",
    ),
];

#[test]
fn a_secret_is_reported_and_never_shown() {
    for (part, replacement, line, code) in WRITTEN {
        let text = with(part, replacement);
        let faults = faults_of(&text);
        assert!(
            faults.contains(&(*line, *code)),
            "{replacement:?}: {faults:?}"
        );
        shows_no_canary(&text);
    }
}

#[test]
fn one_secret_is_one_fault() {
    for text in [
        with(
            "role_id: role-1",
            "role_id: role-1, token: hvs.canary0123456789abcdefghij",
        ),
        with(
            "\"https://payments\"",
            "\"https://user:canary@payments/?a=b\"",
        ),
        with(
            "instance: edge-1",
            "instance: edge-1\nprivate_key: |\n  -----BEGIN PRIVATE KEY-----\n  canary\n  -----END PRIVATE KEY-----",
        ),
    ] {
        let faults = faults_of(&text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        shows_no_canary(&text);
    }
}

#[test]
fn what_is_not_yaml_shows_nothing_but_its_structure() {
    for broken in [
        "instance: [canary\n",
        "instance: canary: canary\n",
        "canary canary\nlisteners: {a: canary\n",
        "instance: *canary\n",
        "instance: !canary canary\n",
        "instance: @canary\n",
        "a:\n\tcanary: canary\n",
        "- canary\ninstance: 'canary\n",
        "? [canary]\n: canary\n",
        "\"canary\\q\": canary\n",
        "%canary\n---\na: canary\n",
        "instance: &canary [*canary]\n",
        "a: canary\n...\ncanary: [\n",
        "a: hvs.canary0123456789abcdefghij: [\n",
    ] {
        shows_no_canary(broken);
        let embedded = SOUND.replace("instance: edge-1\n", broken);
        shows_no_canary(&embedded);
    }
}

#[test]
fn the_help_for_a_consumer_key_makes_its_digest() {
    let text = with(
        "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "key: canary",
    );
    let report = report(&text);
    assert!(
        report.contains("printf %s \"$KEY\" | sha256sum"),
        "{report}"
    );
    assert!(report.contains("{ key: ****** }"), "{report}");
}

/// Looks for the canary in everything that faults can print.
fn shows_no_canary(text: &str) {
    let faults = load("leasehold.yaml", text).expect_err("a document with a secret");
    let debug = format!("{faults:?} {faults:#?} {faults}");
    for shown in [
        report(text),
        debug,
        format!("{:?}", miette::Report::new(faults)),
    ] {
        // The key of a line stays readable where nothing tells it from a field.
        let shown = shown.replace("canary: ******", "").replace("canary: [", "");
        assert!(!shown.contains("canary"), "{text}\n{shown}");
    }
}
