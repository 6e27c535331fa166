use std::collections::{BTreeMap, HashSet};

use leasehold_model::{ConsumerName, IssuerName};

use super::{Check, ISSUER, in_order};
use crate::code::Code;
use crate::document::{
    ConsumerCertificateDocument, ConsumerDocument, ConsumerKeyDocument, ConsumerTokenDocument,
};
use crate::node::Place;
use crate::secret_scan::CONSUMER_KEY_HELP;
use crate::snapshot::consumer::{Consumer, ConsumerCertificate, ConsumerToken};

impl Check<'_> {
    pub(super) fn consumers(
        &mut self,
        consumers: BTreeMap<String, ConsumerDocument>,
        root: Place<'_>,
    ) -> Vec<Consumer> {
        let section = root.field("consumers");
        let mut known = Known::default();
        let mut read = Vec::new();
        for (name, consumer) in in_order(consumers, section) {
            let place = section.field(&name);
            read.push(self.consumer(&name, &consumer, &mut known, place));
        }
        read
    }

    fn consumer(
        &mut self,
        name: &str,
        written: &ConsumerDocument,
        known: &mut Known,
        place: Place<'_>,
    ) -> Consumer {
        let ways = [
            written.keys.is_some(),
            written.tokens.is_some(),
            written.certificates.is_some(),
        ];
        // One that was written and has a fault of its own is not missing.
        if ways == [false; 3] && self.is_whole(&["consumers", name], place) {
            let message = "nothing tells when it is this consumer who calls";
            let help = "give it `keys`, `tokens` or `certificates`";
            self.fault(Code::BadCombination, place, message, help);
        }
        let mut keys = Vec::new();
        for (index, key) in written.keys.iter().flatten().enumerate() {
            let place = place.field("keys").item(index).field("sha256");
            keys.extend(self.digest(key, &mut known.keys, place));
        }
        let mut tokens = Vec::new();
        for (index, token) in written.tokens.iter().flatten().enumerate() {
            tokens.push(self.consumer_token(token, place.field("tokens").item(index)));
        }
        let mut certificates = Vec::new();
        for (index, certificate) in written.certificates.iter().flatten().enumerate() {
            let place = place.field("certificates").item(index);
            certificates.extend(self.certificate(certificate, known, place));
        }
        let scopes = written.scopes.clone().unwrap_or_default();
        self.scopes(&scopes, place.field("scopes"));
        Consumer {
            name: ConsumerName::from(name),
            keys,
            tokens,
            certificates,
            scopes,
        }
    }

    fn consumer_token(
        &mut self,
        written: &ConsumerTokenDocument,
        place: Place<'_>,
    ) -> ConsumerToken {
        self.reference(&written.issuer, ISSUER, place.field("issuer"));
        if written.subject.is_none() && written.claims.is_empty() {
            let message = "every token of the issuer would be this consumer's";
            let help = "say which ones by `subject`, by `claims`, or by both";
            self.fault(Code::BadCombination, place, message, help);
        }
        ConsumerToken {
            issuer: IssuerName::from(written.issuer.as_str()),
            subject: written.subject.clone(),
            claims: written.claims.clone().into_iter().collect(),
        }
    }

    fn certificate(
        &mut self,
        written: &ConsumerCertificateDocument,
        known: &mut Known,
        place: Place<'_>,
    ) -> Option<ConsumerCertificate> {
        let ConsumerCertificateDocument {
            san_uri,
            san_dns,
            subject,
            sha256,
        } = written;
        let read = match (san_uri, san_dns, subject, sha256) {
            (Some(uri), None, None, None) => ConsumerCertificate::SanUri(uri.clone()),
            (None, Some(name), None, None) => {
                ConsumerCertificate::SanDns(name.to_ascii_lowercase())
            }
            (None, None, Some(subject), None) => ConsumerCertificate::Subject(subject.clone()),
            (None, None, None, Some(text)) => {
                let mut digest = [0; 32];
                if hex::decode_to_slice(text, &mut digest).is_err() {
                    let message = "this is not a SHA-256: 64 hexadecimal digits";
                    let help = "it is that of the certificate in DER, without colons";
                    self.fault(Code::BadDigest, place.field("sha256"), message, help);
                    return None;
                }
                ConsumerCertificate::Sha256(digest)
            }
            _ => {
                let message = "a certificate is told by exactly one of `san_uri`, `san_dns`, \
                               `subject` and `sha256`";
                let help = "write an entry of its own for each";
                self.fault(Code::BadCombination, place, message, help);
                return None;
            }
        };
        if !known.certificates.insert(read.clone()) {
            let message = "this certificate is declared already";
            let help = "a certificate tells who is calling, so each belongs to one consumer";
            self.fault(Code::DuplicateIdentity, place, message, help);
        }
        Some(read)
    }

    /// Checks scopes, which are written as RFC 6749 has them.
    pub(super) fn scopes(&mut self, scopes: &[String], place: Place<'_>) {
        for (index, scope) in scopes.iter().enumerate() {
            let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
            if scope.is_empty() || !scope.bytes().all(fits) {
                let message = "this is not a scope";
                let help = "write one each, without spaces and quotes, like `orders:write`";
                self.fault(Code::BadName, place.item(index), message, help);
            }
        }
    }

    /// Reads a key's digest, which no other key may have.
    fn digest(
        &mut self,
        key: &ConsumerKeyDocument,
        known: &mut HashSet<[u8; 32]>,
        place: Place<'_>,
    ) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        if hex::decode_to_slice(&key.sha256, &mut digest).is_err() {
            // Whoever mistook the field wrote the key itself.
            self.report.hide(place.node());
            let message = "this is not a SHA-256: 64 hexadecimal digits";
            self.fault(Code::BadDigest, place, message, CONSUMER_KEY_HELP);
            return None;
        }
        if !known.insert(digest) {
            let message = "this consumer key is declared already";
            let help = "a key tells who is calling, so each belongs to one consumer";
            self.fault(Code::DuplicateConsumerKey, place, message, help);
        }
        Some(digest)
    }
}

/// What consumers are told by so far.
#[derive(Default)]
struct Known {
    keys: HashSet<[u8; 32]>,
    certificates: HashSet<ConsumerCertificate>,
}
