use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leasehold_model::{
    ConsumerName, CredentialName, GenerationNumber, IssuerName, LimitName, ListenerName,
    Provenance, ReasonCode, RouteName, UpstreamName,
};

use crate::{Span, TraceId};

/// What is kept of one request.
///
/// Holds names, ids and numbers: no header, no query and no body, where secrets travel.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// When the request's head had been read.
    pub time: SystemTime,
    /// The listener that it came in on.
    pub listener: ListenerName,
    /// The address that it came from, where it came over the network.
    pub client: Option<SocketAddr>,
    /// The method, as sent.
    pub method: Cow<'static, str>,
    /// The path, as sent and without its query.
    pub path: String,
    /// Who sent it.
    pub consumer: Option<ConsumerName>,
    /// What they were told by: `key`, `token` or `certificate`.
    pub authenticated_by: Option<&'static str>,
    /// Who issued the token, where it was one.
    pub issuer: Option<IssuerName>,
    /// The token's own id, where it has one.
    pub token_id: Option<String>,
    /// The route that it matched.
    pub route: Option<RouteName>,
    /// The upstream that the route leads to.
    pub upstream: Option<UpstreamName>,
    /// The endpoint that it was sent to.
    pub endpoint: Option<Arc<str>>,
    /// The status of the answer, where one was sent.
    pub status: Option<u16>,
    /// Why it ended as it did, where that was not simply the upstream's answer.
    pub reason: Option<ReasonCode>,
    /// The limit that refused it.
    pub limit: Option<LimitName>,
    /// The credential that the upstream was shown.
    pub credential: Option<CredentialName>,
    /// The generation of that credential.
    pub generation: Option<GenerationNumber>,
    /// The generation that the upstream refused before it was shown that one: the request was sent twice.
    pub retried_after: Option<GenerationNumber>,
    /// The part of the answer in which the upstream sent the credential back, where it did.
    pub reflected: Option<&'static str>,
    /// Where that generation came from.
    pub provenance: Option<Provenance>,
    /// What the upstream was shown beside that one, in the order of the configuration.
    pub other_credentials: Vec<ShownCredential>,
    /// The time that the gateway itself took.
    pub gateway_time: Duration,
    /// The time that the upstream took, where it was asked.
    pub upstream_time: Option<Duration>,
    /// The size of the request's body, in bytes, as far as it was read.
    pub request_bytes: u64,
    /// The size of the answer's body, in bytes, as far as it was sent.
    pub response_bytes: u64,
    /// The trace that the request belongs to.
    pub trace_id: TraceId,
    /// Its place there, where it got as far as having one.
    pub span: Option<Span>,
}

/// A credential that the upstream was shown beside another.
#[derive(Clone, Debug)]
pub struct ShownCredential {
    /// Its name.
    pub credential: CredentialName,
    /// Its generation, where there was one.
    pub generation: Option<GenerationNumber>,
    /// The generation that it took the place of, where the request was sent twice.
    pub retried_after: Option<GenerationNumber>,
    /// Where that generation came from.
    pub provenance: Option<Provenance>,
}

impl ShownCredential {
    /// Names a credential of which no generation has been taken yet.
    #[must_use]
    pub const fn named(credential: CredentialName) -> Self {
        Self {
            credential,
            generation: None,
            retried_after: None,
            provenance: None,
        }
    }
}

impl AccessRecord {
    /// Makes the record of a request of which no more than its head is known.
    ///
    /// A query is cut off the path. A method or path of more than 2,048 bytes is shortened to that,
    /// so that a full queue has a bounded size.
    #[must_use]
    pub fn begin(
        time: SystemTime,
        listener: ListenerName,
        method: &str,
        path: &str,
        trace_id: TraceId,
    ) -> Self {
        let path = path.split_once('?').map_or(path, |(path, _query)| path);
        Self {
            time,
            listener,
            client: None,
            method: known(method).map_or_else(|| shortened(method).into(), Cow::Borrowed),
            path: shortened(path),
            consumer: None,
            authenticated_by: None,
            issuer: None,
            token_id: None,
            route: None,
            upstream: None,
            endpoint: None,
            status: None,
            reason: None,
            limit: None,
            credential: None,
            generation: None,
            retried_after: None,
            reflected: None,
            provenance: None,
            other_credentials: Vec::new(),
            gateway_time: Duration::ZERO,
            upstream_time: None,
            request_bytes: 0,
            response_bytes: 0,
            trace_id,
            span: None,
        }
    }
}

/// Returns a method that is common, of which no copy is made.
fn known(method: &str) -> Option<&'static str> {
    COMMON.into_iter().find(|it| *it == method)
}

fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    text.get(..end).unwrap_or_default().to_owned()
}

const LONGEST: usize = 2048;
const COMMON: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_not_kept() {
        assert_eq!(begin("/a/b?key=canary").path, "/a/b");
        assert_eq!(begin("/a/b").path, "/a/b");
    }

    #[test]
    fn a_long_path_is_shortened_between_characters() {
        let path = format!("/{}", "\u{e9}".repeat(LONGEST));
        let kept = begin(&path).path;
        assert_eq!(kept.len(), LONGEST - 1);
        assert!(path.starts_with(&kept));
    }

    fn begin(path: &str) -> AccessRecord {
        let trace_id = TraceId::new(1).expect("not zero");
        AccessRecord::begin(
            SystemTime::UNIX_EPOCH,
            "public".into(),
            "GET",
            path,
            trace_id,
        )
    }
}
