//! Whose tokens are taken, and what upstreams are told of it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use leasehold_model::{IssuerName, is_header_alias};
use url::{Host, Url};

use super::url::has_user_info;
use super::{Check, in_order};
use crate::code::Code;
use crate::document::{AlgorithmWord, IdentityHeadersDocument, JwksDocument, TokenIssuerDocument};
use crate::node::Place;
use crate::snapshot::Snapshot;
use crate::snapshot::issuer::{IdentityHeaders, Jwks, JwksSource, TokenIssuer};

impl Check<'_> {
    pub(super) fn token_issuers(
        &mut self,
        issuers: BTreeMap<String, TokenIssuerDocument>,
        key_header: &str,
        root: Place<'_>,
    ) -> Vec<TokenIssuer> {
        let section = root.field("token_issuers");
        let mut known = HashSet::new();
        let mut read = Vec::new();
        for (name, written) in in_order(issuers, section) {
            let place = section.field(&name);
            if !known.insert(written.issuer.clone()) {
                let message = "another entry has this issuer";
                let help = "a token names one issuer: put the audiences of both into one entry";
                self.fault(
                    Code::DuplicateIdentity,
                    place.field("issuer"),
                    message,
                    help,
                );
            }
            read.push(self.token_issuer(&name, written, key_header, place));
        }
        read
    }

    fn token_issuer(
        &mut self,
        name: &str,
        written: TokenIssuerDocument,
        key_header: &str,
        place: Place<'_>,
    ) -> TokenIssuer {
        if written.issuer.is_empty() || written.audiences.iter().any(String::is_empty) {
            let message = "an issuer and an audience are texts that tokens have";
            let help = "write them as they stand in `iss` and `aud`";
            self.fault(Code::BadName, place, message, help);
        }
        let at_skew = place.field("clock_skew");
        let skew = written.clock_skew.as_ref();
        let clock_skew = self.duration(skew, DEFAULT_SKEW, Duration::ZERO, at_skew);
        if clock_skew > MOST_SKEW {
            let message = "a token would be taken more than five minutes past its end";
            self.fault(
                Code::OutOfRange,
                at_skew,
                message,
                "set the clocks right instead",
            );
        }
        let at_size = place.field("max_token_size");
        let size = self.size(written.max_token_size.as_ref(), at_size);
        let size = size.map_or(DEFAULT_SIZE, |it| usize::try_from(it).unwrap_or(usize::MAX));
        if size > MOST_SIZE {
            self.fault(
                Code::OutOfRange,
                at_size,
                "this must be at most `64KiB`",
                "",
            );
        }
        let at_header = place.field("header");
        let header = match written.header {
            Some(text) => self.header_name(&text, at_header),
            None => DEFAULT_HEADER.to_owned(),
        };
        if is_header_alias(&header, key_header) {
            let at = if at_header.node().text().is_some() {
                at_header
            } else {
                place
            };
            let message = format!("`{header}` carries the consumer keys");
            let help = "keys and tokens need a header each: set `consumer_key_header` or `header`";
            self.fault(Code::BadHeader, at, message, help);
        }
        let algorithms = written.algorithms.unwrap_or_else(|| ALGORITHMS.to_vec());
        TokenIssuer {
            name: IssuerName::from(name),
            identifier: written.issuer,
            keys: self.jwks(written.jwks, place.field("jwks")),
            audiences: written.audiences,
            algorithms: algorithms.into_iter().map(word).collect(),
            clock_skew,
            header,
            max_token_size: size,
        }
    }

    fn jwks(&mut self, written: JwksDocument, place: Place<'_>) -> Jwks {
        let refresh = written.refresh.as_ref();
        let refresh = self.duration(
            refresh,
            DEFAULT_REFRESH,
            LEAST_REFRESH,
            place.field("refresh"),
        );
        let stale = written.max_stale.as_ref();
        let default = DEFAULT_STALE.max(refresh);
        let max_stale = self.duration(stale, default, refresh, place.field("max_stale"));
        let from = match (written.url, written.file) {
            (Some(url), None) => {
                let url = self.jwks_url(&url, place.field("url"));
                let ca = written.ca.map(|path| self.path(path));
                url.map(|url| JwksSource::Url { url, ca })
            }
            (None, Some(file)) => {
                if written.ca.is_some() {
                    let message = "`ca` does not go with `file`";
                    self.fault(
                        Code::BadCombination,
                        place.field("ca"),
                        message,
                        "remove `ca`",
                    );
                }
                Some(JwksSource::File(self.path(file)))
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = "keys are at exactly one of `url` and `file`";
                self.fault(Code::BadCombination, place, message, "");
                None
            }
        };
        Jwks {
            // Where there is none, there is a fault.
            from: from.unwrap_or_else(|| JwksSource::File(self.path("".into()))),
            refresh,
            max_stale,
        }
    }

    fn jwks_url(&mut self, text: &str, place: Place<'_>) -> Option<Url> {
        self.mask_url(text, place);
        let problem = match Url::parse(text) {
            Err(_) => "this is not a URL",
            Ok(url) if has_user_info(&url) => "this URL has a user name or password",
            Ok(url) if url.fragment().is_some() => "this URL has a fragment",
            Ok(url) if url.scheme() == "https" || is_local(&url) => return Some(url),
            Ok(_) => "keys that come without TLS can be anybody's",
        };
        let help = "write it like `https://issuer.internal/.well-known/jwks.json`; `http` is for \
                    this machine itself only";
        self.fault(Code::BadUrl, place, problem, help);
        None
    }

    pub(super) fn identity_headers(
        &mut self,
        written: Option<IdentityHeadersDocument>,
        root: Place<'_>,
    ) -> IdentityHeaders {
        let place = root.field("identity_headers");
        let written = written.unwrap_or_default();
        let mut name = |text: Option<String>, field| {
            text.map(|text| self.header_name(&text, place.field(field)))
        };
        IdentityHeaders {
            consumer: name(written.consumer, "consumer"),
            subject: name(written.subject, "subject"),
            issuer: name(written.issuer, "issuer"),
            scopes: name(written.scopes, "scopes"),
            authenticated_by: name(written.authenticated_by, "authenticated_by"),
        }
    }

    /// Reports headers with a caller's identity that something else is in as well: a key, a token, a
    /// credential or another part of the identity.
    pub(super) fn identity_is_apart(&mut self, snapshot: &Snapshot, root: Place<'_>) {
        let place = root.field("identity_headers");
        let shown = snapshot.shown_in().chain(snapshot.credentials_in());
        let mut taken: Vec<&str> = shown.collect();
        for (field, name) in snapshot.identity_headers.named() {
            if taken.iter().any(|it| is_header_alias(it, name)) {
                let message = format!("`{name}` holds something else already");
                let help = "each part of an identity has a header that is for nothing else";
                self.fault(Code::BadHeader, place.field(field), message, help);
            }
            taken.push(name);
        }
    }
}

fn is_local(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

const fn word(algorithm: AlgorithmWord) -> &'static str {
    match algorithm {
        AlgorithmWord::RS256 => "RS256",
        AlgorithmWord::RS384 => "RS384",
        AlgorithmWord::RS512 => "RS512",
        AlgorithmWord::PS256 => "PS256",
        AlgorithmWord::PS384 => "PS384",
        AlgorithmWord::PS512 => "PS512",
        AlgorithmWord::ES256 => "ES256",
        AlgorithmWord::ES384 => "ES384",
        AlgorithmWord::EdDSA => "EdDSA",
    }
}

const ALGORITHMS: [AlgorithmWord; 9] = [
    AlgorithmWord::RS256,
    AlgorithmWord::RS384,
    AlgorithmWord::RS512,
    AlgorithmWord::PS256,
    AlgorithmWord::PS384,
    AlgorithmWord::PS512,
    AlgorithmWord::ES256,
    AlgorithmWord::ES384,
    AlgorithmWord::EdDSA,
];
const DEFAULT_HEADER: &str = "authorization";
const DEFAULT_SKEW: Duration = Duration::from_secs(30);
const MOST_SKEW: Duration = Duration::from_secs(300);
const DEFAULT_SIZE: usize = 8 * 1024;
const MOST_SIZE: usize = 64 * 1024;
const DEFAULT_REFRESH: Duration = Duration::from_secs(300);
const LEAST_REFRESH: Duration = Duration::from_secs(1);
const DEFAULT_STALE: Duration = Duration::from_secs(24 * 3600);
