use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode, Uri};
use leasehold_model::ReasonCode;

use crate::gateway::PathMatch;
use crate::rewrite::rewritten;

/// Where the gateway itself sends a caller. The query is kept.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 307 or 308.
    pub status: StatusCode,
    /// `http` or `https`; that of the request where there is none.
    pub scheme: Option<String>,
    /// The host; that of the request where there is none.
    pub host: Option<String>,
    /// The port; that of the scheme where there is none.
    pub port: Option<u16>,
    /// What stands in the path instead of what was matched, where anything does.
    pub path: Option<String>,
}

impl Redirect {
    /// Answers a request for `target` on `host` by a route for `matched`.
    ///
    /// # Errors
    ///
    /// When there is no such place, which is a fault of the gateway.
    pub(crate) fn answer(
        &self,
        host: &str,
        target: &Uri,
        matched: &PathMatch,
    ) -> Result<Response<Bytes>, ReasonCode> {
        let place = self.place(host, target, matched);
        let place = HeaderValue::try_from(place).map_err(|_invalid| ReasonCode::Internal)?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        response.headers_mut().insert(LOCATION, place);
        Ok(response)
    }

    fn place(&self, host: &str, target: &Uri, matched: &PathMatch) -> String {
        let path = target.path();
        let path = self
            .path
            .as_ref()
            .map_or_else(|| path.to_owned(), |to| rewritten(path, matched, to));
        // A reference that begins with two slashes names a host, and it would be the caller's choice.
        let path = path.trim_start_matches('/');
        let query = target.query().map(|query| format!("?{query}"));
        let query = query.unwrap_or_default();
        format!("{}/{path}{query}", self.authority(host))
    }

    /// Returns what stands before the path: nothing where the caller stays on the same origin.
    fn authority(&self, host: &str) -> String {
        if self.scheme.is_none() && self.host.is_none() && self.port.is_none() {
            return String::new();
        }
        let scheme = self.scheme.as_ref().map(|scheme| format!("{scheme}:"));
        let port = self.port.map(|port| format!(":{port}"));
        let host = self.host.as_deref().unwrap_or(host);
        format!(
            "{}//{host}{}",
            scheme.unwrap_or_default(),
            port.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays_as_it_was() {
        let to = |scheme: Option<&str>, host: Option<&str>, port, path: Option<&str>| Redirect {
            status: StatusCode::FOUND,
            scheme: scheme.map(str::to_owned),
            host: host.map(str::to_owned),
            port,
            path: path.map(str::to_owned),
        };
        for (redirect, target, want) in [
            (
                to(Some("https"), None, None, None),
                "/old/x?y",
                "https://h/old/x?y",
            ),
            (
                to(Some("https"), None, Some(8443), None),
                "/old/x",
                "https://h:8443/old/x",
            ),
            (to(None, Some("i"), None, None), "/old/x", "//i/old/x"),
            (to(None, None, None, Some("/new/")), "/old/x?y", "/new/x?y"),
            (
                to(None, None, None, Some("/")),
                "/old//evil.example/",
                "/evil.example/",
            ),
            (
                to(Some("https"), Some("i"), None, Some("/n")),
                "/old/x",
                "https://i/n/x",
            ),
        ] {
            let target: Uri = target.parse().expect("a target");
            let matched = PathMatch::Prefix("/old/".to_owned());
            let answer = redirect.answer("h", &target, &matched).expect("a place");
            assert_eq!(answer.headers()[LOCATION], want);
            assert_eq!(answer.status(), 302);
        }
    }
}
