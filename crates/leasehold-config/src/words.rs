//! The forms of the document's words: names, fields, and what looks like neither.

use crate::secret_scan;

/// Tells whether `text` has the form of a name, as `schema::NAME_PATTERN` states it.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(is_name_char)
}

/// Tells whether `text` looks like the key of a field.
pub(crate) fn is_field_like(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_FIELD
        && text
            .chars()
            .all(|each| each.is_ascii_lowercase() || each == '_' || each == '-')
}

/// Returns `text` in quotes where it may be shown, `instead` where it may be a secret.
pub(crate) fn shown(text: &str, instead: &str) -> String {
    if may_be_shown(text) {
        format!("`{text}`")
    } else {
        instead.to_owned()
    }
}

/// Tells whether a key or name of the document may stand in a message.
pub(crate) fn may_be_shown(text: &str) -> bool {
    is_name(text) && !secret_scan::looks_random(text) && !secret_scan::has_secret_form(text)
}

/// Returns the candidate that `written` was probably meant to be.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(written.len()) <= MAX_SLIPS)
        .take(MAX_CANDIDATES)
        .map(|candidate| (strsim::jaro_winkler(written, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

/// Lists words for a help text, the first of them where there are many.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words = words.into_iter();
    let listed = words.by_ref().take(MAX_LISTED);
    let listed: Vec<_> = listed.map(|word| shown(word, "…")).collect();
    let more = match words.count() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    listed.join(", ") + &more
}

const fn is_name_char(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '.' | '_' | '-')
}

/// What a name looks like.
pub(crate) const NAME_HELP: &str = "a name begins with a letter or digit and goes on with letters, \
                                    digits, `.`, `_` or `-`, 63 at most";

const MAX_NAME: usize = 63;
const MAX_FIELD: usize = 32;
const LIKE: f64 = 0.8;
/// Help must stay short and quick, also where thousands of names are declared.
const MAX_LISTED: usize = 12;
const MAX_CANDIDATES: usize = 200;
const MAX_SLIPS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let declared = ["payments", "orders"];
        assert_eq!(nearest("paymnts", declared), Some("payments"));
        assert_eq!(nearest("order", declared), Some("orders"));
        assert_eq!(nearest("shipping", declared), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<_> = (0..14).map(|number| number.to_string()).collect();
        let text = list(names.iter().map(String::as_str));
        assert!(text.ends_with("`11` and 2 more"), "{text}");
        assert_eq!(list(["a", "b"]), "`a`, `b`");
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        assert_eq!(shown("payments-key", "this"), "`payments-key`");
        for secret in [
            "two words",
            "aB3dE5fG7hI9jK1lM3",
            "sk_live_0123456789abcdef",
            "",
        ] {
            assert_eq!(shown(secret, "this"), "this", "{secret}");
        }
    }
}
