//! The forms that issuers give to secrets, so that scanners such as this one can tell them.

mod structured;

use crate::node::Span;

/// Secrets that are a prefix and a run of characters.
struct Prefixed {
    prefix: &'static str,
    least: usize,
    what: &'static str,
}

/// Finds every secret in `text`, with what kind it is.
pub(crate) fn find(text: &str) -> Vec<(Span, &'static str)> {
    let mut found = structured::private_keys(text);
    found.extend(structured::user_infos(text));
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let hit = starts_word(text, at).then(|| secret_at(rest)).flatten();
        if let Some((len, what)) = hit {
            found.push((Span::new(at, at.saturating_add(len)), what));
        }
        let Some(next) = rest.chars().next() else {
            break;
        };
        let step = hit.map_or(next.len_utf8(), |(len, _)| len);
        at = at.saturating_add(step);
    }
    found
}

/// Tells whether `text` holds a value in the form of a secret.
pub(crate) fn has_secret_form(text: &str) -> bool {
    !find(text).is_empty()
}

/// Finds words that look as if a machine had drawn them: no fault by themselves, but not shown.
pub(crate) fn random_words(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = None;
    for (at, each) in text.char_indices().chain([(text.len(), ' ')]) {
        if is_token(each) || matches!(each, '+' | '=') {
            start.get_or_insert(at);
        } else if let Some(begin) = start.take() {
            let word = text.get(begin..at).unwrap_or_default();
            if looks_random(word) {
                spans.push(Span::new(begin, at));
            }
        }
    }
    spans
}

/// Tells whether a word mixes capitals, small letters and digits, or is long hexadecimal.
pub(crate) fn looks_random(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    let mixed =
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let hexadecimal = word.bytes().all(|each| each.is_ascii_hexdigit());
    word.len() >= MIXED && mixed || word.len() >= HEXADECIMAL && hexadecimal
}

/// Returns the length and kind of the secret that `rest` begins with.
fn secret_at(rest: &str) -> Option<(usize, &'static str)> {
    let prefixed = PREFIXED.iter().find_map(|form| {
        let run = run(rest.get(form.prefix.len()..)?, is_token);
        let matches = rest.starts_with(form.prefix) && run >= form.least;
        matches.then(|| (form.prefix.len().saturating_add(run), form.what))
    });
    prefixed
        .or_else(|| structured::old_vault_token(rest))
        .or_else(|| structured::jwt(rest))
        .or_else(|| structured::authorization(rest))
}

fn starts_word(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    !before.is_some_and(|each| is_token(each) || each == '.')
}

/// Returns how many bytes at the start of `text` are of the kind.
fn run(text: &str, kind: fn(char) -> bool) -> usize {
    text.find(|each| !kind(each)).unwrap_or(text.len())
}

const fn is_token(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '_' | '-')
}

const fn prefixed(prefix: &'static str, least: usize, what: &'static str) -> Prefixed {
    Prefixed {
        prefix,
        least,
        what,
    }
}

const MIXED: usize = 16;
const HEXADECIMAL: usize = 32;

const VAULT: &str = "a Vault token";
const AWS: &str = "an AWS access key id";
const GITHUB: &str = "a GitHub token";
const STRIPE: &str = "a payment API key";
const SLACK: &str = "a Slack token";

const PREFIXED: &[Prefixed] = &[
    prefixed("hvs.", 16, VAULT),
    prefixed("hvb.", 16, VAULT),
    prefixed("hvr.", 16, VAULT),
    prefixed("AKIA", 16, AWS),
    prefixed("ASIA", 16, AWS),
    prefixed("ghp_", 20, GITHUB),
    prefixed("gho_", 20, GITHUB),
    prefixed("ghu_", 20, GITHUB),
    prefixed("ghs_", 20, GITHUB),
    prefixed("ghr_", 20, GITHUB),
    prefixed("github_pat_", 20, GITHUB),
    prefixed("glpat-", 20, "a GitLab token"),
    prefixed("sk_live_", 10, STRIPE),
    prefixed("sk_test_", 10, STRIPE),
    prefixed("rk_live_", 10, STRIPE),
    prefixed("rk_test_", 10, STRIPE),
    prefixed("sk-", 20, "an API key"),
    prefixed("xoxa-", 10, SLACK),
    prefixed("xoxb-", 10, SLACK),
    prefixed("xoxe-", 10, SLACK),
    prefixed("xoxp-", 10, SLACK),
    prefixed("xoxr-", 10, SLACK),
    prefixed("xoxs-", 10, SLACK),
    prefixed("AIza", 30, "a Google API key"),
    prefixed("npm_", 30, "a package registry token"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let spans = find(text);
        spans
            .iter()
            .map(|(span, _)| text.get(span.start..span.end).unwrap())
            .collect()
    }

    #[test]
    fn each_form_is_found_whole() {
        for secret in [
            "hvs.CAESIJabcdefgh0123-_x",
            "s.abcdefghijklmnopqrstuvw1",
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_0123456789abcdefghijABCDEFGHIJ012345",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "xoxb-123456789012-abcdef",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "AIzaSyA0123456789abcdefghijklmnopqrstu",
        ] {
            for text in [
                secret.to_owned(),
                format!("key: {secret}"),
                format!("key: \"{secret}\" # x"),
                format!("# was {secret}\n"),
                format!("a: {{ b: [{secret}] }}"),
            ] {
                assert_eq!(found(&text), [secret], "{text}");
            }
        }
    }

    #[test]
    fn ordinary_words_are_no_secrets() {
        for text in [
            "prefix: \"Bearer \"",
            "# a bearer token, or Basic authentication",
            "host: s.example.internal",
            "path: task_live_things/desk_live_0123456789",
            "url: https://vault-1:8200/?x=a@b",
            "role_id: 5b2c9a7e-0d1f-4a53-9d0e-0c4b7e2f1a66",
            "sk-eleton",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn drawn_words_are_told_from_written_ones() {
        for word in ["aB3dE5fG7hI9jK1lM3", "9f86d081884c7d659a2feaa0c55ad015"] {
            assert!(looks_random(word), "{word}");
        }
        for word in [
            "payments-key-2024-production",
            "X-Request-Identifier",
            "leasehold",
        ] {
            assert!(!looks_random(word), "{word}");
        }
    }
}
