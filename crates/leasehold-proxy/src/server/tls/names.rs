use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::{ServedCertificate, TlsError};

/// Chooses the certificate by the host that a client names. Names that match exactly come before those
/// with a wildcard, and of two certificates for one name the first.
pub(super) struct ByName {
    default: Arc<CertifiedKey>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows the `*.`.
    wildcards: HashMap<String, Arc<CertifiedKey>>,
    certificates: Vec<ServedCertificate>,
}

impl ByName {
    pub(super) fn new(keys: &[Arc<CertifiedKey>]) -> Result<Self, TlsError> {
        let default = keys.first().ok_or(TlsError::NoCertificate)?;
        let mut by_name = Self {
            default: Arc::clone(default),
            exact: HashMap::new(),
            wildcards: HashMap::new(),
            certificates: Vec::new(),
        };
        for key in keys {
            by_name.add(key)?;
        }
        Ok(by_name)
    }

    pub(super) fn certificates(&self) -> &[ServedCertificate] {
        &self.certificates
    }

    fn add(&mut self, key: &Arc<CertifiedKey>) -> Result<(), TlsError> {
        let leaf = key.cert.first().ok_or(TlsError::NoCertificate)?;
        let unreadable = |error| TlsError::Certificate(error);
        let parsed = X509Certificate::from_der(leaf);
        let (_rest, leaf) = parsed.map_err(|error| unreadable(X509Error::from(error)))?;
        let names = leaf.subject_alternative_name().map_err(unreadable)?;
        let names = names.iter().flat_map(|it| &it.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let names: Vec<_> = names.collect();
        self.certificates.push(ServedCertificate {
            name: names.first().cloned().unwrap_or_default(),
            not_after: leaf.validity().not_after.timestamp(),
        });
        for name in names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcards, parent.to_owned()),
                None => (&mut self.exact, name),
            };
            map.entry(name).or_insert_with(|| Arc::clone(key));
        }
        Ok(())
    }

    fn find(&self, host: &str) -> &Arc<CertifiedKey> {
        let host = host.to_ascii_lowercase();
        let parent = host.split_once('.').map(|(_label, parent)| parent);
        let wildcard = || self.wildcards.get(parent?);
        let found = self.exact.get(&host).or_else(wildcard);
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().map(|host| self.find(host));
        Some(Arc::clone(found.unwrap_or(&self.default)))
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByName").field(&self.certificates).finish()
    }
}
