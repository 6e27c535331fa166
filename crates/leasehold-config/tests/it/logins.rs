//! How a provider is logged in to, as written and as read.

use std::path::PathBuf;

use leasehold_config::{AuthMethod, AwsCredentials, ProviderKind, SecretId, TokenFile, load, read};

use crate::documents::{faults_of, report, with, workspace};

const APPROLE: &str = "approle: { role_id: role-1, secret_id: { file: secret-id } }";
const SECRET_ID: &str = "secret_id: { file: secret-id }";

/// Reads a way to log in; nothing where it has a fault.
fn auth(written: &str) -> Option<AuthMethod> {
    let snapshot = load("leasehold.yaml", &with(APPROLE, written)).ok()?;
    match snapshot.providers.into_iter().next()?.kind {
        ProviderKind::Vault(vault) => Some(vault.auth),
        ProviderKind::Native(_) | ProviderKind::Oauth(_) => None,
    }
}

#[test]
fn a_secret_id_is_read_from_where_the_document_says() {
    let of = |written: &str| match auth(&format!(
        "approle: {{ role_id: r, secret_id: {{ {written} }} }}"
    )) {
        Some(AuthMethod::AppRole {
            mount, secret_id, ..
        }) => {
            assert_eq!(mount, "approle");
            secret_id
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(of("file: a"), SecretId::File("a".into()));
    assert_eq!(of("file: a, wrapped: false"), SecretId::File("a".into()));
    assert_eq!(of("file: a, wrapped: true"), SecretId::Wrapped("a".into()));
    assert_eq!(of("env: SECRET_ID"), SecretId::Env("SECRET_ID".to_owned()));
}

#[test]
fn each_method_has_its_defaults() {
    let token = |mount: &str, role: &str, file: &str| TokenFile {
        mount: mount.to_owned(),
        role: role.to_owned(),
        file: PathBuf::from(file),
    };
    let projected = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    assert_eq!(
        auth("kubernetes: { role: gw }"),
        Some(AuthMethod::Kubernetes(token("kubernetes", "gw", projected)))
    );
    assert_eq!(
        auth("jwt: { role: gw, file: t, mount: team/jwt }"),
        Some(AuthMethod::Jwt(token("team/jwt", "gw", "t")))
    );
    let cert = AuthMethod::Certificate {
        mount: "cert".to_owned(),
        role: None,
        certificate: "c".into(),
        key: "k".into(),
    };
    assert_eq!(auth("cert: { certificate: c, key: k }"), Some(cert));
    let aws = |region: &str, credentials| {
        Some(AuthMethod::AwsIam {
            mount: "aws".to_owned(),
            role: "gw".to_owned(),
            region: region.to_owned(),
            server_id: None,
            credentials,
        })
    };
    assert_eq!(
        auth("aws: { role: gw, credentials: environment }"),
        aws("us-east-1", AwsCredentials::Environment)
    );
    let file = AwsCredentials::File {
        file: "f".into(),
        profile: "default".to_owned(),
    };
    assert_eq!(
        auth("aws: { role: gw, region: eu-west-1, credentials: { file: f } }"),
        aws("eu-west-1", file)
    );
}

#[test]
fn what_is_wrong_with_a_login_is_said_once() {
    for (part, replacement, code) in [
        (APPROLE, "", "bad_combination"),
        (
            APPROLE,
            "jwt: { role: a, file: b }, kubernetes: { role: a }",
            "bad_combination",
        ),
        (APPROLE, "ldap: { role: a }", "unknown_field"),
        (APPROLE, "jwt: { role: a }", "missing_field"),
        (APPROLE, "kubernetes: { role: a, file: b }", "unknown_field"),
        (SECRET_ID, "secret_id: {}", "bad_combination"),
        (
            SECRET_ID,
            "secret_id: { file: a, env: B }",
            "bad_combination",
        ),
        (
            SECRET_ID,
            "secret_id: { env: B, wrapped: true }",
            "bad_combination",
        ),
        (SECRET_ID, "secret_id: { fiel: a }", "unknown_field"),
        (SECRET_ID, "secret_id: { env: 1_A }", "bad_name"),
        (SECRET_ID, "secret_id: canary", "secret_value"),
        (
            APPROLE,
            "aws: { role: a, credentials: instance }",
            "unknown_value",
        ),
        (
            APPROLE,
            "aws: { role: a, region: \"eu west\", credentials: environment }",
            "bad_name",
        ),
        (
            APPROLE,
            "aws: { role: a, server_id: \"\", credentials: environment }",
            "bad_header",
        ),
        (
            APPROLE,
            "jwt: { role: a, file: b, mount: ../sys }",
            "bad_path",
        ),
    ] {
        let text = with(part, replacement);
        assert_eq!(faults_of(&text), [(8, code)], "{replacement}");
    }
}

#[test]
fn a_certificate_is_not_shown_over_a_connection_that_has_no_room_for_one() {
    let text = with(APPROLE, "cert: { certificate: c, key: k }")
        .replace("https://vault:8200", "http://vault:8200");
    assert_eq!(faults_of(&text), [(8, "bad_combination")]);
}

#[test]
fn what_stands_where_the_name_of_a_variable_should_is_not_shown() {
    let report = report(&with(SECRET_ID, "secret_id: { env: can-ary }"));
    assert!(!report.contains("can-ary"), "{report}");
    assert!(report.contains("never its value"), "{report}");
}

#[test]
fn the_examples_show_every_method() {
    let mut seen = Vec::new();
    for example in ["vault-logins.yaml", "vault-kubernetes-login.yaml"] {
        let snapshot = read(&workspace().join("examples").join(example)).expect("an example");
        seen.extend(snapshot.providers.into_iter().map(|it| match it.kind {
            ProviderKind::Vault(vault) => std::mem::discriminant(&vault.auth),
            ProviderKind::Native(_) | ProviderKind::Oauth(_) => panic!("no login there"),
        }));
    }
    seen.dedup();
    assert_eq!(seen.len(), 5);
}
