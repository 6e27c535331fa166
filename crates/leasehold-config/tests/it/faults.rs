use std::fs;

use leasehold_config::{LoadError, read};

use crate::documents::{SOUND, faults_of, rendered, report, with};

/// Much is wrong here, in every stage from repeated keys to references.
const MANY: &str = r#"instance: edge-1
workers: 0
instance: edge-2
listeners:
  public: { adress: "127.0.0.1:8080" }
providers:
  native: { kind: native, file: native.db }
credentials:
  local-key: { from: { provider: native, lease: local, poll: 3 } }
upstreams:
  local: { endpoints: ["ftp://local"], credential: locl-key, inject: { header: Host } }
routes:
  - { upstream: local }
"#;

#[test]
fn all_faults_are_reported_at_once_each_with_its_line() {
    assert_eq!(
        faults_of(MANY),
        [
            (2, "out_of_range"),
            (3, "duplicate_key"),
            (5, "unknown_field"),
            (7, "missing_field"),
            (9, "wrong_type"),
            (11, "bad_url"),
            (11, "unknown_credential"),
            (11, "bad_header"),
            (13, "missing_field"),
        ]
    );
}

#[test]
fn a_report_shows_place_line_and_help() {
    let text = with("upstream: payments,", "upstream: paymnts,");
    let expected = r#"
Error: leasehold::config::unknown_upstream

  × `paymnts` is not a declared upstream
    ╭─[leasehold.yaml:20:69]
 19 │ routes:
 20 │   - { match: { host: API.example.com, path: /payments/ }, upstream: paymnts, consumers: [checkout] }
    ·                                                                     ───────
 21 │   - { upstream: orders, consumers: anyone }
    ╰────
  help: did you mean `payments`?
"#;
    let report = report(&text);
    assert!(report.contains(expected.trim_start()), "{report}");
    assert!(
        report.starts_with("  × 1 fault in leasehold.yaml\n"),
        "{report}"
    );
}

/// One fault each, by replacing one part of the sound document.
const SINGLE: &[(&str, &str, usize, &str)] = &[
    // How an upstream is spoken to.
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], proxy: \"https://proxy\"",
        15,
        "bad_url",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], host: \"a b\"",
        15,
        "bad_host",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], host: \"api:0\"",
        15,
        "bad_host",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], balance: { ring_hash: { header: Host } }",
        15,
        "bad_header",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], balance: fastest",
        15,
        "unknown_value",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], protocol: http3",
        15,
        "unknown_value",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], limits: { requests: 0 }",
        15,
        "out_of_range",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], health: { path: up }",
        15,
        "bad_path",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], health: { path: /, status: 100 }",
        15,
        "out_of_range",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], health: { path: /, interval: 1ms }",
        15,
        "out_of_range",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], outlier: { ejection: soon }",
        15,
        "bad_duration",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], dns: { refresh: 1s }",
        15,
        "out_of_range",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], dns: { refresh: 6m }",
        15,
        "out_of_range",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], tls: { sni: \"a:1\" }",
        15,
        "bad_host",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [\"https://payments\"], tls: { min_version: \"1.1\" }",
        15,
        "unknown_value",
    ),
    (
        "endpoints: [\"https://payments\"]",
        "endpoints: [{ url: \"ftp://payments\" }]",
        15,
        "bad_url",
    ),
    (
        "inject: { header: X-Api-Key }",
        "inject: { client_certificate: {} }, tls: { client: { certificate: c.pem, key: k.pem } }",
        15,
        "bad_combination",
    ),
    (
        "endpoints: [\"http://orders:80\"]",
        "endpoints: [\"http://orders:80\"], tls: { client: { certificate: c.pem, key: k.pem } }",
        16,
        "bad_combination",
    ),
    (
        "inject: { header: X-Api-Key }",
        "inject: { header: X-Api-Key, client_certificate: {} }",
        15,
        "bad_combination",
    ),
    (
        "inject: { basic: { username: username, password: password } }",
        "inject: { client_certificate: {} }",
        16,
        "bad_combination",
    ),
    // Shape.
    ("instance: edge-1\n", "", 1, "missing_field"),
    ("instance: edge-1", "instance: 1", 1, "wrong_type"),
    ("instance: edge-1", "instance: edge 1", 1, "bad_name"),
    (
        "instance: edge-1",
        "instance: edge-1\nworkers: 2000",
        2,
        "out_of_range",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nworkers: four",
        2,
        "wrong_type",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\ntiers: { a: b }",
        2,
        "unknown_field",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nadmin:",
        2,
        "wrong_type",
    ),
    (
        "  public: { address: \"127.0.0.1:8080\" }",
        "  {}",
        2,
        "empty",
    ),
    ("  public:", "  public listener:", 3, "bad_name"),
    ("kind: native,", "kind: nativ,", 9, "unknown_value"),
    ("kind: native,", "", 9, "missing_field"),
    ("consumers: anyone", "consumers: all", 21, "unknown_value"),
    ("consumers: anyone", "consumers: []", 21, "empty"),
    (
        "secret_id: { file: secret-id }",
        "secret_id: { file: secret-id, wrapped: sometimes }",
        8,
        "wrong_type",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\naccess_record: { to: stderr }",
        2,
        "unknown_value",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\naccess_record: { to: { file: a, syslog: { unix: /dev/log } } }",
        2,
        "bad_combination",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\naccess_record: { to: { syslog: {} } }",
        2,
        "bad_combination",
    ),
    // Values.
    (
        "instance: edge-1",
        "instance: edge-1\naccess_record: { to: { syslog: { tcp: logs } } }",
        2,
        "bad_address",
    ),
    ("127.0.0.1:8080", "localhost:8080", 3, "bad_address"),
    ("127.0.0.1:8080", "127.0.0.1:9901", 3, "duplicate_address"),
    ("127.0.0.1:8080", "unix:", 3, "bad_address"),
    (
        LISTENER,
        "\"127.0.0.1:8080\", mode: \"0660\" }",
        3,
        "bad_combination",
    ),
    (LISTENER, "\"unix:/s\", mode: \"0990\" }", 3, "out_of_range"),
    (LISTENER, "\"unix:/s\", mode: \"0460\" }", 3, "out_of_range"),
    (
        LISTENER,
        "\"127.0.0.1:8080\", tls: { certificate: a } }",
        3,
        "bad_combination",
    ),
    (
        LISTENER,
        "\"127.0.0.1:8080\", tls: { certificate: a, key: b, certificates: [{ certificate: c, key: d }] } }",
        3,
        "bad_combination",
    ),
    (
        LISTENER,
        "\"127.0.0.1:8080\", proxy_protocol: true }",
        3,
        "bad_combination",
    ),
    (
        LISTENER,
        "\"127.0.0.1:8080\", trusted: [10.0.0.0/8] }",
        3,
        "bad_combination",
    ),
    (
        LISTENER,
        "\"127.0.0.1:8080\", proxy_protocol: true, trusted: [10.0.0.0/33] }",
        3,
        "bad_address",
    ),
    (
        LISTENER,
        "\"127.0.0.1:8080\", limits: { headers: 0 } }",
        3,
        "out_of_range",
    ),
    (
        LISTENER,
        "\"127.0.0.1:8080\", limits: { head_timeout: 0s } }",
        3,
        "out_of_range",
    ),
    ("https://vault:8200", "https://vault:8200/v1", 7, "bad_url"),
    ("https://vault:8200", "vault:8200", 7, "bad_url"),
    (
        "\"https://payments\"",
        "\"https://payments/?a=b\"",
        15,
        "bad_url",
    ),
    ("\"https://payments\"", "", 15, "empty"),
    (
        "lease: database/creds/orders",
        "lease: database/../orders",
        12,
        "bad_path",
    ),
    ("kv: kv/payments/api", "kv: kv", 11, "bad_path"),
    (
        "field: key } }\n  orders-db",
        "field: key, poll: 30 s } }\n  orders-db",
        11,
        "bad_duration",
    ),
    (
        "field: key } }\n  orders-db",
        "field: key, poll: 10ms } }\n  orders-db",
        11,
        "out_of_range",
    ),
    (
        "field: key } }\n  orders-db",
        "field: a value } }\n  orders-db",
        11,
        "bad_name",
    ),
    (
        "header: X-Api-Key",
        "header: \"X-Api-Key:\"",
        15,
        "bad_header",
    ),
    (
        "header: X-Api-Key",
        "header: Transfer-Encoding",
        15,
        "bad_header",
    ),
    (
        "header: X-Api-Key",
        "header: X-Api-Key, prefix: \"é \"",
        15,
        "bad_header",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nconsumer_key_header: Host",
        2,
        "bad_header",
    ),
    ("9f86d081884c7d65", "9f86d081884c7d6", 18, "bad_digest"),
    (
        "host: API.example.com",
        "host: api.example.com:8080",
        20,
        "bad_host",
    ),
    ("path: /payments/", "path: payments", 20, "bad_path"),
    // References and what goes together.
    (
        "provider: native",
        "provider: nativ",
        13,
        "unknown_provider",
    ),
    (
        "credential: orders-db",
        "credential: order-db",
        16,
        "unknown_credential",
    ),
    (
        "upstream: orders",
        "upstream: order",
        21,
        "unknown_upstream",
    ),
    (
        "consumers: [checkout]",
        "consumers: [chekout]",
        20,
        "unknown_consumer",
    ),
    (
        "path: local, field: key",
        "lease: local",
        13,
        "provider_mismatch",
    ),
    (
        "kv: kv/payments/api",
        "path: kv/payments/api",
        11,
        "provider_mismatch",
    ),
    (
        "kv: kv/payments/api",
        "kv: kv/a, lease: b",
        11,
        "bad_combination",
    ),
    (
        "path: local, field: key",
        "path: local, mount: a",
        13,
        "bad_combination",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, poll: 1s",
        12,
        "bad_combination",
    ),
    (", inject: { header: X-Api-Key }", "", 15, "bad_combination"),
    ("credential: payments-key, ", "", 15, "bad_combination"),
    (
        "inject: { header: X-Api-Key }",
        "inject: { prefix: Bearer }",
        15,
        "bad_combination",
    ),
    (
        ", field: key } }\n  orders-db",
        " } }\n  orders-db",
        15,
        "missing_field",
    ),
    (
        "  - { upstream: orders, consumers: anyone }",
        "  - { upstream: orders, consumers: anyone }\n  - { upstream: payments, consumers: anyone }",
        22,
        "duplicate_route",
    ),
    (
        "  - { upstream: orders, consumers: anyone }",
        "  - { name: api.example.com, upstream: orders, consumers: anyone }\n  - { name: api.example.com, match: { path: /a }, upstream: payments, consumers: anyone }",
        22,
        "duplicate_name",
    ),
    (
        "routes:",
        "  b: { keys: [{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }] }\nroutes:",
        19,
        "duplicate_consumer_key",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, max_stale: 1h",
        12,
        "bad_combination",
    ),
    (
        "kv: kv/payments/api",
        "kv: kv/payments/api, max_stale: 59s",
        11,
        "out_of_range",
    ),
    (
        "instance: edge-1",
        "instance: edge-1\nledger: {}",
        2,
        "missing_field",
    ),
    (
        "secret_id: { file: secret-id } } }",
        "secret_id: { file: secret-id } } }\n    anchor: { token_role: a/b }",
        9,
        "bad_name",
    ),
    (
        "kv: kv/payments/api",
        "kv1: kv1/payments/api, mount: kv1",
        11,
        "bad_combination",
    ),
    ("kv: kv/payments/api", "kv1: kv1", 11, "bad_path"),
    (
        "lease: database/creds/orders",
        "static: database/static-creds/orders, poll: 1s",
        12,
        "bad_combination",
    ),
    (
        "lease: database/creds/orders",
        "static: database/static-creds/orders, max_stale: 1s",
        12,
        "out_of_range",
    ),
    (
        "lease: database/creds/orders",
        "certificate: pki/issue/web",
        12,
        "bad_path",
    ),
    (
        "lease: database/creds/orders",
        "certificate: pki/sign/web, max_stale: 1h",
        12,
        "bad_combination",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, static: a/b",
        12,
        "bad_combination",
    ),
    (
        "kv: kv/payments/api",
        "kv: kv/payments/api, parameters: { ttl: 1h }",
        11,
        "bad_combination",
    ),
    (
        "lease: database/creds/orders",
        "lease: database/creds/orders, parameters: { ttl: 3600 }",
        12,
        "wrong_type",
    ),
    (
        "path: local, field: key",
        "certificate: pki/sign/web",
        13,
        "provider_mismatch",
    ),
    (
        "field: key } }\n  orders-db",
        "field: key }, per: consumer }\n  orders-db",
        11,
        "bad_combination",
    ),
    (
        "orders } }",
        "orders }, per: everybody }",
        12,
        "unknown_value",
    ),
    (
        "orders } }",
        "orders }, per: consumer }",
        21,
        "bad_combination",
    ),
    (
        "endpoints: [\"https://payments\"],",
        "endpoints: [\"https://payments\"], suspect: { statuses: [503] },",
        15,
        "out_of_range",
    ),
    (
        "endpoints: [\"https://payments\"],",
        "endpoints: [\"https://payments\"], suspect: { retry: no },",
        15,
        "wrong_type",
    ),
    (
        "credential: payments-key, inject: { header: X-Api-Key }",
        "suspect: { retry: true }",
        15,
        "bad_combination",
    ),
    // YAML.
    (
        "instance: edge-1",
        "instance: edge-1\nadmin: *none",
        2,
        "yaml",
    ),
    ("instance: edge-1", "instance: edge-1\n---", 3, "yaml"),
    (
        "instance: edge-1",
        "instance: edge-1\nadmin: !tag {}",
        2,
        "yaml",
    ),
    ("instance: edge-1", "instance: edge-1\nadmin: [", 4, "yaml"),
    ("instance: edge-1", "instance: edge-1\n<<: {}", 2, "yaml"),
];

#[test]
fn each_kind_of_fault_is_told_from_the_others() {
    assert_eq!(faults_of(SOUND), []);
    for (part, replacement, line, code) in SINGLE {
        let text = with(part, replacement);
        assert_eq!(
            faults_of(&text),
            [(*line, *code)],
            "{replacement:?} for {part:?}"
        );
    }
}

#[test]
fn what_the_design_promises_for_later_is_refused_until_it_is_honoured() {
    let text = SOUND.replace("payments-key: {", "payments-key: { tier: restricted,");
    assert_eq!(faults_of(&text), [(11, "unknown_field")]);
}

#[test]
fn a_limit_on_consumers_that_admits_none_or_keeps_nothing_is_refused() {
    for (limits, code) in [
        ("cap: 0", "out_of_range"),
        ("cap: 20000", "out_of_range"),
        ("cap: many", "wrong_type"),
        ("idle: 1ms", "out_of_range"),
        ("limit: 3", "unknown_field"),
    ] {
        let per = format!("orders }}, per: {{ consumer: {{ {limits} }} }} }}");
        let text = with("orders } }", &per).replace("consumers: anyone", "consumers: [checkout]");
        assert_eq!(faults_of(&text), [(12, code)], "{limits}");
    }
}

#[test]
fn the_path_of_a_socket_fits_into_what_the_system_holds() {
    let with_path = |path: &str| {
        faults_of(&with(
            "instance: edge-1",
            &format!("instance: edge-1\nadmin: {{ socket: {path} }}"),
        ))
    };
    assert_eq!(with_path(&format!("/{}", "s".repeat(106))), []);
    assert_eq!(
        with_path(&format!("/{}", "s".repeat(107))),
        [(2, "bad_path")]
    );
}

#[test]
fn one_slip_is_one_fault() {
    // What depends on a part with a fault is not reported for lacking it.
    for (part, replacement, line, code) in [
        (
            "inject: { header: X-Api-Key }",
            "injct: { header: X-Api-Key }",
            15,
            "unknown_field",
        ),
        (
            "kv: kv/payments/api",
            "kvv: kv/payments/api",
            11,
            "unknown_field",
        ),
        ("kv: kv/payments/api", "kv: 1", 11, "wrong_type"),
        (
            "{ header: X-Api-Key }",
            "{ heading: X-Api-Key }",
            15,
            "unknown_field",
        ),
        (
            "endpoints: [\"https://payments\"]",
            "endpoint: [\"https://payments\"]",
            15,
            "unknown_field",
        ),
        (
            "key_file: native.key",
            "key_fiel: native.key",
            9,
            "unknown_field",
        ),
    ] {
        let text = with(part, replacement);
        assert_eq!(
            faults_of(&text),
            [(line, code)],
            "{replacement:?} for {part:?}"
        );
    }
}

#[test]
fn an_alias_bomb_is_refused_before_it_goes_off() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h"]
        .iter()
        .zip(["a", "b", "c", "d", "e", "f", "g"])
    {
        let aliases = vec![format!("*{of}"); 10].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    let report = report(&bomb);
    assert!(
        report.contains("grows too much through its aliases"),
        "{report}"
    );
    let deep = format!("instance: {}{}\n", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(faults_of(&deep), [(1, "yaml")]);
}

#[test]
fn an_empty_document_lacks_everything() {
    for text in ["", "# nothing\n", "---\n"] {
        assert_eq!(faults_of(text).len(), 1, "{text:?}");
    }
    let codes: Vec<_> = faults_of("{}").into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["missing_field"; 4]);
}

#[test]
fn a_file_that_is_too_large_or_not_text_is_a_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    for (bytes, code) in [
        (vec![b'#'; 1024 * 1024 + 1], "too_large"),
        (b"instance: a\nb: \xff\xfe\n".to_vec(), "not_utf8"),
    ] {
        let file = directory.path().join(code);
        fs::write(&file, bytes).expect("a file");
        let Err(LoadError::Faults(faults)) = read(&file) else {
            panic!("{code} is a fault");
        };
        let report = rendered(&faults);
        assert!(
            report.contains(&format!("leasehold::config::{code}")),
            "{report}"
        );
    }
}

/// The rest of the only listener.
const LISTENER: &str = "\"127.0.0.1:8080\" }";
