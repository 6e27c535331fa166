//! Tokens that the gateway has signed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{ClaimPart, ClaimText, JwtAlgorithm, JwtKey, JwtTerms};

use super::Check;
use super::source::Kind;
use crate::code::Code;
use crate::document::{JwtAlgorithmWord, JwtSourceDocument, OneOrMany, SourceDocument};
use crate::node::Place;
use crate::snapshot::{Per, Source};

impl Check<'_> {
    /// Reads a token that is signed; `kind` is unknown where the provider has a fault.
    pub(super) fn minted(
        &mut self,
        (from, jwt): (&SourceDocument, &JwtSourceDocument),
        kind: Option<Kind>,
        per: Per,
        place: Place<'_>,
    ) -> Option<Source> {
        let key = self.jwt_key(from, jwt, kind, place);
        let place = place.field("jwt");
        let subject = self.claim(&jwt.subject, per, place.field("subject"));
        let mut claims = BTreeMap::new();
        for (name, text) in &jwt.claims {
            let at = place.field("claims").field(name);
            self.claim_name(name, at);
            claims.extend(self.claim(text, per, at).map(|it| (name.clone(), it)));
        }
        self.plain(&jwt.issuer, place.field("issuer"));
        let audiences = match &jwt.audience {
            OneOrMany::One(one) => vec![one.clone()],
            OneOrMany::Many(many) => many.clone(),
        };
        if audiences.is_empty() {
            let message = "a token without an audience is good for everybody";
            let help = "name whom it is for";
            self.fault(Code::Empty, place.field("audience"), message, help);
        }
        for audience in &audiences {
            self.plain(audience, place.field("audience"));
        }
        let lifetime = self.lifetime(jwt, place.field("lifetime"));
        let terms = JwtTerms {
            algorithm: algorithm(jwt.algorithm),
            issuer: jwt.issuer.clone(),
            audiences,
            subject: subject?,
            claims,
            lifetime,
        };
        Some(Source::Minted {
            key: key?,
            terms: Arc::new(terms),
        })
    }

    /// Reads where the key is: each kind of provider has it in a place of its own.
    fn jwt_key(
        &mut self,
        from: &SourceDocument,
        jwt: &JwtSourceDocument,
        kind: Option<Kind>,
        place: Place<'_>,
    ) -> Option<JwtKey> {
        let at_jwt = place.field("jwt");
        let at_transit = [("key", jwt.key.is_some()), ("mount", jwt.mount.is_some())];
        match kind? {
            Kind::Oauth => None,
            Kind::Vault => {
                let help = "a key of Vault is named by `key` and `mount` in `jwt`: remove it";
                self.out_of_place("path", from.path.is_some(), place, help);
                self.out_of_place("key_field", jwt.key_field.is_some(), at_jwt, help);
                let Some(name) = &jwt.key else {
                    let message = "there is no `key` that signs it";
                    let help = "write the name of a key of the transit engine, like `key: partner`";
                    self.fault(Code::MissingField, at_jwt, message, help);
                    return None;
                };
                let mount = jwt.mount.as_deref().unwrap_or("transit");
                if name.contains('/') {
                    let help = "write the mount in `mount`, and the name alone in `key`";
                    let message = "this is a path and not the name of a key";
                    self.fault(Code::BadPath, at_jwt.field("key"), message, help);
                }
                Some(JwtKey::Transit {
                    mount: self.segments(mount, at_jwt.field("mount")),
                    name: self.segments(name, at_jwt.field("key")),
                })
            }
            Kind::Native => {
                let help =
                    "a key of the native provider is named by `path`, beside `jwt`: remove it";
                for (name, is_written) in at_transit {
                    self.out_of_place(name, is_written, at_jwt, help);
                }
                let Some(path) = &from.path else {
                    let message = "there is no `path` of the key that signs it";
                    let help = "write where the key is in the encrypted file, like \
                                `path: keys/partner`, beside `jwt`";
                    self.fault(Code::MissingField, at_jwt, message, help);
                    return None;
                };
                let field = jwt.key_field.as_deref().unwrap_or("private_key");
                self.field_name(field, at_jwt.field("key_field"));
                Some(JwtKey::Stored {
                    path: self.segments(path, place.field("path")),
                    field: field.to_owned(),
                })
            }
        }
    }

    fn out_of_place(&mut self, name: &str, is_written: bool, place: Place<'_>, help: &str) {
        if is_written {
            let message = format!("`{name}` does not go with a key of this provider");
            self.fault(Code::BadCombination, place.field(name), message, help);
        }
    }

    fn lifetime(&mut self, jwt: &JwtSourceDocument, place: Place<'_>) -> Duration {
        let lifetime = self.duration(jwt.lifetime.as_ref(), DEFAULT_LIFE, LEAST_LIFE, place);
        if lifetime > LONGEST_LIFE {
            let message = "a token of more than an hour can't be taken back for that long";
            let help = "write `1h` or less: it is replaced by itself";
            self.fault(Code::OutOfRange, place, message, help);
        }
        lifetime
    }

    /// Reads the text of a claim, in which `{consumer}` stands for the consumer's name.
    fn claim(&mut self, text: &str, per: Per, place: Place<'_>) -> Option<ClaimText> {
        self.plain(text, place);
        let mut parts = Vec::new();
        for (at, piece) in text.split(CONSUMER).enumerate() {
            if at > 0 {
                parts.push(ClaimPart::Consumer);
            }
            if piece.contains(['{', '}']) {
                self.report.hide(place.node());
                let message = "a brace that is no part of `{consumer}`";
                let help = "a claim is plain text, or has `{consumer}` in it";
                self.fault(Code::BadTemplate, place, message, help);
                return None;
            }
            if !piece.is_empty() {
                parts.push(ClaimPart::Text(piece.to_owned()));
            }
        }
        if parts.contains(&ClaimPart::Consumer) && per == Per::Instance {
            let message = "this names the consumer, and one token serves all of them";
            let help = "add `per: consumer` to the credential, so that each consumer has its own";
            self.fault(Code::BadCombination, place, message, help);
        }
        Some(ClaimText(parts))
    }

    fn claim_name(&mut self, name: &str, place: Place<'_>) {
        let Some((_, instead)) = OWN.iter().find(|(own, _)| *own == name) else {
            return;
        };
        let message = format!("the claim `{name}` is written by the gateway");
        let help = format!("remove it: {instead}");
        self.fault(Code::BadCombination, place, message, &help);
    }

    /// Reports what no claim says.
    fn plain(&mut self, text: &str, place: Place<'_>) {
        if text.trim().is_empty() || text.contains(char::is_control) {
            self.report.hide_unless_name(place.node());
            let message = "a claim is text on one line";
            self.fault(Code::BadTemplate, place, message, "write one, or remove it");
        }
    }
}

const fn algorithm(word: JwtAlgorithmWord) -> JwtAlgorithm {
    match word {
        JwtAlgorithmWord::RS256 => JwtAlgorithm::Rs256,
        JwtAlgorithmWord::PS256 => JwtAlgorithm::Ps256,
        JwtAlgorithmWord::ES256 => JwtAlgorithm::Es256,
        JwtAlgorithmWord::ES384 => JwtAlgorithm::Es384,
        JwtAlgorithmWord::EdDSA => JwtAlgorithm::EdDsa,
    }
}

const CONSUMER: &str = "{consumer}";
/// The claims that are not among `claims`, and where each comes from.
const OWN: [(&str, &str); 7] = [
    ("iss", "it is `issuer`"),
    ("sub", "it is `subject`"),
    ("aud", "it is `audience`"),
    ("iat", "it is when the token was signed"),
    ("nbf", "it is a little before the token was signed"),
    ("exp", "it follows from `lifetime`"),
    ("jti", "it is another one for each token"),
];
const DEFAULT_LIFE: Duration = Duration::from_secs(5 * 60);
const LEAST_LIFE: Duration = Duration::from_secs(30);
const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);
