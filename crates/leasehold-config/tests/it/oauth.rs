//! Authorization servers, as written and as read.

use std::fs;
use std::time::Duration;

use leasehold_config::{ClientId, ClientMethod, ProviderKind, Source, load};

use crate::documents::{report, workspace};

const CLIENT: &str = "client: { credential: idp-client, id_field: client_id, secret: client_secret, method: client_secret_basic }";
const ENDPOINT: &str = "https://idp.example.com/oauth/token";

fn document(part: &str, replacement: &str) -> String {
    let path = workspace().join("examples/oauth-client-credentials.yaml");
    let text = fs::read_to_string(path).expect("the example");
    assert!(text.contains(part), "{part}");
    text.replace(part, replacement)
}

fn method(client: &str) -> Option<ClientMethod> {
    let text = document(CLIENT, &format!("client: {client}"));
    let snapshot = load("leasehold.yaml", &text).ok()?;
    let mut kinds = snapshot.providers.into_iter().map(|it| it.kind);
    kinds.find_map(|it| match it {
        ProviderKind::Oauth(oauth) => Some(oauth.method),
        ProviderKind::Vault(_) | ProviderKind::Native(_) => None,
    })
}

#[test]
fn a_server_and_its_tokens_are_read_whole() {
    let snapshot = load("leasehold.yaml", &document(ENDPOINT, ENDPOINT)).expect("no fault");
    let kinds = snapshot.providers.iter().map(|it| &it.kind);
    let mut servers = kinds.filter_map(|it| match it {
        ProviderKind::Oauth(oauth) => Some(oauth),
        ProviderKind::Vault(_) | ProviderKind::Native(_) => None,
    });
    let server = servers.next().expect("a server");
    assert_eq!(server.token_endpoint.as_str(), ENDPOINT);
    assert_eq!(server.default_life, Duration::from_secs(300));
    assert_eq!(server.client_id, ClientId::Field("client_id".to_owned()));
    let mut sources = snapshot.credentials.iter().map(|it| &it.source);
    let form = sources.find_map(|it| match it {
        Source::Token { form } => Some(form.as_slice()),
        _ => None,
    });
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let scope = pair("scope", "crm.read");
    let audience = pair("audience", "https://crm.example.com");
    assert_eq!(form, Some([scope, audience].as_slice()));
}

#[test]
fn each_method_has_its_defaults() {
    let secret = || "client_secret".to_owned();
    let key = || "private_key".to_owned();
    let of = |word: &str| {
        method(&format!(
            "{{ credential: idp-client, id: g, method: {word} }}"
        ))
    };
    let basic = ClientMethod::SecretBasic { secret: secret() };
    assert_eq!(of("client_secret_basic"), Some(basic));
    let post = ClientMethod::SecretPost { secret: secret() };
    assert_eq!(of("client_secret_post"), Some(post));
    let signed = ClientMethod::PrivateKeyJwt {
        key: key(),
        key_id: None,
    };
    assert_eq!(of("private_key_jwt"), Some(signed));
    let tls = ClientMethod::Tls {
        certificate: "certificate".to_owned(),
        key: key(),
        chain: None,
    };
    assert_eq!(of("tls_client_auth"), Some(tls));
}

#[test]
fn what_can_not_be_served_is_refused_with_what_to_do() {
    let client = |text: &str| document(CLIENT, &format!("client: {text}"));
    let cases = [
        (
            document(ENDPOINT, "http://idp.example.com/token"),
            "would go in clear",
        ),
        (document(ENDPOINT, "https://idp.example.com/t?a=b"), "query"),
        (
            document(ENDPOINT, "https://u:p@idp.example.com/t"),
            "user name",
        ),
        (
            client("{ credential: idp-client, method: private_key_jwt }"),
            "exactly one of `id` and `id_field`",
        ),
        (
            client("{ credential: idp-client, id: g, key: k, method: client_secret_basic }"),
            "`key` does not go with this `method`",
        ),
        (
            client("{ credential: nowhere, id: g, method: client_secret_basic }"),
            "is not a declared credential",
        ),
        (
            client("{ credential: crm-token, id: g, method: client_secret_basic }"),
            "by a token of an OAuth server",
        ),
        (
            document(
                "{ provider: vault, kv: idp/client }",
                "{ provider: vault, oauth: {} }",
            ),
            "has no `oauth`",
        ),
        (
            document(
                "audience: \"https://crm.example.com\" } }",
                "} , poll: 1s }",
            ),
            "`poll` does not go with `oauth`",
        ),
        (
            document("scope: crm.read, audience", "scope: \"\", audience"),
            "this is no `scope`",
        ),
    ];
    for (text, expected) in cases {
        let report = report(&text);
        assert!(report.contains(expected), "{expected}:\n{report}");
    }
}
