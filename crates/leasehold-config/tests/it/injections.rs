//! Where a credential is placed, as written and as read.

use leasehold_config::{Injection, Spot, load};
use leasehold_model::{
    Component, Encoding, Hash, Payload, SigV4, SignedPart, Signing, Template, TemplatePart,
    TimeForm,
};

use crate::documents::{faults_of, report, with};

const WRITTEN: &str = "inject: { header: X-Api-Key }";

#[test]
fn a_template_a_parameter_and_a_cookie_are_read() {
    let field = |name: &str, encoding| TemplatePart::Field {
        name: name.to_owned(),
        encoding,
    };
    let whole = |parts, encoding| Template { parts, encoding };
    let colon = TemplatePart::Text(":".to_owned());
    let spot = Spot::Header {
        name: "authorization".to_owned(),
        prefix: "ApiKey ".to_owned(),
    };
    let pair = vec![field("id", None), colon, field("key", Some(Encoding::Hex))];
    assert_eq!(
        read(
            "header: Authorization, prefix: \"ApiKey \", template: \"{id}:{key|hex}\", encode: base64url"
        ),
        (spot, whole(pair, Some(Encoding::Base64Url)))
    );
    let other = vec![field("other", None)];
    assert_eq!(
        read("query: api_key, field: other"),
        (Spot::Query("api_key".to_owned()), whole(other, None))
    );
    // The field that the credential names itself.
    let key = vec![field("key", None)];
    assert_eq!(
        read("cookie: sid, encode: percent"),
        (
            Spot::Cookie("sid".to_owned()),
            whole(key, Some(Encoding::Percent))
        )
    );
}

#[test]
fn what_is_no_place_or_no_template_is_a_fault_with_its_line() {
    for (written, code) in [
        ("query: a, cookie: b", "bad_combination"),
        ("header: X-A, query: a", "bad_combination"),
        (
            "query: a, basic: { username: u, password: p }",
            "bad_combination",
        ),
        ("query: a, prefix: \"x \"", "bad_combination"),
        ("template: \"{key}\"", "bad_combination"),
        (
            "query: a, field: key, template: \"{key}\"",
            "bad_combination",
        ),
        ("query: \"a b\"", "bad_name"),
        ("cookie: \"a=\"", "bad_name"),
        ("query: a, template: \"{key\"", "bad_template"),
        ("query: a, template: \"{key|rot13}\"", "bad_template"),
        ("query: a, template: \"key\"", "bad_template"),
        ("query: a, template: \"4f9a81c07d{key}\"", "bad_template"),
        ("query: a, encode: rot13", "unknown_value"),
    ] {
        let faults = faults_of(&with(WRITTEN, &format!("inject: {{ {written} }}")));
        let [(line, told)] = &faults[..] else {
            panic!("{written}: {faults:?}");
        };
        assert!(*line > 1 && *told == code, "{written}: {faults:?}");
    }
}

#[test]
fn what_stands_in_a_template_that_is_none_is_not_shown() {
    let text = with(
        WRITTEN,
        "inject: { query: a, template: \"canary4f9a81c07d{key}\" }",
    );
    assert!(!report(&text).contains("4f9a81c07d"));
}

fn read(written: &str) -> (Spot, Template) {
    let text = with(WRITTEN, &format!("inject: {{ {written} }}"));
    let snapshot = load("leasehold.yaml", &text).expect("sound");
    let mut used = snapshot.upstreams.into_iter().flat_map(|it| it.credentials);
    let rendered = used.next().and_then(|used| match used.injection {
        Injection::Rendered { spot, template } => Some((spot, template)),
        _ => None,
    });
    rendered.expect("a template")
}

#[test]
fn signatures_are_read_with_their_defaults() {
    let rule = signing("sigv4: { region: eu-west-1, service: s3 }");
    assert_eq!(
        rule,
        Signing::SigV4(SigV4 {
            region: "eu-west-1".to_owned(),
            service: "s3".to_owned(),
            payload: Payload::Signed,
            access_key: "access_key".to_owned(),
            secret_key: "secret_key".to_owned(),
            session_token: "security_token".to_owned(),
            needs_session_token: false,
        })
    );
    let Signing::Hmac(rule) = signing(
        "hmac: { key: key, sign: \"{method}\\n{header:X-A}|{body|sha512|base64}{id}\", \
         headers: [{ header: Authorization, template: \"HMAC {id}:{signature}\" }, { header: X-Time, template: \"{timestamp}\" }] }",
    ) else {
        panic!("an HMAC");
    };
    let text = |text: &str| SignedPart::Text(text.to_owned());
    assert_eq!(
        rule.text,
        [
            SignedPart::Method,
            text("\n"),
            SignedPart::Header("x-a".to_owned()),
            text("|"),
            SignedPart::Body(Hash::Sha512, Encoding::Base64),
            SignedPart::Field("id".to_owned()),
        ]
    );
    assert_eq!(rule.headers[1].0, "x-time");
    assert_eq!((rule.hash, rule.time), (Hash::Sha256, TimeForm::Unix));
    let Signing::Message(rule) = signing(
        "message_signature: { algorithm: ed25519, components: [\"@method\", Content-Digest, X-A], \
         if_present: [Content-Type] }",
    ) else {
        panic!("a message signature");
    };
    let header = |name: &str, is_optional| Component::Header {
        name: name.to_owned(),
        is_optional,
    };
    assert_eq!(
        rule.components,
        [
            Component::Method,
            Component::ContentDigest,
            header("x-a", false),
            header("content-type", true),
        ]
    );
    assert_eq!((&*rule.key, &*rule.label), ("private_key", "sig1"));
}

#[test]
fn what_signs_nothing_is_a_fault_with_its_line() {
    for (written, code) in [
        ("sigv4: { region: eu-west-1 }", "missing_field"),
        ("sigv4: { region: \"EU west\", service: s3 }", "bad_name"),
        (
            "sigv4: { region: a, service: s3, payload: none }",
            "unknown_value",
        ),
        (
            "sigv4: { region: a, service: s3 }, header: X-A",
            "bad_combination",
        ),
        (
            "sigv4: { region: a, service: s3, secret_key: \"a b\" }",
            "bad_name",
        ),
        (
            "hmac: { key: k, sign: \"{method\", headers: [{ header: X-A, template: \"{signature}\" }] }",
            "bad_template",
        ),
        (
            "hmac: { key: k, sign: \"plain\", headers: [{ header: X-A, template: \"{signature}\" }] }",
            "bad_template",
        ),
        (
            "hmac: { key: k, sign: \"{body}\", headers: [{ header: X-A, template: \"{signature}\" }] }",
            "bad_template",
        ),
        (
            "hmac: { key: k, sign: \"{path|hex}\", headers: [{ header: X-A, template: \"{signature}\" }] }",
            "bad_template",
        ),
        (
            "hmac: { key: k, sign: \"{path}\", headers: [{ header: X-A, template: \"{nonce}\" }] }",
            "bad_template",
        ),
        (
            "hmac: { key: k, sign: \"{path}\", headers: [{ header: Host, template: \"{signature}\" }] }",
            "bad_header",
        ),
        ("hmac: { key: k, sign: \"{path}\", headers: [] }", "empty"),
        (
            "message_signature: { algorithm: ed25519, components: [\"@status\"] }",
            "unknown_value",
        ),
        (
            "message_signature: { algorithm: ed25519, components: [] }",
            "empty",
        ),
        (
            "message_signature: { algorithm: ed25519, components: [Host] }",
            "bad_header",
        ),
        (
            "message_signature: { algorithm: ed25519, components: [Content-Length] }",
            "bad_header",
        ),
        (
            "message_signature: { algorithm: ed25519, components: [\"@path\", \"@path\"] }",
            "bad_combination",
        ),
        (
            "message_signature: { algorithm: rsa, components: [\"@path\"] }",
            "unknown_value",
        ),
        (
            "message_signature: { algorithm: ed25519, key_encoding: hex, components: [\"@path\"] }",
            "bad_combination",
        ),
        (
            "message_signature: { algorithm: ed25519, key_id: a, key_id_field: b, components: [\"@path\"] }",
            "bad_combination",
        ),
    ] {
        let faults = faults_of(&with(WRITTEN, &format!("inject: {{ {written} }}")));
        let [(line, told)] = &faults[..] else {
            panic!("{written}: {faults:?}");
        };
        assert!(*line > 1 && *told == code, "{written}: {faults:?}");
    }
}

#[test]
fn a_key_in_the_place_of_its_name_is_not_shown() {
    let text = with(
        WRITTEN,
        "inject: { message_signature: { algorithm: ed25519, key: \"Canary/4f9a81c07dXy\", components: [\"@path\"] } }",
    );
    assert!(!report(&text).contains("4f9a81c07d"));
    let text = with(
        WRITTEN,
        "inject: { hmac: { key: k, sign: \"{path}canary4f9a81c07d\", headers: [{ header: X-A, template: \"{signature}\" }] } }",
    );
    assert!(!report(&text).contains("4f9a81c07d"));
}

fn signing(written: &str) -> Signing {
    let text = with(WRITTEN, &format!("inject: {{ {written} }}"));
    let snapshot = load("leasehold.yaml", &text).expect("sound");
    let mut upstreams = snapshot.upstreams.into_iter();
    let used = upstreams.find_map(|it| it.credentials.into_iter().next());
    let signed = used.and_then(|used| match used.injection {
        Injection::Signed(signing) => Some(signing),
        _ => None,
    });
    signed.expect("a signature")
}

#[test]
fn a_request_is_signed_once_and_nothing_else_stands_where_its_signature_does() {
    for (other, faults) in [
        ("{ header: X-Api-Key }", 0),
        ("{ header: Authorization }", 1),
        ("{ header: X_Amz-Date }", 1),
        (
            "{ hmac: { key: k, sign: \"{path}\", headers: [{ header: X-A, template: \"{signature}\" }] } }",
            1,
        ),
    ] {
        let written = "credential: payments-key, inject: { header: X-Api-Key }";
        let both = format!(
            "credentials: [{{ credential: payments-key, inject: {{ sigv4: {{ region: a, service: s3 }} }} }}, \
             {{ credential: payments-key, inject: {other} }}]"
        );
        let told = faults_of(&with(written, &both));
        assert_eq!(told.len(), faults, "{other}: {told:?}");
    }
}
