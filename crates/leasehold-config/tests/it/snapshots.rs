use std::fs;
use std::path::Path;
use std::time::Duration;

use leasehold_config::{
    Admission, AuthMethod, CredentialUse, Injection, LoadError, ProviderKind, RecordTarget,
    SecretId, Snapshot, Source, Workers, load, read,
};
use leasehold_model::CredentialName;

use crate::documents::{SOUND, with};

fn sound() -> Snapshot {
    load("leasehold.yaml", SOUND).expect("a sound document")
}

#[test]
fn what_is_left_out_has_its_default() {
    let snapshot = sound();
    assert_eq!(snapshot.workers, Workers::PerCore);
    assert_eq!(snapshot.admin.address.to_string(), "127.0.0.1:9901");
    assert_eq!(snapshot.access_record.to, RecordTarget::Stdout);
    assert_eq!(snapshot.shutdown.drain, Duration::from_secs(30));
    assert_eq!(snapshot.shutdown.revoke, Duration::from_secs(10));
    assert_eq!(snapshot.consumer_key_header, "x-api-key");
    let timeouts = snapshot.upstreams.first().expect("an upstream").timeouts;
    assert_eq!(timeouts.connect, Duration::from_secs(5));
    assert_eq!(timeouts.response, Duration::from_secs(60));
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
                path: "database/creds/orders".to_owned()
            },
            versioned("", "local", 1),
        ]
    );
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
    let shown = |snapshot: &Snapshot| snapshot.upstreams.first().expect("one").credential.clone();
    let header = |field: &str| CredentialUse {
        credential: CredentialName::from("payments-key"),
        injection: Injection::Header {
            name: "x-api-key".to_owned(),
            prefix: String::new(),
            field: field.to_owned(),
        },
    };
    assert_eq!(shown(&sound()), Some(header("key")));
    let text = with("header: X-Api-Key", "header: X-Api-Key, field: other");
    let snapshot = load("leasehold.yaml", &text).expect("a sound document");
    assert_eq!(shown(&snapshot), Some(header("other")));
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
    assert_eq!(first.host.as_deref(), Some("api.example.com"));
    let last = snapshot.routes.last().expect("a route");
    assert_eq!((last.host.as_deref(), last.path.as_str()), (None, "/"));
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
