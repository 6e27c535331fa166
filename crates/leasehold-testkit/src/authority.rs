use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use crate::Scratch;

/// A certificate authority of its own, with its certificate in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: Scratch,
}

/// A certificate and its key, each in a PEM file.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Errors
    ///
    /// When its file can't be written.
    pub fn generate() -> Result<Self> {
        let dir = Scratch::new()?;
        let issuer =
            CertifiedIssuer::self_signed(authority()?, key_pair()?).context("make an authority")?;
        fs::write(dir.path().join(CA), issuer.pem()).context("write the authority")?;
        Ok(Self { issuer, dir })
    }

    /// Returns the file with the authority's certificate, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> PathBuf {
        self.dir.path().join(CA)
    }

    /// Signs a certificate for a client of this name and writes it with its key into `dir`, over
    /// what stood there.
    ///
    /// # Errors
    ///
    /// When the name can't stand in a certificate or a file can't be written.
    pub fn client(&self, name: &str, dir: &Path) -> Result<CertificateFiles> {
        let mut params =
            CertificateParams::new([name.to_owned()]).context("describe the client")?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        write(&self.sign(params)?, dir, "client")
    }

    /// Signs a certificate for a server of this machine and writes it with its key into `dir`.
    ///
    /// # Errors
    ///
    /// When a file can't be written.
    pub fn server(&self, dir: &Path) -> Result<CertificateFiles> {
        write(&self.sign(server()?)?, dir, "server")
    }

    /// Signs a certificate for a server of this machine.
    pub(crate) fn sign_server(&self) -> Result<(Certificate, KeyPair)> {
        self.sign(server()?)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<(Certificate, KeyPair)> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = key_pair()?;
        let certificate = params.signed_by(&key, &self.issuer);
        Ok((certificate.context("sign a certificate")?, key))
    }
}

fn write(
    (certificate, key): &(Certificate, KeyPair),
    dir: &Path,
    name: &str,
) -> Result<CertificateFiles> {
    let files = CertificateFiles {
        certificate: dir.join(format!("{name}.crt")),
        key: dir.join(format!("{name}.key")),
    };
    fs::write(&files.certificate, certificate.pem()).context("write a certificate")?;
    fs::write(&files.key, key.serialize_pem()).context("write a certificate's key")?;
    Ok(files)
}

fn key_pair() -> Result<KeyPair> {
    KeyPair::generate().context("make a key pair")
}

fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::new([]).context("describe the authority")?;
    let name = "leasehold test authority";
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server() -> Result<CertificateParams> {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut params = CertificateParams::new(names).context("describe the server")?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

const CA: &str = "ca.pem";
