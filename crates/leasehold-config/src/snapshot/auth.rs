use std::path::PathBuf;

/// How to log in to a Vault or OpenBao cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// With a role id and a secret id.
    AppRole {
        /// Where the auth method is mounted.
        mount: String,
        /// The role id.
        role_id: String,
        /// Where the secret id is.
        secret_id: SecretId,
    },
    /// With the token of a Kubernetes service account.
    Kubernetes(TokenFile),
    /// With a JSON Web Token.
    Jwt(TokenFile),
    /// With a TLS client certificate; every address is `https`.
    Certificate {
        /// Where the auth method is mounted.
        mount: String,
        /// The role; any that takes the certificate where there is none.
        role: Option<String>,
        /// The PEM file with the certificate.
        certificate: PathBuf,
        /// The PEM file with its key.
        key: PathBuf,
    },
    /// With a signed request to AWS.
    AwsIam {
        /// Where the auth method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// The region that the request is signed for.
        region: String,
        /// What the header that names the server says.
        server_id: Option<String>,
        /// Where the access key is.
        credentials: AwsCredentials,
    },
}

/// Where a secret id is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretId {
    /// From this file.
    File(PathBuf),
    /// From the environment variable of this name.
    Env(String),
    /// Out of a response-wrapping token in this file.
    Wrapped(PathBuf),
}

/// A login that shows a signed token from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Where the auth method is mounted.
    pub mount: String,
    /// The role.
    pub role: String,
    /// The file with the token.
    pub file: PathBuf,
}

/// Where an AWS access key is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsCredentials {
    /// From the environment variables that AWS's own tools read.
    Environment,
    /// From a file in the form of `~/.aws/credentials`.
    File {
        /// The file.
        file: PathBuf,
        /// The section of the file.
        profile: String,
    },
}
