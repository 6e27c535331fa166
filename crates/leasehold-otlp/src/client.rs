use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::{Certificate, redirect, retry};
use url::Url;

/// Why no collector can be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of authorities can't be read.
    #[error("read the certificate authorities from {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: std::io::Error,
    },
    /// The file of authorities holds none.
    #[error("there is no certificate authority in {}", path.display())]
    NoCa {
        /// The file.
        path: PathBuf,
    },
    /// The client can't be made.
    #[error("set up the client that speaks to the collector")]
    Client(#[source] reqwest::Error),
}

/// Makes the client that speaks to a collector, and to nobody that it names.
pub(crate) fn client(
    endpoint: &Url,
    ca: Option<&PathBuf>,
    limit: Duration,
) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        // The exporter tries again, and knows after what.
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .timeout(limit);
    match ca {
        Some(path) => builder = builder.tls_certs_only(authorities(path)?),
        // The system's authorities are not looked for where nothing would be checked by them.
        None if endpoint.scheme() == "http" => builder = builder.tls_certs_only([]),
        None => {}
    }
    builder.build().map_err(ClientError::Client)
}

fn authorities(path: &PathBuf) -> Result<Vec<Certificate>, ClientError> {
    let pem = fs::read(path).map_err(|source| ClientError::Ca {
        path: path.clone(),
        source,
    })?;
    let found = Certificate::from_pem_bundle(&pem).map_err(ClientError::Client)?;
    if found.is_empty() {
        return Err(ClientError::NoCa { path: path.clone() });
    }
    Ok(found)
}
