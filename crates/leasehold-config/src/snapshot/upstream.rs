use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::{CredentialName, Template, UpstreamName};
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
    /// What it is shown, where it wants anything.
    pub credential: Option<CredentialUse>,
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
    /// Which answers mean that it may be dead.
    pub suspect: Suspect,
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

impl Injection {
    /// Returns the header that it is shown in, where it is one.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Rendered { spot, .. } => match spot {
                Spot::Header { name, .. } => Some(name),
                Spot::Cookie(_) => Some("cookie"),
                Spot::Query(_) => None,
            },
            Self::Basic { .. } => Some("authorization"),
            Self::ClientCertificate { .. } => None,
        }
    }
}

/// How long to wait for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a new connection, TLS included.
    pub connect: Duration,
    /// For the head of the answer, and for each silence within it.
    pub response: Duration,
}
