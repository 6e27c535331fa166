use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Audit, OpenBao};
use crate::{Authority, random};

/// A second listener of the server, with TLS. It asks for a client certificate and takes none as
/// well, as the server does unless it is told otherwise.
#[derive(Debug)]
pub(super) struct Tls {
    authority: Authority,
    port: u16,
    certificate: PathBuf,
    key: PathBuf,
}

impl OpenBao {
    /// As [`OpenBao::start`], with a second listener that speaks TLS.
    ///
    /// # Errors
    ///
    /// As [`OpenBao::start`].
    pub async fn start_with_tls(dir: &Path) -> Result<Self> {
        let authority = Authority::generate()?;
        let files = authority.server(dir)?;
        let tls = Tls {
            authority,
            port: 0,
            certificate: files.certificate,
            key: files.key,
        };
        Self::start_first(dir, Audit::Files, Some(tls)).await
    }

    /// Returns the address of the listener with TLS, `https://127.0.0.1:<port>`, and the file with
    /// the authority that vouches for it.
    ///
    /// # Errors
    ///
    /// When the server was started without one.
    pub fn tls_address(&self) -> Result<(String, PathBuf)> {
        let tls = self.tls.as_ref();
        let tls = tls.context("openbao was started without TLS")?;
        let address = format!("https://127.0.0.1:{}", tls.port);
        Ok((address, tls.authority.ca_pem()))
    }
}

impl Tls {
    pub(super) fn take_a_free_port(&mut self) -> Result<()> {
        self.port = random::free_port()?;
        Ok(())
    }

    /// Returns the stanza of the configuration.
    pub(super) fn listener(&self) -> String {
        format!(
            "listener \"tcp\" {{\n  address = \"127.0.0.1:{}\"\n  cluster_address = \"127.0.0.1:0\"\n  \
             tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"\n}}\n",
            self.port,
            self.certificate.display(),
            self.key.display()
        )
    }
}
