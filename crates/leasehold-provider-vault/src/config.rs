pub(crate) mod auth;

use std::io;
use std::path::PathBuf;

use leasehold_model::{InstanceName, ProviderName};
use url::Url;

use auth::AuthMethod;

/// Where a Vault or OpenBao cluster is and how to log in to it.
///
/// Holds no secret: each is named by the place that it is read from.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// The declared name of the provider.
    pub name: ProviderName,
    /// The addresses of the cluster's nodes, in order of preference.
    ///
    /// The token is sent to these and to no other, whatever a node redirects to.
    pub addresses: Vec<Url>,
    /// The namespace that every call is made in.
    pub namespace: Option<String>,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// How to log in.
    pub auth: AuthMethod,
    /// The name of this instance, which is written into each anchor.
    pub instance: InstanceName,
    /// The token role that anchors are minted through; without it there are none.
    pub token_role: Option<String>,
}

/// Why a provider could not be set up from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no address to call.
    #[error("no address is configured")]
    NoAddress,
    /// An address is not that of a Vault node.
    #[error("address {address} {problem}")]
    Address {
        /// The address, without what it holds of user name and password.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The namespace can't stand in a header.
    #[error("namespace {namespace:?} holds characters that no namespace has")]
    Namespace {
        /// The namespace.
        namespace: String,
    },
    /// The mount of the auth method is not a path.
    #[error("mount {mount:?} {problem}")]
    Mount {
        /// The mount.
        mount: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A login shows a certificate, and an address is reached without TLS.
    #[error("address {address} is not https, and a login with a certificate needs tls")]
    CertificateWithoutTls {
        /// The address.
        address: String,
    },
    /// The token role is not the name of one.
    #[error("token role {role:?} {problem}")]
    TokenRole {
        /// The role.
        role: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The file of authorities could not be read.
    #[error("read authorities from {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file of authorities holds none.
    #[error("no certificate in PEM form in {}", path.display())]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The HTTP client refused its settings, an authority that is no certificate among them.
    #[error("set up the http client")]
    Http {
        /// What the HTTP client said.
        #[source]
        source: reqwest::Error,
    },
}
