use std::path::PathBuf;

/// How to log in to a cluster.
///
/// Holds no secret: each is named by the place that it is read from, and read again at every login,
/// so that a new one can be delivered while the gateway runs.
#[derive(Clone, Debug)]
pub enum AuthMethod {
    /// With a role id and a secret id.
    AppRole(AppRole),
    /// With the token of a Kubernetes service account.
    Kubernetes(TokenFile),
    /// With a JSON Web Token.
    Jwt(TokenFile),
    /// With a TLS client certificate.
    Certificate(ClientCertificate),
    /// With a signed request to AWS that the server sends on.
    AwsIam(AwsIam),
}

/// A login by AppRole.
#[derive(Clone, Debug)]
pub struct AppRole {
    /// Where the auth method is mounted below `auth/`, such as `approle`.
    pub mount: String,
    /// The role id.
    pub role_id: String,
    /// Where the secret id is.
    pub secret_id: SecretId,
}

/// Where a secret id is read from.
#[derive(Clone, Debug)]
pub enum SecretId {
    /// From this file.
    File(PathBuf),
    /// From the environment variable of this name.
    Env(String),
    /// Out of a response-wrapping token in this file, which is unwrapped once.
    Wrapped(PathBuf),
}

/// A login that shows a signed token which somebody else keeps fresh in a file.
#[derive(Clone, Debug)]
pub struct TokenFile {
    /// Where the auth method is mounted below `auth/`.
    pub mount: String,
    /// The role to log in to.
    pub role: String,
    /// The file that holds the token.
    pub file: PathBuf,
}

/// A login with a TLS client certificate.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// Where the auth method is mounted below `auth/`.
    pub mount: String,
    /// The role to log in to; without it the server tries all that know the certificate.
    pub role: Option<String>,
    /// A PEM file with the certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// A PEM file with the certificate's private key.
    pub key: PathBuf,
}

/// A login with a signed `sts:GetCallerIdentity`.
#[derive(Clone, Debug)]
pub struct AwsIam {
    /// Where the auth method is mounted below `auth/`.
    pub mount: String,
    /// The role to log in to.
    pub role: String,
    /// The region that the request is signed for.
    pub region: String,
    /// What the signed header `X-Vault-AWS-IAM-Server-ID` says, where the server asks for it: a
    /// request that was made for one server is then of no use at another.
    pub server_id: Option<String>,
    /// Where the access key is.
    pub credentials: AwsCredentials,
}

/// Where an AWS access key is read from.
#[derive(Clone, Debug)]
pub enum AwsCredentials {
    /// From `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    Environment,
    /// From a file in the form of `~/.aws/credentials`.
    File {
        /// The file.
        file: PathBuf,
        /// The section of the file.
        profile: String,
    },
}
