//! Reads how requests are signed.

mod parts;

use std::time::Duration;

use leasehold_model::{
    Component, Hash, HmacSigning, KeyForm, KeyId, MessageAlgorithm, MessageSigning, Payload, SigV4,
    Signing, TimeForm,
};

use super::super::Check;
use super::template::encoding;
use crate::code::Code;
use crate::document::{
    EncodingWord, HmacDocument, HmacWord, InjectionDocument, KeyEncodingWord, MessageAlgorithmWord,
    MessageSignatureDocument, PayloadWord, SigV4Document, TimestampWord,
};
use crate::node::Place;
use crate::snapshot::upstream::Injection;

impl InjectionDocument {
    /// Tells whether requests are signed.
    pub(super) const fn is_signed(&self) -> bool {
        self.sigv4.is_some() || self.hmac.is_some() || self.message_signature.is_some()
    }

    /// Tells whether it says anything beside how requests are signed.
    const fn is_also_shown(&self) -> bool {
        self.header.is_some()
            || self.prefix.is_some()
            || self.field.is_some()
            || self.basic.is_some()
            || self.client_certificate.is_some()
            || self.is_rendered()
    }
}

impl Check<'_> {
    pub(super) fn signed(
        &mut self,
        written: InjectionDocument,
        whole: bool,
        place: Place<'_>,
    ) -> Option<Injection> {
        let also_shown = written.is_also_shown();
        let signing = match (written.sigv4, written.hmac, written.message_signature) {
            (Some(rule), None, None) if !also_shown => self.sigv4(rule, place.field("sigv4")),
            (None, Some(rule), None) if !also_shown => self.hmac(rule, place.field("hmac"))?,
            (None, None, Some(rule)) if !also_shown => {
                self.message_signature(rule, place.field("message_signature"))
            }
            _ if !whole => return None,
            _ => {
                self.no_one_place(place);
                return None;
            }
        };
        Some(Injection::Signed(signing))
    }

    fn sigv4(&mut self, written: SigV4Document, place: Place<'_>) -> Signing {
        self.scope_word(&written.region, place.field("region"));
        self.scope_word(&written.service, place.field("service"));
        let needs_session_token = written.session_token.is_some();
        let mut field =
            |written, default: &str, name| self.named_field(written, default, place.field(name));
        Signing::SigV4(SigV4 {
            access_key: field(written.access_key, "access_key", "access_key"),
            secret_key: field(written.secret_key, "secret_key", "secret_key"),
            session_token: field(written.session_token, "security_token", "session_token"),
            needs_session_token,
            region: written.region,
            service: written.service,
            payload: match written.payload {
                None | Some(PayloadWord::Signed) => Payload::Signed,
                Some(PayloadWord::Unsigned) => Payload::Unsigned,
                Some(PayloadWord::Chunked) => Payload::Chunked,
            },
        })
    }

    fn hmac(&mut self, written: HmacDocument, place: Place<'_>) -> Option<Signing> {
        self.field_name(&written.key, place.field("key"));
        let text = self.signed_text(&written.sign, place.field("sign"));
        let headers = self.signed_headers(&written.headers, place.field("headers"));
        Some(Signing::Hmac(HmacSigning {
            key: written.key,
            key_form: key_form(written.key_encoding),
            hash: match written.algorithm {
                None | Some(HmacWord::Sha256) => Hash::Sha256,
                Some(HmacWord::Sha512) => Hash::Sha512,
            },
            text: text?,
            time: time_form(written.timestamp),
            encoding: encoding(written.encode.unwrap_or(EncodingWord::Hex)),
            headers: headers?,
        }))
    }

    fn message_signature(
        &mut self,
        written: MessageSignatureDocument,
        place: Place<'_>,
    ) -> Signing {
        let algorithm = algorithm(written.algorithm);
        if written.key_encoding.is_some() && algorithm != MessageAlgorithm::HmacSha256 {
            let message = "a key of this algorithm is in PEM";
            let help = "remove `key_encoding`, which is for `hmac-sha256`";
            self.fault(
                Code::BadCombination,
                place.field("key_encoding"),
                message,
                help,
            );
        }
        let components = self.components(
            &written.components,
            &written.if_present.unwrap_or_default(),
            place,
        );
        let label = written.label.unwrap_or_else(|| "sig1".to_owned());
        self.signature_label(&label, place.field("label"));
        if let Some(tag) = &written.tag {
            self.quoted_word(tag, place.field("tag"));
        }
        let expires = written.expires.as_ref().map(|span| {
            let place = place.field("expires");
            self.duration(Some(span), LEAST_EXPIRY, LEAST_EXPIRY, place)
        });
        Signing::Message(MessageSigning {
            key: self.named_field(written.key, "private_key", place.field("key")),
            key_form: key_form(written.key_encoding),
            algorithm,
            components,
            key_id: self.key_id(written.key_id, written.key_id_field, place),
            label,
            tag: written.tag,
            expires,
            nonce: written.nonce.unwrap_or_default(),
            shows_algorithm: written.show_algorithm.unwrap_or(true),
        })
    }

    fn key_id(
        &mut self,
        named: Option<String>,
        field: Option<String>,
        place: Place<'_>,
    ) -> Option<KeyId> {
        match (named, field) {
            (Some(name), None) => {
                self.quoted_word(&name, place.field("key_id"));
                Some(KeyId::Named(name))
            }
            (None, Some(field)) => {
                self.field_name(&field, place.field("key_id_field"));
                Some(KeyId::Field(field))
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                let message = "the key has one name";
                let help = "remove `key_id` or `key_id_field`";
                self.fault(
                    Code::BadCombination,
                    place.field("key_id_field"),
                    message,
                    help,
                );
                None
            }
        }
    }

    fn components(
        &mut self,
        named: &[String],
        if_present: &[String],
        place: Place<'_>,
    ) -> Vec<Component> {
        let mut components = Vec::new();
        let always = named.iter().enumerate();
        let always = always.map(|(at, it)| (it, place.field("components").item(at), false));
        let sometimes = if_present.iter().enumerate();
        let sometimes = sometimes.map(|(at, it)| (it, place.field("if_present").item(at), true));
        for (name, at, is_optional) in always.chain(sometimes) {
            let component = match derived(name).filter(|_| !is_optional) {
                Some(component) => component,
                None => Component::Header {
                    name: self.covered_header(name, at),
                    is_optional,
                },
            };
            let is_twice = components.iter().any(|it| covers_same(it, &component));
            if is_twice {
                let help = "name it once";
                self.fault(Code::BadCombination, at, "this is covered already", help);
            }
            components.push(component);
        }
        components
    }

    /// Checks the name of a header that a signature covers.
    fn covered_header(&mut self, name: &str, place: Place<'_>) -> String {
        if name.starts_with('@') {
            self.report.hide_unless_name(place.node());
            let message = "there is no such component";
            let help = "it is one of @method, @target-uri, @authority, @scheme, @request-target, @path \
                        and @query, or the name of a header, which always comes behind `if_present`";
            self.fault(Code::UnknownValue, place, message, help);
            return name.to_owned();
        }
        if name.eq_ignore_ascii_case("content-length") {
            let message = "`content-length` may change on the way";
            let help = "cover `content-digest` instead, which holds for the body";
            self.fault(Code::BadHeader, place, message, help);
            return name.to_owned();
        }
        if ["signature", "signature-input"].contains(&&*name.to_ascii_lowercase()) {
            let message = "a signature can't cover itself";
            self.fault(Code::BadHeader, place, message, "choose another header");
        }
        self.header_name(name, place)
    }

    fn named_field(&mut self, written: Option<String>, default: &str, place: Place<'_>) -> String {
        if let Some(name) = &written {
            self.field_name(name, place);
        }
        written.unwrap_or_else(|| default.to_owned())
    }

    /// Checks the name of a region or a service.
    fn scope_word(&mut self, text: &str, place: Place<'_>) {
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        if text.is_empty() || text.len() > MAX_WORD || !text.bytes().all(plain) {
            self.report.hide_unless_name(place.node());
            let message = "this is not the name of a region or a service of AWS";
            let help = "it is small letters, digits and `-`, like `eu-west-1` or `s3`";
            self.fault(Code::BadName, place, message, help);
        }
    }

    /// Checks a key of a dictionary, by RFC 8941 §3.2.
    fn signature_label(&mut self, text: &str, place: Place<'_>) {
        let plain =
            |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-.*".contains(&it);
        let begins = text.starts_with(|it: char| it.is_ascii_lowercase() || it == '*');
        if !begins || text.len() > MAX_WORD || !text.bytes().all(plain) {
            self.report.hide_unless_name(place.node());
            let message = "this is not the name of a signature";
            let help = "it begins with a small letter, like `sig1`";
            self.fault(Code::BadName, place, message, help);
        }
    }

    /// Checks a word that stands in quotes and may look like a secret.
    fn quoted_word(&mut self, text: &str, place: Place<'_>) {
        if !crate::words::may_be_shown(text) {
            self.report.hide(place.node());
            let message = "this is not a plain name";
            let help =
                "it is letters, digits, `.`, `_` and `-`; what a provider draws stands in a field";
            self.fault(Code::BadName, place, message, help);
        }
    }
}

fn derived(name: &str) -> Option<Component> {
    Some(match name {
        "@method" => Component::Method,
        "@target-uri" => Component::TargetUri,
        "@authority" => Component::Authority,
        "@scheme" => Component::Scheme,
        "@request-target" => Component::RequestTarget,
        "@path" => Component::Path,
        "@query" => Component::Query,
        name if name.eq_ignore_ascii_case("content-digest") => Component::ContentDigest,
        _ => return None,
    })
}

fn covers_same(one: &Component, other: &Component) -> bool {
    match (one, other) {
        (Component::Header { name, .. }, Component::Header { name: other, .. }) => name == other,
        _ => one == other,
    }
}

fn key_form(word: Option<KeyEncodingWord>) -> KeyForm {
    match word {
        None | Some(KeyEncodingWord::Plain) => KeyForm::Plain,
        Some(KeyEncodingWord::Base64) => KeyForm::Base64,
        Some(KeyEncodingWord::Hex) => KeyForm::Hex,
    }
}

fn time_form(word: Option<TimestampWord>) -> TimeForm {
    match word {
        None | Some(TimestampWord::Unix) => TimeForm::Unix,
        Some(TimestampWord::UnixMs) => TimeForm::UnixMillis,
        Some(TimestampWord::Rfc3339) => TimeForm::Rfc3339,
        Some(TimestampWord::Basic) => TimeForm::Basic,
        Some(TimestampWord::HttpDate) => TimeForm::HttpDate,
    }
}

const fn algorithm(word: MessageAlgorithmWord) -> MessageAlgorithm {
    match word {
        MessageAlgorithmWord::HmacSha256 => MessageAlgorithm::HmacSha256,
        MessageAlgorithmWord::Ed25519 => MessageAlgorithm::Ed25519,
        MessageAlgorithmWord::EcdsaP256Sha256 => MessageAlgorithm::EcdsaP256Sha256,
        MessageAlgorithmWord::RsaPssSha512 => MessageAlgorithm::RsaPssSha512,
    }
}

const MAX_WORD: usize = 64;
const LEAST_EXPIRY: Duration = Duration::from_secs(1);
