//! Where requests go and what is shown there, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    BalanceDocument, DnsDocument, DurationText, EndpointDocument, HealthDocument, HmacDocument,
    KeepAliveDocument, MessageSignatureDocument, OutlierDocument, ProtocolDocument, SigV4Document,
    UpstreamLimitsDocument, UpstreamTlsDocument,
};

/// A service that requests are forwarded to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Upstream")]
pub(crate) struct UpstreamDocument {
    /// Where it listens, like `https://payments.internal` or `http://10.0.0.7:8080`. Each address of
    /// a name is an endpoint of its own.
    #[schemars(length(min = 1))]
    pub(crate) endpoints: Vec<EndpointDocument>,
    /// A file with the certificate authorities that vouch for the endpoints, in PEM.
    /// Default: those that the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// The name of the credential that the upstream is shown. Goes with `inject`.
    pub(crate) credential: Option<String>,
    /// Where the credential is placed. Goes with `credential`.
    pub(crate) inject: Option<InjectionDocument>,
    /// Which answers mean that the credential may be dead. Goes with `credential`.
    pub(crate) suspect: Option<SuspectDocument>,
    /// What the upstream is shown, where that is more than one credential or hangs on who calls. Goes instead
    /// of `credential`, `inject` and `suspect`. What is shown at one place are alternatives: the first whose
    /// `for` holds is shown there, and where none holds nothing is sent.
    #[schemars(length(min = 1))]
    pub(crate) credentials: Option<Vec<CredentialUseDocument>>,
    /// How long to wait.
    pub(crate) timeouts: Option<TimeoutsDocument>,
    /// The version of HTTP. Default: `auto`.
    pub(crate) protocol: Option<ProtocolDocument>,
    /// What the upstream reads as the host: the word `endpoint` for the endpoint's own, the word
    /// `preserve` for what the consumer has sent, or a fixed name.
    #[schemars(extend("default" = "endpoint"))]
    pub(crate) host: Option<String>,
    /// Which endpoint a request goes to. Default: `least_request`.
    pub(crate) balance: Option<BalanceDocument>,
    /// How much may go on at the upstream at a time. A request beyond is refused.
    pub(crate) limits: Option<UpstreamLimitsDocument>,
    /// How the endpoints are asked after. Default: they are not.
    pub(crate) health: Option<HealthDocument>,
    /// When an endpoint that answers with faults is left out.
    pub(crate) outlier: Option<OutlierDocument>,
    /// Over how long an endpoint that is well again gets its full share of the requests.
    #[schemars(extend("default" = "0s"))]
    pub(crate) slow_start: Option<DurationText>,
    /// What becomes of connections that are not in use.
    pub(crate) keep_alive: Option<KeepAliveDocument>,
    /// How names are looked up.
    pub(crate) dns: Option<DnsDocument>,
    /// The HTTP proxy that connections are made through, by `CONNECT`, like `http://proxy:3128`. It looks
    /// the names up. Default: none, whatever the environment says.
    pub(crate) proxy: Option<String>,
    /// How TLS is spoken to `https` endpoints.
    pub(crate) tls: Option<UpstreamTlsDocument>,
}

/// One of the credentials that an upstream is shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CredentialUse")]
pub(crate) struct CredentialUseDocument {
    /// The name of the credential.
    pub(crate) credential: String,
    /// Where it is placed.
    pub(crate) inject: InjectionDocument,
    /// Which answers mean that it may be dead.
    pub(crate) suspect: Option<SuspectDocument>,
    /// Which requests it is for. Default: all.
    #[serde(rename = "for")]
    pub(crate) selector: Option<SelectorDocument>,
}

/// Which requests a credential is for. Where both are given, both must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Selector")]
pub(crate) struct SelectorDocument {
    /// The names of the consumers. Default: all.
    #[schemars(length(min = 1))]
    pub(crate) consumers: Option<Vec<String>>,
    /// The names of the routes. Default: all.
    #[schemars(length(min = 1))]
    pub(crate) routes: Option<Vec<String>>,
}

/// Where a credential is placed: `header`, `query`, `cookie`, `basic`, or `client_certificate`; or how
/// requests are signed with it: `sigv4`, `hmac`, or `message_signature`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Injection")]
pub(crate) struct InjectionDocument {
    /// The header's name. What the consumer sent in it is removed.
    pub(crate) header: Option<String>,
    /// What stands before the value in the header, like `"Bearer "`.
    #[schemars(extend("default" = ""))]
    pub(crate) prefix: Option<String>,
    /// The name of a parameter of the query. What the consumer sent in it is removed.
    pub(crate) query: Option<String>,
    /// The name of a cookie. What the consumer sent in it is removed.
    pub(crate) cookie: Option<String>,
    /// The field of the credential that is shown there. Default: the credential's own `field`.
    pub(crate) field: Option<String>,
    /// What is shown there, made of several fields of one generation, like `"{id}:{key}"`. Goes instead of
    /// `field`. `{id|hex}` encodes one field; `{{` and `}}` stand for a brace.
    pub(crate) template: Option<String>,
    /// How the field, or the whole of the template, is encoded. Default: it is not.
    pub(crate) encode: Option<EncodingWord>,
    /// HTTP Basic authentication from two fields of one generation.
    pub(crate) basic: Option<BasicDocument>,
    /// A certificate that the gateway shows at the TLS handshake, and nothing in the head.
    pub(crate) client_certificate: Option<ClientCertificateDocument>,
    /// A signature of each request as AWS's services want it. The key is shown to nobody.
    pub(crate) sigv4: Option<SigV4Document>,
    /// A signature of each request, which is an HMAC of what a template makes of it.
    pub(crate) hmac: Option<HmacDocument>,
    /// A signature of each request by RFC 9421.
    pub(crate) message_signature: Option<MessageSignatureDocument>,
}

/// How a part of a credential is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Encoding")]
pub(crate) enum EncodingWord {
    /// Base64 with `+`, `/` and padding.
    Base64,
    /// Base64 with `-` and `_`, without padding.
    Base64url,
    /// Hexadecimal digits in small letters.
    Hex,
    /// `%` and two digits for all but letters, digits, `-`, `.`, `_` and `~`.
    Percent,
}

/// The names of the credential's fields that make up a client certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClientCertificate")]
pub(crate) struct ClientCertificateDocument {
    /// The name of the field with the certificate, in PEM.
    #[schemars(extend("default" = "certificate"))]
    pub(crate) certificate: Option<String>,
    /// The name of the field with its private key, in PEM; never the key.
    #[schemars(extend("default" = "private_key"))]
    pub(crate) key: Option<String>,
    /// The name of the field with the certificates between it and its authority. Default: none are
    /// shown.
    pub(crate) chain: Option<String>,
}

/// The names of the credential's fields that make up HTTP Basic authentication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Basic")]
pub(crate) struct BasicDocument {
    /// The name of the field with the user name; not the user name.
    pub(crate) username: String,
    /// The name of the field with the password; not the password.
    pub(crate) password: String,
}

/// Which answers mean that the credential may be dead, and what to do then.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Suspect")]
pub(crate) struct SuspectDocument {
    /// The statuses, from 400 to 499; an empty list means none. Default: 401 alone.
    #[schemars(inner(range(min = 400, max = 499)))]
    pub(crate) statuses: Option<Vec<u16>>,
    /// Whether a request that can be sent again is sent once more with a newer generation.
    /// Default: `true`.
    pub(crate) retry: Option<bool>,
}

/// How long to wait for an upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Timeouts")]
pub(crate) struct TimeoutsDocument {
    /// How long a new connection may take, TLS included.
    #[schemars(extend("default" = "5s"))]
    pub(crate) connect: Option<DurationText>,
    /// How long the head of the answer may take, and then each silence within the answer. Streams
    /// that are quiet for long want more.
    #[schemars(extend("default" = "60s"))]
    pub(crate) response: Option<DurationText>,
}
