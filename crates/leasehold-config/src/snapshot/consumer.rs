use leasehold_model::{ConsumerName, IssuerName};

/// Somebody who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The name in access records.
    pub name: ConsumerName,
    /// The SHA-256 of each key; none belongs to two consumers.
    pub keys: Vec<[u8; 32]>,
    /// Whose tokens are the consumer's.
    pub tokens: Vec<ConsumerToken>,
    /// Which certificates are; none belongs to two consumers.
    pub certificates: Vec<ConsumerCertificate>,
    /// What the consumer may do where there is no token to say so.
    pub scopes: Vec<String>,
}

/// Tokens of one issuer: at least one of `subject` and `claims` says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerToken {
    /// The issuer.
    pub issuer: IssuerName,
    /// What they have as `sub`, where that matters.
    pub subject: Option<String>,
    /// What other claims are.
    pub claims: Vec<(String, String)>,
}

/// What a client certificate is told by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConsumerCertificate {
    /// A URI among its subject's alternative names.
    SanUri(String),
    /// A DNS name among them, in small letters.
    SanDns(String),
    /// Its subject as RFC 4514 writes it.
    Subject(String),
    /// Its SHA-256.
    Sha256([u8; 32]),
}
