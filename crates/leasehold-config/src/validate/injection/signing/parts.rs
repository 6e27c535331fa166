//! Reads the texts of an HMAC.

use leasehold_model::{Encoding, Hash, ShownPart, SignedPart};

use super::super::super::Check;
use super::super::template::{Braces, pieces};
use crate::code::Code;
use crate::document::SignedHeaderDocument;
use crate::node::Place;

impl Check<'_> {
    /// Reads the text that is signed.
    pub(super) fn signed_text(&mut self, text: &str, place: Place<'_>) -> Option<Vec<SignedPart>> {
        let parts = pieces(text).and_then(|pieces| {
            let parts = pieces.into_iter().map(|piece| match piece {
                Braces::Outside(text) => Ok(SignedPart::Text(text)),
                Braces::Inside(inner) => signed_part(&inner),
            });
            parts.collect::<Result<Vec<_>, _>>()
        });
        let parts = match parts {
            Ok(parts) => parts,
            Err(fault) => {
                self.bad_text(fault, SIGNED_HELP, place);
                return None;
            }
        };
        let mut literal = String::new();
        let mut says_something = false;
        for part in &parts {
            match part {
                SignedPart::Text(text) => literal.push_str(text),
                SignedPart::Field(name) => self.field_name(name, place),
                SignedPart::Header(name) => {
                    if name != "host" {
                        self.header_name(name, place);
                    }
                    says_something = true;
                }
                _ => says_something = true,
            }
        }
        if !says_something {
            self.bad_text(
                "a text that is signed names a part of the request",
                SIGNED_HELP,
                place,
            );
            return None;
        }
        self.plain_literal(&literal, place);
        Some(parts)
    }

    /// Reads the headers that show a signature.
    pub(super) fn signed_headers(
        &mut self,
        written: &[SignedHeaderDocument],
        place: Place<'_>,
    ) -> Option<Vec<(String, Vec<ShownPart>)>> {
        let mut headers: Vec<(String, Vec<ShownPart>)> = Vec::new();
        let mut is_sound = true;
        for (index, written) in written.iter().enumerate() {
            let at = place.item(index);
            let name = self.header_name(&written.header, at.field("header"));
            if headers.iter().any(|(other, _)| *other == name) {
                let help = "write it once";
                self.fault(
                    Code::BadCombination,
                    at,
                    "this header is there already",
                    help,
                );
            }
            match self.shown_parts(&written.template, at.field("template")) {
                Some(parts) => headers.push((name, parts)),
                None => is_sound = false,
            }
        }
        let shows = |(_, parts): &(String, Vec<ShownPart>)| parts.contains(&ShownPart::Signature);
        if is_sound && !headers.iter().any(shows) {
            self.bad_text("no header shows the signature", SHOWN_HELP, place);
            return None;
        }
        is_sound.then_some(headers)
    }

    fn shown_parts(&mut self, text: &str, place: Place<'_>) -> Option<Vec<ShownPart>> {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(fault) => {
                self.bad_text(fault, SHOWN_HELP, place);
                return None;
            }
        };
        let mut literal = String::new();
        let parts = pieces.into_iter().map(|piece| match piece {
            Braces::Outside(text) => {
                literal.push_str(&text);
                ShownPart::Text(text)
            }
            Braces::Inside(inner) => match inner.trim() {
                "signature" => ShownPart::Signature,
                "timestamp" => ShownPart::Time,
                "nonce" => ShownPart::Nonce,
                name => {
                    self.field_name(name, place);
                    ShownPart::Field(name.to_owned())
                }
            },
        });
        let parts = parts.collect();
        self.plain_literal(&literal, place);
        Some(parts)
    }

    /// Reports a literal that may be a secret, or that would end a header.
    fn plain_literal(&mut self, literal: &str, place: Place<'_>) {
        let digits = literal.bytes().filter(u8::is_ascii_digit).count();
        let plain = |it: u8| it == b' ' || it == b'\n' || it.is_ascii_graphic();
        let is_plain = literal.bytes().all(plain);
        if literal.len() > MAX_LITERAL || digits > MAX_LITERAL_DIGITS || !is_plain {
            let message = "this is not what stands between the parts";
            self.bad_text(message, "write a few words or signs", place);
        }
    }

    fn bad_text(&mut self, message: &str, help: &str, place: Place<'_>) {
        self.report.hide(place.node());
        self.fault(Code::BadTemplate, place, message, help);
    }
}

fn signed_part(inner: &str) -> Result<SignedPart, &'static str> {
    let inner = inner.trim();
    if let Some(name) = inner.strip_prefix("header:") {
        return Ok(SignedPart::Header(name.trim().to_ascii_lowercase()));
    }
    let mut words = inner.split('|').map(str::trim);
    let name = words.next().unwrap_or_default();
    if name == "body" {
        return body(words.collect::<Vec<_>>().as_slice());
    }
    if words.next().is_some() {
        return Err("only the body has filters: `{body|sha256|hex}`");
    }
    Ok(match name {
        "method" => SignedPart::Method,
        "path" => SignedPart::Path,
        "query" => SignedPart::Query,
        "target" => SignedPart::Target,
        "host" => SignedPart::Host,
        "timestamp" => SignedPart::Time,
        "nonce" => SignedPart::Nonce,
        field => SignedPart::Field(field.to_owned()),
    })
}

fn body(filters: &[&str]) -> Result<SignedPart, &'static str> {
    let wrong = "the body is signed by a digest: `{body|sha256|hex}`, or `sha512`, or `base64`";
    let [hash, encoding] = filters else {
        return Err(wrong);
    };
    let hash = match *hash {
        "sha256" => Hash::Sha256,
        "sha512" => Hash::Sha512,
        _ => return Err(wrong),
    };
    let encoding = match *encoding {
        "hex" => Encoding::Hex,
        "base64" => Encoding::Base64,
        "base64url" => Encoding::Base64Url,
        _ => return Err(wrong),
    };
    Ok(SignedPart::Body(hash, encoding))
}

const SIGNED_HELP: &str = "in braces stand `method`, `path`, `query`, `target`, `host`, `header:NAME`, \
                           `timestamp`, `nonce`, `body|sha256|hex`, or the name of a field";
const SHOWN_HELP: &str = "one header shows `{signature}`, like `\"HMAC {id}:{signature}\"`";
const MAX_LITERAL: usize = 64;
const MAX_LITERAL_DIGITS: usize = 4;
