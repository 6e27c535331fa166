//! What a client certificate says about who shows it.

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Something that a certificate is told by. Compared as a whole, character by character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateName {
    /// A URI among its subject's alternative names, such as a SPIFFE id.
    SanUri(String),
    /// A DNS name among them, in small letters.
    SanDns(String),
    /// Its subject as RFC 4514 writes it: the part that is deepest in the tree first, and no space
    /// behind a comma.
    Subject(String),
    /// The SHA-256 of the whole certificate.
    Sha256([u8; 32]),
}

/// A client certificate that its bearer has proved to be theirs, read once for all requests of the
/// connection.
#[derive(Debug)]
pub struct ClientCertificate {
    names: Vec<CertificateName>,
}

impl ClientCertificate {
    /// Reads a certificate in DER. One that can't be read is told by its digest only.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        let mut whole = [0; 32];
        for (to, from) in whole.iter_mut().zip(digest(&SHA256, der).as_ref()) {
            *to = *from;
        }
        let mut names = vec![CertificateName::Sha256(whole)];
        if let Ok((_rest, certificate)) = X509Certificate::from_der(der) {
            names.extend(subject(certificate.subject()).map(CertificateName::Subject));
            if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
                let said = alternative.value.general_names.iter();
                names.extend(said.filter_map(alternative_name));
            }
        }
        Self { names }
    }

    pub(crate) fn names(&self) -> &[CertificateName] {
        &self.names
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::URI(uri) => Some(CertificateName::SanUri((*uri).to_owned())),
        GeneralName::DNSName(name) => Some(CertificateName::SanDns(name.to_ascii_lowercase())),
        _ => None,
    }
}

/// Writes a subject as RFC 4514 does; `None` where it holds what has no short name there.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for relative in name.iter_rdn() {
        let written: Option<Vec<_>> = relative.iter().map(attribute).collect();
        parts.push(written?.join("+"));
    }
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

fn attribute(of: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = of.attr_type().to_id_string();
    let (_oid, short) = SHORT.iter().find(|(known, _)| *known == oid)?;
    Some(format!("{short}={}", escaped(of.as_str().ok()?)))
}

/// Escapes what RFC 4514, section 2.4, does.
fn escaped(value: &str) -> String {
    let mut written = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (place, each) in value.chars().enumerate() {
        let at_end = each == ' ' && (place == 0 || place == last);
        if each == '\0' {
            written.push_str("\\00");
            continue;
        }
        if at_end || (each == '#' && place == 0) || "\"+,;<>\\".contains(each) {
            written.push('\\');
        }
        written.push(each);
    }
    written
}

/// The names of RFC 4514, section 3.
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_is_told_by_its_names_its_subject_and_its_digest() {
        let mut params = CertificateParams::new(vec!["Pay.Example".to_owned()]).expect("params");
        let id = "spiffe://example.com/checkout";
        let uri = SanType::URI(id.try_into().expect("a URI"));
        params.subject_alt_names.push(uri);
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, text) in [
            (DnType::OrganizationName, "Example, Inc"),
            (DnType::CommonName, "#check+out "),
        ] {
            params.distinguished_name.push(kind, text);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let read = ClientCertificate::read(certificate.der());
        let has = |name: CertificateName| read.names().contains(&name);
        assert!(has(CertificateName::SanUri(id.to_owned())));
        assert!(has(CertificateName::SanDns("pay.example".to_owned())));
        let subject = r"CN=\#check\+out\ ,O=Example\, Inc";
        assert!(
            has(CertificateName::Subject(subject.to_owned())),
            "{read:?}"
        );
        assert_eq!(read.names().len(), 4);
    }

    #[test]
    fn what_can_not_be_read_has_a_digest_only() {
        assert_eq!(ClientCertificate::read(b"rubbish").names().len(), 1);
    }
}
