//! OAuth 2.0 authorization servers and what they are asked for, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::provider::OneOrMany;

/// What proves the gateway to be the client, by the client credentials grant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OauthClient")]
pub(crate) struct OauthClientDocument {
    /// The credential that holds the client's secret or key. It comes from another provider.
    pub(crate) credential: String,
    /// The client's identifier. Either this or `id_field`.
    pub(crate) id: Option<String>,
    /// The field of the credential that holds the client's identifier.
    pub(crate) id_field: Option<String>,
    /// How the client authenticates.
    pub(crate) method: OauthMethodWord,
    /// With `client_secret_basic` and `client_secret_post`: the field with the secret.
    /// Default: `client_secret`.
    pub(crate) secret: Option<String>,
    /// With `private_key_jwt` and `tls_client_auth`: the field with the key, in PEM.
    /// Default: `private_key`.
    pub(crate) key: Option<String>,
    /// With `private_key_jwt`: by what name the server knows the key, its `kid`. Default: none.
    pub(crate) key_id: Option<String>,
    /// With `tls_client_auth`: the field with the certificate, in PEM. Default: `certificate`.
    pub(crate) certificate: Option<String>,
    /// With `tls_client_auth`: the field with those between the certificate and its authority.
    /// Default: none.
    pub(crate) chain: Option<String>,
}

/// How a client authenticates at a token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OauthMethod")]
pub(crate) enum OauthMethodWord {
    /// The secret in an `Authorization: Basic` header.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
    /// A JWT that is signed with the key, which is not sent (RFC 7523).
    PrivateKeyJwt,
    /// A certificate at the TLS handshake (RFC 8705).
    TlsClientAuth,
}

/// What a token is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Token")]
pub(crate) struct TokenDocument {
    /// The scopes, with spaces between them. Default: what the server gives by itself.
    pub(crate) scope: Option<String>,
    /// Whom the token is for, where the server knows such a thing.
    pub(crate) audience: Option<String>,
    /// The URI of whom the token is for, or several (RFC 8707).
    pub(crate) resource: Option<OneOrMany>,
}
