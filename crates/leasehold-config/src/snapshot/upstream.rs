use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::{
    ConsumerName, CredentialName, RouteName, Signing, Template, UpstreamName, is_header_alias,
};
use url::Url;

use super::upstream_traffic::Traffic;

/// A service that requests are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: UpstreamName,
    /// Where it listens, at least one: scheme, host and port, and no more than that.
    pub endpoints: Vec<Url>,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// What it is shown, in the order of the document: at each place the first that is for the request.
    pub credentials: Vec<CredentialUse>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// How it is spoken to.
    pub traffic: Traffic,
}

/// A credential and its place in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialUse {
    /// The credential.
    pub credential: CredentialName,
    /// Its place.
    pub injection: Injection,
    /// Which requests it is for.
    pub selector: Selector,
    /// Which answers mean that it may be dead.
    pub suspect: Suspect,
}

/// Which requests a credential is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The consumers; none where it is for all, and for those whom nobody knows.
    pub consumers: Vec<ConsumerName>,
    /// The routes; none where it is for all.
    pub routes: Vec<RouteName>,
}

impl Selector {
    /// Tells whether it may be for a request of the route.
    pub(crate) fn may_be(&self, route: &RouteName) -> bool {
        self.routes.is_empty() || self.routes.contains(route)
    }

    /// Tells whether it is for each request that the other is for.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        fn covers<T: PartialEq>(these: &[T], others: &[T]) -> bool {
            let all = || !others.is_empty() && others.iter().all(|it| these.contains(it));
            these.is_empty() || all()
        }
        covers(&self.consumers, &other.consumers) && covers(&self.routes, &other.routes)
    }
}

impl Upstream {
    /// Returns what it is shown, by place: the alternatives at each of them, in their order.
    #[must_use]
    pub fn places(&self) -> Vec<Vec<&CredentialUse>> {
        let mut places: Vec<Vec<&CredentialUse>> = Vec::new();
        for used in &self.credentials {
            let place = used.injection.place();
            let is_there = |it: &&mut Vec<&CredentialUse>| {
                it.first().is_some_and(|it| it.injection.place() == place)
            };
            match places.iter_mut().find(is_there) {
                Some(alternatives) => alternatives.push(used),
                None => places.push(vec![used]),
            }
        }
        places
    }
}

/// Which answers mean that the credential may be dead, and what to do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The statuses, each from 400 to 499; none where no answer does.
    pub statuses: BTreeSet<u16>,
    /// Whether a request that can be sent again is sent once more with a newer generation.
    pub retry: bool,
}

/// The place of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injection {
    /// One field in a header.
    Header {
        /// The header's name in small letters.
        name: String,
        /// What stands before the value.
        prefix: String,
        /// The name of the field.
        field: String,
    },
    /// What a template makes of fields of one generation.
    Rendered {
        /// Its place.
        spot: Spot,
        /// The template.
        template: Template,
    },
    /// HTTP Basic authentication.
    Basic {
        /// The name of the field with the user name.
        username: String,
        /// The name of the field with the password.
        password: String,
    },
    /// A certificate at the TLS handshake. Each endpoint is `https`.
    ClientCertificate {
        /// The name of the field with the certificate.
        certificate: String,
        /// The name of the field with its key.
        key: String,
        /// The name of the field with those between it and its authority, where they are shown.
        chain: Option<String>,
    },
    /// A signature of each request.
    Signed(Signing),
}

/// Where what a template makes is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// In a header.
    Header {
        /// The header's name in small letters.
        name: String,
        /// What stands before the value.
        prefix: String,
    },
    /// In the query, as the parameter of that name.
    Query(String),
    /// As the cookie of that name.
    Cookie(String),
}

/// A place in a request, or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A header, in small letters.
    Header(&'a str),
    /// A parameter of the query.
    Query(&'a str),
    /// A cookie.
    Cookie(&'a str),
    /// The TLS handshake.
    Handshake,
    /// The headers that a signature is written in. A request is signed once.
    Signature(&'a Signing),
}

impl Place<'_> {
    /// Tells whether what stands at one of two that are not the same may be read as the other's.
    pub(crate) fn blurs(self, other: Self) -> bool {
        match (self, other) {
            (Self::Header(one), Self::Header(two)) => one != two && is_header_alias(one, two),
            (Self::Header(name), Self::Cookie(_)) | (Self::Cookie(_), Self::Header(name)) => {
                is_header_alias(name, "cookie")
            }
            (Self::Signature(one), Self::Signature(two)) => one != two,
            (Self::Signature(signing), Self::Header(name))
            | (Self::Header(name), Self::Signature(signing)) => {
                let written = written_by(signing);
                written.iter().any(|it| is_header_alias(it, name))
            }
            (Self::Query(one), Self::Query(two)) | (Self::Cookie(one), Self::Cookie(two)) => {
                one != two && reads_alike(one, two)
            }
            _ => false,
        }
    }
}

/// Tells whether some server reads two names of parameters or cookies as one, as `leasehold-inject` takes
/// them out: letters of either case, `_` for `.`, and `a.b` for a part of `a`.
fn reads_alike(one: &str, two: &str) -> bool {
    let fold = |name: &str| name.replace('.', "_").to_ascii_lowercase();
    let start = |name: &str| fold(name.split('.').next().unwrap_or_default());
    fold(one) == fold(two) || start(one) == fold(two) || fold(one) == start(two)
}

impl Injection {
    /// Returns its place.
    pub(crate) fn place(&self) -> Place<'_> {
        match self {
            Self::Header { name, .. } => Place::Header(name),
            Self::Rendered { spot, .. } => match spot {
                Spot::Header { name, .. } => Place::Header(name),
                Spot::Query(name) => Place::Query(name),
                Spot::Cookie(name) => Place::Cookie(name),
            },
            Self::Basic { .. } => Place::Header("authorization"),
            Self::ClientCertificate { .. } => Place::Handshake,
            Self::Signed(signing) => Place::Signature(signing),
        }
    }

    /// Returns the headers that it is shown in, where it is in headers.
    pub(crate) fn headers(&self) -> Vec<&str> {
        match self.place() {
            Place::Header(name) => vec![name],
            Place::Cookie(_) => vec!["cookie"],
            Place::Signature(signing) => written_by(signing),
            Place::Query(_) | Place::Handshake => Vec::new(),
        }
    }
}

/// Returns the headers that a signature is written in.
fn written_by(signing: &Signing) -> Vec<&str> {
    match signing {
        Signing::SigV4(_) => SIGV4.to_vec(),
        Signing::Hmac(rule) => rule.headers.iter().map(|(it, _)| &**it).collect(),
        Signing::Message(_) => MESSAGE.to_vec(),
    }
}

const SIGV4: [&str; 4] = [
    "authorization",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-security-token",
];
const MESSAGE: [&str; 3] = ["signature", "signature-input", "content-digest"];

/// How long to wait for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a new connection, TLS included.
    pub connect: Duration,
    /// For the head of the answer, and for each silence within it.
    pub response: Duration,
}
