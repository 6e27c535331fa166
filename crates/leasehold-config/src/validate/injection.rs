mod signing;
mod template;

use std::collections::BTreeMap;

use super::Check;
use crate::code::Code;
use crate::document::{
    BasicDocument, ClientCertificateDocument, CredentialDocument, InjectionDocument,
};
use crate::node::Place;
use crate::snapshot::upstream::Injection;

/// The field that each credential without a fault names for its headers, if it names one.
pub(super) type Fields = BTreeMap<String, Option<String>>;

impl Check<'_> {
    pub(super) fn header_fields(
        &self,
        credentials: &BTreeMap<String, CredentialDocument>,
        root: Place<'_>,
    ) -> Fields {
        let section = root.field("credentials");
        credentials
            .iter()
            .filter(|(name, _)| {
                let place = section.field(name).field("from");
                self.is_whole(&["credentials", name, "from"], place)
            })
            .map(|(name, credential)| (name.clone(), credential.from.field.clone()))
            .collect()
    }

    /// Reads where a credential is placed; `at_credential` is the field that it names itself, and
    /// nothing where the credential has a fault. An injection that is not `whole` has one.
    pub(super) fn injection(
        &mut self,
        written: InjectionDocument,
        at_credential: Option<Option<String>>,
        whole: bool,
        place: Place<'_>,
    ) -> Option<Injection> {
        if written.is_signed() {
            return self.signed(written, whole, place);
        }
        if written.is_rendered() {
            return self.rendered(written, at_credential, whole, place);
        }
        match (&written.header, written.basic, written.client_certificate) {
            (Some(header), None, None) => {
                let name = self.header_name(header, place.field("header"));
                let prefix = self.prefix(written.prefix, place.field("prefix"));
                let field = self.header_field(written.field, at_credential, whole, place)?;
                Some(Injection::Header {
                    name,
                    prefix,
                    field,
                })
            }
            (None, Some(basic), None) if written.prefix.is_none() && written.field.is_none() => {
                Some(self.basic(basic, place.field("basic")))
            }
            (None, None, Some(shown)) if written.prefix.is_none() && written.field.is_none() => {
                Some(self.client_certificate(shown, place.field("client_certificate")))
            }
            _ if !whole => None,
            _ => {
                self.no_one_place(place);
                None
            }
        }
    }

    pub(super) fn no_one_place(&mut self, place: Place<'_>) {
        let message = "a credential is placed by `header`, `query`, `cookie`, `basic` or \
                       `client_certificate`, or requests are signed by `sigv4`, `hmac` or \
                       `message_signature`: one of them";
        let help = "`{ header: X-Api-Key, prefix: \"Bearer \", field: key }`, or \
                    `{ basic: { username: username, password: password } }`";
        self.fault(Code::BadCombination, place, message, help);
    }

    fn basic(&mut self, basic: BasicDocument, place: Place<'_>) -> Injection {
        let BasicDocument { username, password } = basic;
        self.field_name(&username, place.field("username"));
        self.field_name(&password, place.field("password"));
        Injection::Basic { username, password }
    }

    fn client_certificate(
        &mut self,
        written: ClientCertificateDocument,
        place: Place<'_>,
    ) -> Injection {
        let mut name = |written: Option<String>, field| {
            if let Some(text) = &written {
                self.field_name(text, place.field(field));
            }
            written
        };
        let certificate = name(written.certificate, "certificate");
        let key = name(written.key, "key");
        Injection::ClientCertificate {
            certificate: certificate.unwrap_or_else(|| "certificate".to_owned()),
            key: key.unwrap_or_else(|| "private_key".to_owned()),
            chain: name(written.chain, "chain"),
        }
    }

    /// Returns the name of the field that a header shows.
    pub(super) fn header_field(
        &mut self,
        here: Option<String>,
        at_credential: Option<Option<String>>,
        whole: bool,
        place: Place<'_>,
    ) -> Option<String> {
        if let Some(field) = &here {
            self.field_name(field, place.field("field"));
        }
        let known = at_credential.is_some() && whole;
        let field = here.or(at_credential.flatten());
        if field.is_none() && known {
            let message = "say which field of the credential is shown";
            let help = "add `field` here or to the credential's `from`";
            self.fault(Code::MissingField, place, message, help);
        }
        field
    }

    /// Reads what stands before the value. It is short and plain, or it is part of a secret.
    pub(super) fn prefix(&mut self, written: Option<String>, place: Place<'_>) -> String {
        let prefix = written.unwrap_or_default();
        if !is_prefix(&prefix) {
            self.report.hide(place.node());
            let message = "this is not what stands before a credential in a header";
            let help = "a prefix is a word or two, like `\"Bearer \"` or `\"Token token=\"`";
            self.fault(Code::BadHeader, place, message, help);
        }
        prefix
    }
}

fn is_prefix(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let plain = |each: u8| each.is_ascii_alphanumeric() || b" =:-_".contains(&each);
    text.len() <= MAX_PREFIX && digits <= MAX_PREFIX_DIGITS && text.bytes().all(plain)
}

const MAX_PREFIX: usize = 32;
const MAX_PREFIX_DIGITS: usize = 2;
