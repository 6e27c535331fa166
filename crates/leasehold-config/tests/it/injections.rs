//! Where a credential is placed, as written and as read.

use leasehold_config::{Injection, Spot, load};
use leasehold_model::{Encoding, Template, TemplatePart};

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
