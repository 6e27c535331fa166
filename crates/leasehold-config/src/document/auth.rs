//! How the gateway logs in to a provider, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// How the gateway logs in to a provider: exactly one method.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Auth")]
pub(crate) struct AuthDocument {
    /// With a role id and a secret id.
    pub(crate) approle: Option<AppRoleDocument>,
    /// With the token of the gateway's Kubernetes service account.
    pub(crate) kubernetes: Option<KubernetesDocument>,
    /// With a JSON Web Token that somebody else keeps fresh in a file.
    pub(crate) jwt: Option<JwtDocument>,
    /// With a TLS client certificate.
    pub(crate) cert: Option<CertDocument>,
    /// With a request to AWS that is signed with an IAM access key.
    pub(crate) aws: Option<AwsDocument>,
}

/// A login with Vault's AppRole.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AppRole")]
pub(crate) struct AppRoleDocument {
    /// Where the auth method is mounted.
    #[schemars(extend("default" = "approle"))]
    pub(crate) mount: Option<String>,
    /// The role id. It names the role and is no secret.
    pub(crate) role_id: String,
    /// Where the secret id is read from.
    pub(crate) secret_id: SecretIdDocument,
}

/// Where an AppRole's secret id is read from: exactly one of `file` and `env`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretId")]
pub(crate) struct SecretIdDocument {
    /// The file that holds it. It is read again at every login.
    pub(crate) file: Option<PathBuf>,
    /// The name of the environment variable that holds it.
    pub(crate) env: Option<String>,
    /// With `file`: the file holds a response-wrapping token, and the secret id is in it.
    pub(crate) wrapped: Option<bool>,
}

/// A login with a Kubernetes service account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Kubernetes")]
pub(crate) struct KubernetesDocument {
    /// Where the auth method is mounted.
    #[schemars(extend("default" = "kubernetes"))]
    pub(crate) mount: Option<String>,
    /// The role at the provider.
    pub(crate) role: String,
    /// The file with the service account's token. It is read again at every login.
    #[schemars(extend("default" = "/var/run/secrets/kubernetes.io/serviceaccount/token"))]
    pub(crate) token_file: Option<PathBuf>,
}

/// A login with a JSON Web Token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Jwt")]
pub(crate) struct JwtDocument {
    /// Where the auth method is mounted.
    #[schemars(extend("default" = "jwt"))]
    pub(crate) mount: Option<String>,
    /// The role at the provider.
    pub(crate) role: String,
    /// The file with the token. It is read again at every login.
    pub(crate) file: PathBuf,
}

/// A login with a TLS client certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cert")]
pub(crate) struct CertDocument {
    /// Where the auth method is mounted.
    #[schemars(extend("default" = "cert"))]
    pub(crate) mount: Option<String>,
    /// The role at the provider. Default: any that takes the certificate.
    pub(crate) role: Option<String>,
    /// A file with the certificate and those between it and its authority, in PEM.
    pub(crate) certificate: PathBuf,
    /// A file with the certificate's private key, in PEM.
    pub(crate) key: PathBuf,
}

/// A login with AWS IAM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AwsIam")]
pub(crate) struct AwsDocument {
    /// Where the auth method is mounted.
    #[schemars(extend("default" = "aws"))]
    pub(crate) mount: Option<String>,
    /// The role at the provider.
    pub(crate) role: String,
    /// The AWS region that the request is signed for, the one of the STS endpoint that the provider
    /// asks.
    #[schemars(extend("default" = "us-east-1"))]
    pub(crate) region: Option<String>,
    /// What the header `X-Vault-AWS-IAM-Server-ID` says, where the provider asks for it.
    pub(crate) server_id: Option<String>,
    /// Where the access key is: the word `environment`, or a file.
    pub(crate) credentials: AwsCredentialsDocument,
}

/// Where an AWS access key is read from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "AwsCredentials")]
pub(crate) enum AwsCredentialsDocument {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    Word(AwsCredentialsWord),
    /// A file in the form of `~/.aws/credentials`.
    File(AwsCredentialsFile),
}

/// The word that takes an AWS access key from the environment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AwsCredentialsWord {
    /// The environment variables that AWS's own tools read.
    Environment,
}

/// A file with AWS access keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AwsCredentialsFile {
    /// The file, in the form of `~/.aws/credentials`. It is read again at every login.
    pub(crate) file: PathBuf,
    /// The section of the file.
    #[schemars(extend("default" = "default"))]
    pub(crate) profile: Option<String>,
}
