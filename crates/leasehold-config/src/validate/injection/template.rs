//! Reads templates of credentials, and the places that only they and single fields stand at.

use leasehold_model::{Encoding, Template, TemplatePart};

use super::super::Check;
use crate::code::Code;
use crate::document::{EncodingWord, InjectionDocument};
use crate::node::Place;
use crate::snapshot::upstream::{Injection, Spot};

impl InjectionDocument {
    /// Tells whether it is more than a plain field in a header.
    pub(super) const fn is_rendered(&self) -> bool {
        self.query.is_some()
            || self.cookie.is_some()
            || self.template.is_some()
            || self.encode.is_some()
    }
}

impl Check<'_> {
    pub(super) fn rendered(
        &mut self,
        written: InjectionDocument,
        at_credential: Option<Option<String>>,
        whole: bool,
        place: Place<'_>,
    ) -> Option<Injection> {
        let elsewhere = written.basic.is_some() || written.client_certificate.is_some();
        let prefixed = written.prefix.is_some();
        let spot = match (&written.header, &written.query, &written.cookie) {
            (Some(name), None, None) if !elsewhere => Spot::Header {
                name: self.header_name(name, place.field("header")),
                prefix: self.prefix(written.prefix, place.field("prefix")),
            },
            (None, Some(name), None) if !elsewhere && !prefixed => {
                Spot::Query(self.pair_name(name, place.field("query")))
            }
            (None, None, Some(name)) if !elsewhere && !prefixed => {
                Spot::Cookie(self.pair_name(name, place.field("cookie")))
            }
            _ if !whole => return None,
            _ => {
                self.no_one_place(place);
                return None;
            }
        };
        let parts = match (written.template, written.field) {
            (None, field) => vec![TemplatePart::Field {
                name: self.header_field(field, at_credential, whole, place)?,
                encoding: None,
            }],
            (Some(template), None) => self.shown_template(&template, place.field("template"))?,
            (Some(_), Some(_)) => {
                let help = "remove `field`, and name it in the template";
                let message = "the template says which fields are shown";
                self.fault(Code::BadCombination, place.field("field"), message, help);
                return None;
            }
        };
        let encoding = written.encode.map(encoding);
        let template = Template { parts, encoding };
        Some(Injection::Rendered { spot, template })
    }

    /// Checks the name of a parameter or of a cookie, which needs no escapes.
    fn pair_name(&mut self, name: &str, place: Place<'_>) -> String {
        let plain = |each: u8| each.is_ascii_alphanumeric() || b"-._~".contains(&each);
        if name.is_empty() || name.len() > MAX_PAIR_NAME || !name.bytes().all(plain) {
            self.report.hide_unless_name(place.node());
            let message = "this is not the name of a parameter or a cookie";
            let help = "such a name is letters, digits, `-`, `.`, `_` and `~`, 64 at most";
            self.fault(Code::BadName, place, message, help);
        }
        name.to_owned()
    }

    fn shown_template(&mut self, text: &str, place: Place<'_>) -> Option<Vec<TemplatePart>> {
        let parts = match parse(text) {
            Ok(parts) => parts,
            Err(fault) => {
                self.report.hide(place.node());
                let help = "a template is like `\"{id}:{key}\"` or `\"{id|percent}/{key|hex}\"`; the \
                            filters are base64, base64url, hex and percent, and `{{` is a brace";
                self.fault(Code::BadTemplate, place, fault, help);
                return None;
            }
        };
        let mut literal = String::new();
        for part in &parts {
            match part {
                TemplatePart::Text(text) => literal.push_str(text),
                TemplatePart::Field { name, .. } => self.field_name(name, place),
            }
        }
        if !is_literal(&literal) {
            self.report.hide(place.node());
            let message = "this is not what stands between the fields of a credential";
            let help = "write a few words or signs, and the names of fields in braces";
            self.fault(Code::BadTemplate, place, message, help);
        }
        Some(parts)
    }
}

/// A piece of a template.
pub(super) enum Braces {
    Outside(String),
    Inside(String),
}

/// Takes a template apart, or says what is wrong with it, without a word of it.
fn parse(text: &str) -> Result<Vec<TemplatePart>, &'static str> {
    let parts = pieces(text)?.into_iter().map(|piece| match piece {
        Braces::Outside(text) => Ok(TemplatePart::Text(text)),
        Braces::Inside(inner) => field(&inner),
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let is_field = |part: &TemplatePart| matches!(part, TemplatePart::Field { .. });
    if !parts.iter().any(is_field) {
        return Err("a template names at least one field");
    }
    Ok(parts)
}

/// Takes a text apart into what stands in braces and what does not.
pub(super) fn pieces(text: &str) -> Result<Vec<Braces>, &'static str> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        literal.push_str(before);
        let doubled = [("{{", '{'), ("}}", '}')];
        let mut doubled = doubled.into_iter();
        let doubled = doubled.find_map(|(it, one)| Some((one, after.strip_prefix(it)?)));
        if let Some((brace, after)) = doubled {
            literal.push(brace);
            rest = after;
            continue;
        }
        let inner = after.strip_prefix('{').ok_or("a `}` closes nothing")?;
        let (inner, after) = inner.split_once('}').ok_or("a `{` is not closed")?;
        if !literal.is_empty() {
            pieces.push(Braces::Outside(std::mem::take(&mut literal)));
        }
        pieces.push(Braces::Inside(inner.to_owned()));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Braces::Outside(literal));
    }
    Ok(pieces)
}

fn field(inner: &str) -> Result<TemplatePart, &'static str> {
    let (name, filter) = match inner.split_once('|') {
        Some((name, filter)) => (name, Some(filter.trim())),
        None => (inner, None),
    };
    let name = name.trim();
    if name.is_empty() || name.contains('{') {
        return Err("braces hold the name of a field");
    }
    let encoding = match filter {
        None => None,
        Some("base64") => Some(Encoding::Base64),
        Some("base64url") => Some(Encoding::Base64Url),
        Some("hex") => Some(Encoding::Hex),
        Some("percent") => Some(Encoding::Percent),
        Some(_) => return Err("there is no such filter"),
    };
    Ok(TemplatePart::Field {
        name: name.to_owned(),
        encoding,
    })
}

pub(super) const fn encoding(word: EncodingWord) -> Encoding {
    match word {
        EncodingWord::Base64 => Encoding::Base64,
        EncodingWord::Base64url => Encoding::Base64Url,
        EncodingWord::Hex => Encoding::Hex,
        EncodingWord::Percent => Encoding::Percent,
    }
}

/// It is short and holds few digits, or it is part of a secret.
fn is_literal(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let plain = |each: u8| each == b' ' || each.is_ascii_graphic();
    text.len() <= MAX_LITERAL && digits <= MAX_LITERAL_DIGITS && text.bytes().all(plain)
}

const MAX_PAIR_NAME: usize = 64;
const MAX_LITERAL: usize = 32;
const MAX_LITERAL_DIGITS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_literals_and_doubled_braces_are_told_apart() {
        let hex = TemplatePart::Field {
            name: "key".to_owned(),
            encoding: Some(Encoding::Hex),
        };
        let literal = |text: &str| TemplatePart::Text(text.to_owned());
        assert_eq!(parse("{key|hex}"), Ok(vec![hex.clone()]));
        assert_eq!(
            parse("{{a}}={ key | hex }!"),
            Ok(vec![literal("{a}="), hex, literal("!")])
        );
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for (text, told) in [
            ("plain", "at least one field"),
            ("{{key}}", "at least one field"),
            ("{key", "not closed"),
            ("key}", "closes nothing"),
            ("{}", "the name of a field"),
            ("{a{b}", "the name of a field"),
            ("{key|rot13}", "no such filter"),
        ] {
            let fault = parse(text).expect_err("refused");
            assert!(fault.contains(told), "{text}: {fault}");
        }
    }
}
