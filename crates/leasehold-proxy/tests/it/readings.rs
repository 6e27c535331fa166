//! Random queries and cookies, and what servers of other makes read in them once a credential is placed.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Uri};
use leasehold_inject::{Injection, InjectionIndex, Prepared, Spot, prepare};
use leasehold_model::{Template, TemplatePart};
use leasehold_provider::Material;
use leasehold_secret::Secret;

#[test]
fn of_a_random_query_no_server_reads_another_value_and_the_rest_stays() {
    let prepared = placed(Spot::Query("api_key".to_owned()));
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut stripped = 0;
    for _ in 0..CASES {
        let sent = text(&mut random, &["&", ";", "&", "&&"]);
        let uri: Uri = format!("/p?{sent}").parse().expect("a target");
        let target = prepared.target(InjectionIndex(0), &uri);
        let target = target.expect("placed").expect("a new target").to_string();
        let query = target.strip_prefix("/p?").expect("the path");
        let rest = query.strip_prefix("api_key=ours").expect("ours first");
        let rest = rest.strip_prefix('&').unwrap_or_default();
        let read = [form(rest), php(rest), dotnet(rest), rack(rest)].concat();
        assert!(!read.contains(&"api_key".to_owned()), "{sent} -> {rest}");
        stripped += usize::from(same_but_for_the_name(&sent, rest, ['&', ';']));
    }
    assert!((CASES / 10..CASES).contains(&stripped), "{stripped}");
}

#[test]
fn of_random_cookies_no_server_reads_another_value_and_the_rest_stays() {
    let prepared = placed(Spot::Cookie("api_key".to_owned()));
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut stripped = 0;
    for _ in 0..CASES {
        let sent = text(&mut random, &["; ", ";", ",", "; \""]);
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&sent).expect("a value"));
        let applied = prepared.apply(InjectionIndex(0), &mut headers);
        applied.expect("placed");
        let value = headers[COOKIE].to_str().expect("text");
        let rest = value.strip_prefix("api_key=ours").expect("ours first");
        let rest = rest.strip_prefix("; ").unwrap_or_default();
        let php = php(&rest.replace(';', "&"));
        let read = [rfc6265(rest), rfc2965(rest), php].concat();
        assert!(!read.contains(&"api_key".to_owned()), "{sent} -> {rest}");
        stripped += usize::from(same_but_for_the_name(&sent, rest, [';', ',']));
    }
    assert!((CASES / 10..CASES).contains(&stripped), "{stripped}");
}

/// Checks that the kept parts are those that were sent, in order, but for such as have to do with the
/// name; tells whether any are missing.
fn same_but_for_the_name(sent: &str, kept: &str, ends: [char; 2]) -> bool {
    let mut kept = kept.trim_start().split(ends).peekable();
    let mut missing = false;
    for part in sent.trim_start().split(ends) {
        let is_kept = |it: &&str| *it == part || it.trim_start() == part.trim_start();
        if kept.next_if(is_kept).is_none() {
            let name = decoded(part).to_lowercase();
            let related = name.contains("key") || part.trim().is_empty();
            assert!(related, "{part:?} of {sent:?} is missing");
            missing |= name.contains("key");
        }
    }
    let left: Vec<_> = kept.collect();
    assert!(left.concat().is_empty(), "{left:?} was not in {sent:?}");
    missing
}

/// `application/x-www-form-urlencoded` of the URL standard.
fn form(query: &str) -> Vec<String> {
    names(query, &['&'], decoded)
}

/// ASP.NET: letters of either case, and `;` as older servers have it.
fn dotnet(query: &str) -> Vec<String> {
    names(query, &['&', ';'], |name| {
        decoded(name).to_ascii_lowercase()
    })
}

/// PHP: blanks before the name go, a zero byte ends it, `[` opens a list, dots and spaces are `_`.
fn php(query: &str) -> Vec<String> {
    names(query, &['&'], |name| {
        let name = decoded(name);
        let name = name.trim_start_matches(' ');
        let name = name.split('\0').next().unwrap_or_default();
        let name = match name.split_once('[') {
            Some((list, key)) if !list.is_empty() && key.contains(']') => list,
            _ => name,
        };
        name.replace(['.', ' ', '['], "_")
    })
}

/// Rack: brackets before the name go, and those behind it open a list or an object.
fn rack(query: &str) -> Vec<String> {
    names(query, &['&', ';'], |name| {
        let name = decoded(name);
        let name = name.trim_start_matches(['[', ']']);
        name.split(['[', ']']).next().unwrap_or_default().to_owned()
    })
}

fn rfc6265(cookies: &str) -> Vec<String> {
    names(cookies, &[';'], |name| name.trim().to_owned())
}

/// RFC 2965: commas too, and quoted names as some servers read them.
fn rfc2965(cookies: &str) -> Vec<String> {
    let unquoted = |name: &str| name.trim().trim_matches('"').to_owned();
    names(cookies, &[';', ','], unquoted)
}

fn names(list: &str, ends: &[char], read: impl Fn(&str) -> String) -> Vec<String> {
    let parts = list.split(ends);
    let names = parts.map(|part| part.split('=').next().unwrap_or_default());
    names.map(read).collect()
}

fn decoded(name: &str) -> String {
    let spaced = name.replace('+', " ");
    let bytes = spaced.as_bytes();
    let mut read = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = spaced.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let digits = digits.filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
        match digits.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(value) => {
                read.push(value);
                at += 3;
            }
            None => {
                read.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Strings parts together, some of which are of the name in one spelling or another.
fn text(random: &mut fastrand::Rng, ends: &[&str]) -> String {
    let mut text = String::new();
    for number in 0..random.usize(0..8) {
        if number > 0 {
            text.push_str(ends[random.usize(..ends.len())]);
        }
        for _ in 0..random.usize(0..5) {
            text.push_str(PIECES[random.usize(..PIECES.len())]);
        }
    }
    text
}

fn placed(spot: Spot) -> Prepared {
    let mut material = Material::default();
    material.insert("key", Secret::new("ours"));
    let name = "key".to_owned();
    let field = TemplatePart::Field {
        name,
        encoding: None,
    };
    let template = Template {
        parts: vec![field],
        encoding: None,
    };
    prepare(&[Injection::Rendered { spot, template }], &material).expect("prepared")
}

const PIECES: [&str; 26] = [
    "api_key",
    "API_KEY",
    "api_key=",
    "api%5Fkey",
    "%61pi_key",
    "api.key",
    "api+key",
    "api[key",
    "api_",
    "key",
    "=",
    "=1",
    "a",
    "b",
    "x=%2f",
    "%",
    "%zz",
    "%00",
    "+",
    "%20",
    "[",
    "]",
    "[]",
    "%5B",
    "'",
    ".",
];
const CASES: usize = 20_000;
const SEED: u64 = 5;
