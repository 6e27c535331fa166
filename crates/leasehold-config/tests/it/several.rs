//! Several credentials on one upstream, as written and as read.

use leasehold_config::load;

use crate::documents::{SOUND, faults_of, report, with};

const WRITTEN: &str = r#"payments: { endpoints: ["https://payments"], credential: payments-key, inject: { header: X-Api-Key } }"#;

#[test]
fn a_list_is_read_in_its_order_and_with_whom_it_is_for() {
    let text = listed(
        r#"
      - { credential: payments-key, inject: { header: X-Api-Key }, for: { consumers: [checkout] } }
      - { credential: local-key, inject: { header: X-Api-Key }, for: { routes: [r1] } }
      - { credential: local-key, inject: { header: X-Api-Key }, suspect: { statuses: [403] } }
      - { credential: orders-db, inject: { client_certificate: {} } }"#,
    );
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    let upstream = snapshot.upstreams.first().expect("one");
    let names = |uses: &[&leasehold_config::CredentialUse]| {
        let names = uses.iter().map(|it| it.credential.as_str().to_owned());
        names.collect::<Vec<_>>()
    };
    let places: Vec<_> = upstream.places().iter().map(|it| names(it)).collect();
    assert_eq!(
        places,
        [
            vec!["payments-key", "local-key", "local-key"],
            vec!["orders-db"]
        ]
    );
    let [first, second, third, _] = &upstream.credentials[..] else {
        panic!("{:?}", upstream.credentials);
    };
    assert_eq!(first.selector.consumers, ["checkout".into()]);
    assert_eq!(second.selector.routes, ["r1".into()]);
    assert!(third.selector.consumers.is_empty() && third.selector.routes.is_empty());
    assert!(third.suspect.statuses.contains(&403) && !first.suspect.statuses.contains(&403));
}

#[test]
fn what_can_never_be_shown_or_is_shown_twice_is_a_fault_with_its_line() {
    for (entries, code) in [
        (
            // The second comes after one that is for all.
            r#"
      - { credential: payments-key, inject: { header: X-Api-Key } }
      - { credential: local-key, inject: { header: x-api-key }, for: { consumers: [checkout] } }"#,
            "bad_combination",
        ),
        (
            r#"
      - { credential: orders-db, inject: { basic: { username: username, password: password } } }
      - { credential: local-key, inject: { header: Authorization, prefix: "Bearer " } }"#,
            "bad_combination",
        ),
        (
            r#"
      - { credential: payments-key, inject: { client_certificate: {} }, for: { routes: [r1] } }
      - { credential: local-key, inject: { client_certificate: {} }, for: { routes: [r1], consumers: [checkout] } }"#,
            "bad_combination",
        ),
        (
            // A server may read one for the other.
            r#"
      - { credential: payments-key, inject: { header: X-Api-Key } }
      - { credential: local-key, inject: { header: X_Api_Key } }"#,
            "bad_combination",
        ),
        (
            r#"
      - { credential: payments-key, inject: { query: key } }
      - { credential: local-key, inject: { query: Key } }"#,
            "bad_combination",
        ),
        (
            r#"
      - { credential: payments-key, inject: { cookie: a } }
      - { credential: local-key, inject: { cookie: a.b } }"#,
            "bad_combination",
        ),
        (
            r#"
      - { credential: local-key, inject: { header: x-one } }
      - { credential: payments-key, inject: { header: x-two }, for: { consumers: [checkuot] } }"#,
            "unknown_consumer",
        ),
        (
            r#"
      - { credential: local-key, inject: { header: x-one } }
      - { credential: payments-key, inject: { header: x-two }, for: { routes: [r7] } }"#,
            "unknown_route",
        ),
        (
            // It leads elsewhere.
            r#"
      - { credential: local-key, inject: { header: x-one } }
      - { credential: payments-key, inject: { header: x-two }, for: { routes: [r2] } }"#,
            "bad_combination",
        ),
        (
            r#"
      - { credential: local-key, inject: { header: x-one } }
      - { credential: payments-key, inject: { header: x-two }, for: {} }"#,
            "empty",
        ),
        (
            r#"
      - { credential: local-key, inject: { header: x-one } }
      - { credential: payments-key, inject: { header: x-two }, for: { routes: [] } }"#,
            "empty",
        ),
        (
            r#"
      - { credential: local-key, inject: { header: x-one } }
      - { credential: nobody, inject: { header: x-two } }"#,
            "unknown_credential",
        ),
    ] {
        let faults = faults_of(&listed(entries));
        assert_eq!(faults, [(line() + 2, code)], "{entries}");
    }
}

#[test]
fn a_consumer_can_not_be_told_on_a_route_that_is_open_to_anyone() {
    let entries = r#"
      - { credential: local-key, inject: { header: x-one }, for: { consumers: [checkout] } }"#;
    let text = listed(entries);
    let open = text.replace(
        "upstream: payments, consumers: [checkout]",
        "upstream: payments, consumers: anyone",
    );
    assert_eq!(faults_of(&text), []);
    assert_eq!(faults_of(&open), [(line() + 1, "bad_combination")]);
    assert!(report(&open).contains("open to `anyone`"));
    // An entry that is for other routes does not ask who calls on this one.
    let apart = format!(
        "{open}  - {{ name: closed, match: {{ path: /closed/ }}, upstream: payments, consumers: [checkout] }}\n"
    );
    let apart = apart.replace(
        "{ consumers: [checkout] } }",
        "{ consumers: [checkout], routes: [closed] } }",
    );
    assert_eq!(faults_of(&apart), []);
}

#[test]
fn the_short_form_does_not_go_with_the_list() {
    let entries = r#"
      - { credential: local-key, inject: { header: x-one } }"#;
    let text = listed(entries).replace(
        "    credentials:",
        "    credential: local-key\n    credentials:",
    );
    assert_eq!(faults_of(&text), [(line() + 1, "bad_combination")]);
}

/// Returns the sound document with these credentials of its first upstream.
fn listed(entries: &str) -> String {
    let list =
        format!("payments:\n    endpoints: [\"https://payments\"]\n    credentials:{entries}");
    with(WRITTEN, &list)
        .replace(
            "- { match: { host: API.example.com, path: /payments/ }",
            "- { name: r1, match: { host: API.example.com, path: /payments/ }",
        )
        .replace("- { upstream: orders", "- { name: r2, upstream: orders")
}

/// Returns the line of `credentials:`.
fn line() -> usize {
    let before = SOUND.split(WRITTEN).next().expect("a beginning");
    before.lines().count() + 2
}
