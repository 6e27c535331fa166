//! Finds secret values in a text, by their form and whatever they stand in: also in comments, and
//! also where the text is not YAML.

mod comment;
mod form;
mod key;

use crate::code::Code;
use crate::fault::Fault;
use crate::node::Span;

pub(crate) use form::{has_secret_form, looks_random};
pub(crate) use key::{names_consumer_key, names_secret};

/// What a text gives away.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) faults: Vec<Fault>,
    /// What no report may show: the secrets, and more that may be some.
    pub(crate) masks: Vec<Span>,
}

/// Looks through the whole text for values that have the form of a secret.
pub(crate) fn scan(text: &str) -> Findings {
    let mut findings = Findings::default();
    for (span, what) in form::find(text) {
        findings.masks.push(span);
        findings.faults.push(in_document(span, what));
    }
    findings.masks.extend(form::random_words(text));
    findings.masks.extend(comment::assignments(text));
    findings
}

/// Says that a secret stands in the document.
pub(crate) fn in_document(span: Span, what: &str) -> Fault {
    Fault::new(
        Code::SecretValue,
        span,
        format!("{what} is written into the document"),
    )
    .with_help(SECRET_HELP)
}

/// Says that a consumer key stands in the document.
pub(crate) fn consumer_key(span: Span) -> Fault {
    Fault::new(
        Code::ConsumerKeyInClear,
        span,
        "a consumer key is written into the document",
    )
    .with_help(CONSUMER_KEY_HELP)
}

const SECRET_HELP: &str = "keep the value at a provider and refer to it under `credentials`; take \
                           this one for known and replace it where it is valid";

/// How a consumer key is declared without showing it.
pub(crate) const CONSUMER_KEY_HELP: &str = "declare its digest only, `keys: [{ sha256: … }]`, which \
    `printf %s \"$KEY\" | sha256sum` makes; hand out a new key, as this one is known";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_never_repeats_the_value() {
        let findings = scan("key: hvs.CAESIJcanarycanary0123456789 # api_key: canary2\n");
        let fault = findings.faults.first().unwrap();
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
        assert_eq!(findings.faults.len(), 1);
        assert_eq!(findings.masks.len(), 3, "form, random word, comment");
    }
}
