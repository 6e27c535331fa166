use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use leasehold_config::{
    Admission, AuthMethod, Balance, CredentialUse, HostMatch, HostPolicy, Injection, KeepAlive,
    LoadError, Outlier, PathMatch, Per, Protocol, ProviderKind, RecordTarget, SecretId, Selector,
    Snapshot, Source, Suspect, Traffic, UpstreamLimits, UpstreamTls, Workers, load, read,
};
use leasehold_model::CredentialName;

use crate::documents::{SOUND, with};

fn sound() -> Snapshot {
    load("leasehold.yaml", SOUND).expect("a sound document")
}

#[test]
fn access_records_may_go_to_a_syslog_server() {
    for (to, expected) in [
        (
            "{ syslog: { unix: /dev/log } }",
            RecordTarget::SyslogUnix("/dev/log".into()),
        ),
        (
            "{ syslog: { tcp: \"logs:601\" } }",
            RecordTarget::SyslogTcp("logs:601".to_owned()),
        ),
    ] {
        let document = format!("{SOUND}access_record: {{ to: {to} }}\n");
        let snapshot = load("leasehold.yaml", &document).expect("a sound document");
        assert_eq!(snapshot.access_record.to, expected);
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let snapshot = sound();
    assert_eq!(snapshot.workers, Workers::PerCore);
    assert_eq!(snapshot.admin.address.to_string(), "127.0.0.1:9901");
    assert_eq!(snapshot.admin.socket, None);
    assert_eq!(snapshot.ledger, None);
    assert_eq!(snapshot.access_record.to, RecordTarget::Stdout);
    assert_eq!(snapshot.shutdown.drain, Duration::from_secs(30));
    assert_eq!(snapshot.shutdown.revoke, Duration::from_secs(10));
    assert_eq!(snapshot.consumer_key_header, "x-api-key");
    let timeouts = snapshot.upstreams.first().expect("an upstream").timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(5));
    assert_eq!(timeouts.response, Duration::from_secs(60));
}

#[test]
fn how_an_upstream_is_spoken_to_has_its_defaults() {
    let traffic = sound().upstreams.remove(0).traffic;
    let second = Duration::from_secs;
    assert_eq!(
        traffic,
        Traffic {
            weights: vec![1],
            protocol: Protocol::Auto,
            host: HostPolicy::Endpoint,
            balance: Balance::LeastRequest,
            limits: UpstreamLimits {
                connections: 4096,
                pending: 1024,
                requests: 8192,
            },
            health: None,
            outlier: Outlier {
                consecutive: 5,
                ejection: second(30),
                longest: second(300),
            },
            slow_start: Duration::ZERO,
            keep_alive: KeepAlive {
                connections: 256,
                idle: second(4),
                age: second(3600),
            },
            dns_refresh: second(30),
            tls: UpstreamTls {
                sni: None,
                only_tls13: false,
                client: None,
            },
            proxy: None,
        }
    );
}

#[test]
fn a_certificate_is_shown_from_the_fields_that_vault_has() {
    for (written, chain) in [
        ("{}", None),
        ("{ chain: ca_chain }", Some("ca_chain".to_owned())),
    ] {
        let text = format!("inject: {{ client_certificate: {written} }}");
        let text = with("inject: { header: X-Api-Key }", &text);
        let upstream = load("leasehold.yaml", &text)
            .expect("sound")
            .upstreams
            .remove(0);
        assert_eq!(
            upstream
                .credentials
                .into_iter()
                .next()
                .map(|it| it.injection),
            Some(Injection::ClientCertificate {
                certificate: "certificate".to_owned(),
                key: "private_key".to_owned(),
                chain,
            })
        );
    }
}

#[test]
fn how_an_upstream_is_spoken_to_is_read() {
    let endpoints = r#"endpoints: ["https://payments"]"#;
    let text = r#"endpoints: ["https://payments", { url: "https://other:8443", weight: 3 }],
    protocol: http2, host: api.internal:8443, balance: { ring_hash: { header: X-User } },
    limits: { connections: 1, pending: 2, requests: 3 }, slow_start: 10s,
    health: { path: /up?deep=1, interval: 1s, timeout: 500ms, healthy: 1, unhealthy: 2, status: 204 },
    outlier: { consecutive: 0, ejection: 1s, longest: 2s },
    keep_alive: { connections: 0, idle: 0s, age: 5m }, dns: { refresh: 5s },
    tls: { sni: other.internal, min_version: "1.3", client: { certificate: c.pem, key: k.pem } }, proxy: "http://proxy:3128""#;
    let snapshot = load("leasehold.yaml", &with(endpoints, text)).expect("sound");
    let upstream = snapshot.upstreams.first().expect("an upstream");
    assert_eq!(upstream.endpoints.len(), 2);
    let traffic = &upstream.traffic;
    assert_eq!(traffic.weights, [1, 3]);
    assert_eq!(traffic.protocol, Protocol::Http2);
    assert_eq!(
        traffic.host,
        HostPolicy::Fixed("api.internal:8443".to_owned())
    );
    assert_eq!(traffic.balance, Balance::HeaderHash("x-user".to_owned()));
    assert_eq!(traffic.limits.requests, 3);
    assert_eq!(traffic.proxy.as_ref().and_then(|it| it.port()), Some(3128));
    let health = traffic.health.as_ref().expect("checks");
    assert_eq!((&*health.path, health.status), ("/up?deep=1", 204));
    assert_eq!(health.timeout, Duration::from_millis(500));
    assert_eq!(traffic.outlier.consecutive, 0);
    assert_eq!(traffic.keep_alive.idle, Duration::ZERO);
    assert_eq!(traffic.dns_refresh, Duration::from_secs(5));
    assert_eq!(traffic.slow_start, Duration::from_secs(10));
    let client = traffic.tls.client.as_ref().expect("files");
    assert!(client.certificate.ends_with("c.pem") && client.key.ends_with("k.pem"));
    let sni = Some("other.internal".to_owned());
    assert_eq!((&traffic.tls.sni, traffic.tls.only_tls13), (&sni, true));
    for (written, read) in [
        ("balance: round_robin", Balance::RoundRobin),
        ("balance: { ring_hash: consumer }", Balance::ConsumerHash),
        (
            "balance: { ring_hash: client_address }",
            Balance::AddressHash,
        ),
    ] {
        let text = with(
            endpoints,
            &format!("{endpoints}, host: preserve, {written}"),
        );
        let traffic = load("leasehold.yaml", &text)
            .expect("sound")
            .upstreams
            .remove(0)
            .traffic;
        assert_eq!(
            (traffic.balance, traffic.host),
            (read, HostPolicy::Preserve)
        );
    }
}

#[test]
fn each_source_is_read_into_what_its_provider_is_asked_for() {
    let sources: Vec<_> = sound()
        .credentials
        .into_iter()
        .map(|credential| credential.source)
        .collect();
    let versioned = |mount: &str, path: &str, seconds| Source::Versioned {
        mount: mount.to_owned(),
        path: path.to_owned(),
        poll: Duration::from_secs(seconds),
        max_stale: Duration::from_secs(3600),
    };
    assert_eq!(
        sources,
        [
            versioned("kv", "payments/api", 30),
            Source::Leased {
                path: "database/creds/orders".to_owned(),
                parameters: BTreeMap::new(),
            },
            versioned("", "local", 1),
        ]
    );
}

#[test]
fn what_vault_issues_signs_and_changes_is_read_into_what_it_is_asked_for() {
    let read = |from: &str| {
        let text = with("lease: database/creds/orders", from);
        let snapshot = load("leasehold.yaml", &text).expect("a sound document");
        snapshot.credentials[1].source.clone()
    };
    let parameters = BTreeMap::from([("ttl".to_owned(), "1h".to_owned())]);
    assert_eq!(
        read("lease: aws/creds/ci, parameters: { ttl: 1h }"),
        Source::Leased {
            path: "aws/creds/ci".to_owned(),
            parameters: parameters.clone(),
        }
    );
    assert_eq!(
        read("certificate: pki/sign/web, parameters: { ttl: 1h }"),
        Source::Certificate {
            path: "pki/sign/web".to_owned(),
            parameters,
        }
    );
    assert_eq!(
        read("static: database/static-creds/svc"),
        Source::Rotating {
            path: "database/static-creds/svc".to_owned(),
            max_stale: Duration::from_secs(3600),
        }
    );
    assert_eq!(
        read("kv1: old/payments/api, poll: 1m"),
        Source::Hinted {
            path: "old/payments/api".to_owned(),
            poll: Duration::from_secs(60),
            max_stale: Duration::from_secs(3600),
        }
    );
}

#[test]
fn a_credential_is_issued_for_each_consumer_where_that_is_said() {
    let read = |per: &str| {
        let text = with("orders } }", &format!("orders }}, per: {per} }}"));
        let text = text.replace("consumers: anyone", "consumers: [checkout]");
        let snapshot = load("leasehold.yaml", &text).expect("a sound document");
        snapshot.credentials[1].per
    };
    let per = |cap, seconds| Per::Consumer {
        cap: NonZeroUsize::new(cap).expect("more than none"),
        idle: Duration::from_secs(seconds),
    };
    assert_eq!(sound().credentials[1].per, Per::Instance);
    assert_eq!(read("consumer"), per(100, 600));
    assert_eq!(read("{ consumer: {} }"), per(100, 600));
    assert_eq!(read("{ consumer: { cap: 3, idle: 1m } }"), per(3, 60));
}

#[test]
fn which_answers_make_a_credential_suspect_can_be_said() {
    let read = |suspect: &str| {
        let text = with(
            "credential: payments-key,",
            &format!("credential: payments-key, suspect: {suspect},"),
        );
        let snapshot = load("leasehold.yaml", &text).expect("a sound document");
        let used = snapshot.upstreams[0].credentials.first();
        used.expect("a credential").suspect.clone()
    };
    let suspect = |statuses: &[u16], retry| Suspect {
        statuses: statuses.iter().copied().collect(),
        retry,
    };
    assert_eq!(
        read("{ statuses: [403, 401, 403] }"),
        suspect(&[401, 403], true)
    );
    assert_eq!(read("{ statuses: [], retry: false }"), suspect(&[], false));
}

#[test]
fn anchor_ledger_and_socket_are_where_the_document_says() {
    let text = SOUND
        .replace("auth: {", "anchor: { token_role: leasehold }\n    auth: {")
        .replace(
            "instance: edge-1",
            "instance: edge-1\nledger: { file: ledger.redb }\nadmin: { socket: admin.sock }",
        );
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    assert_eq!(
        snapshot.ledger.expect("a ledger").file,
        Path::new("ledger.redb")
    );
    assert_eq!(
        snapshot.admin.socket.as_deref(),
        Some(Path::new("admin.sock"))
    );
    let ProviderKind::Vault(vault) = &snapshot.providers[0].kind else {
        panic!("the vault provider comes first");
    };
    assert_eq!(vault.anchor.as_ref().expect("one").token_role, "leasehold");
}

#[test]
fn a_mount_that_is_said_is_not_looked_for_in_the_path() {
    let text = with(
        "kv: kv/payments/api,",
        "mount: team/kv, kv: payments/api, poll: 1500ms, max_stale: 5m,",
    );
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    let source = &snapshot.credentials.first().expect("a credential").source;
    let expected = Source::Versioned {
        mount: "team/kv".to_owned(),
        path: "payments/api".to_owned(),
        poll: Duration::from_millis(1500),
        max_stale: Duration::from_secs(300),
    };
    assert_eq!(source, &expected);
}

#[test]
fn a_value_that_is_seldom_looked_for_is_not_stale_between_two_looks() {
    let text = with(
        "path: local, field: key",
        "path: local, field: key, poll: 2h",
    );
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    let source = &snapshot.credentials.last().expect("a credential").source;
    let expected = Duration::from_secs(4 * 3600);
    assert!(matches!(source, Source::Versioned { max_stale, .. } if *max_stale == expected));
}

#[test]
fn a_header_shows_the_field_that_its_credential_names() {
    let shown = |snapshot: &Snapshot| snapshot.upstreams.first().expect("one").credentials.clone();
    let header = |field: &str| CredentialUse {
        credential: CredentialName::from("payments-key"),
        injection: Injection::Header {
            name: "x-api-key".to_owned(),
            prefix: String::new(),
            field: field.to_owned(),
        },
        selector: Selector::default(),
        suspect: Suspect {
            statuses: BTreeSet::from([401]),
            retry: true,
        },
    };
    assert_eq!(shown(&sound()), vec![header("key")]);
    let text = with("header: X-Api-Key", "header: X-Api-Key, field: other");
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    assert_eq!(shown(&snapshot), vec![header("other")]);
}

#[test]
fn routes_keep_their_order_and_get_their_names() {
    let snapshot = sound();
    let names: Vec<_> = snapshot
        .routes
        .iter()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["api.example.com/payments/", "/"]);
    let first = snapshot.routes.first().expect("a route");
    assert_eq!(
        first.matches.host,
        HostMatch::Exact("api.example.com".to_owned())
    );
    let last = snapshot.routes.last().expect("a route");
    assert_eq!(last.matches.host, HostMatch::Any);
    assert_eq!(last.matches.path, PathMatch::Prefix("/".to_owned()));
    assert_eq!(last.consumers, Admission::Anyone);
}

#[test]
fn aliases_stand_for_what_they_name() {
    let text = SOUND
        .replace(
            "endpoints: [\"https://payments\"]",
            "endpoints: &one [\"https://payments\"]",
        )
        .replace("endpoints: [\"http://orders:80\"]", "endpoints: *one");
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    assert!(
        snapshot
            .upstreams
            .windows(2)
            .all(|two| two[0].endpoints == two[1].endpoints)
    );
}

#[test]
fn paths_are_taken_from_where_the_document_stands() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leasehold.yaml");
    fs::write(
        &file,
        with("key_file: native.key", "key_file: /absolute.key"),
    )
    .expect("a file");
    let snapshot = read(&file).expect("a sound document");
    let ProviderKind::Native(native) = &snapshot.providers.last().expect("one").kind else {
        panic!("the native provider comes last");
    };
    assert_eq!(native.file, directory.path().join("native.db"));
    assert_eq!(native.key_file, Path::new("/absolute.key"));
    let ProviderKind::Vault(vault) = &snapshot.providers.first().expect("one").kind else {
        panic!("the vault provider comes first");
    };
    let AuthMethod::AppRole { secret_id, .. } = &vault.auth else {
        panic!("the login is by AppRole");
    };
    let expected = SecretId::File(directory.path().join("secret-id"));
    assert_eq!(secret_id, &expected);
}

#[test]
fn a_file_that_is_not_there_is_no_fault_of_the_document() {
    let error = read(Path::new("/nonexistent/leasehold.yaml")).expect_err("no file");
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error:?}");
}

#[test]
fn a_listener_is_read_with_its_files_and_its_limits() {
    let listener = &sound().listeners[0];
    assert!(listener.tls.is_none() && !listener.http2 && listener.proxy_protocol.is_none());
    assert_eq!(listener.limits.idle_timeout, Duration::from_secs(75));
    let more = "\"unix:/s\", mode: \"0600\", proxy_protocol: true, limits: { headers: 7 }, \
                tls: { certificates: [{ certificate: a, key: b }], min_version: \"1.3\", \
                client: { ca: c, crl: [d] } } }";
    let document = SOUND.replace("\"127.0.0.1:8080\" }", more);
    let snapshot = load("leasehold.yaml", &document).expect("a sound document");
    let listener = &snapshot.listeners[0];
    let tls = listener.tls.as_ref().expect("TLS");
    assert!(listener.http2 && !tls.tls12);
    assert_eq!(listener.proxy_protocol, Some(Vec::new()));
    assert_eq!(listener.limits.headers, 7);
    let client = tls.client.as_ref().expect("clients");
    assert!(client.required && client.crls.len() == 1);
    let path = Path::new("/s").to_path_buf();
    let unix = leasehold_config::ListenerAddress::Unix { path, mode: 0o600 };
    assert_eq!(listener.address, unix);
}
