use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};
use std::fmt;

use super::normal::decoded;
use crate::cors;
use crate::gateway::{HeaderTest, MatchSpec};

/// What a route is looked for by.
pub(crate) struct Ask<'a> {
    /// As [`crate::steps::admit::admit`] returned it.
    pub(crate) host: &'a str,
    /// As it is forwarded, but for a rewrite.
    pub(crate) path: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Option<&'a str>,
    /// The method of the request that a browser asks about with this one.
    preflight: Option<&'a [u8]>,
}

/// Headers and query may show a consumer's key.
impl fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("host", &self.host)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<'a> Ask<'a> {
    pub(crate) fn new(head: &'a Parts, host: &'a str, path: &'a str) -> Self {
        let asked = || head.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = cors::is_preflight(head).then(asked).flatten();
        Self {
            host,
            path,
            method: &head.method,
            headers: &head.headers,
            query: head.uri.query(),
            preflight: preflight.map(|it| it.as_bytes()),
        }
    }
}

/// What a route asks of a request beside its host and path.
#[derive(Debug, PartialEq)]
pub(super) struct Conditions {
    methods: Vec<Method>,
    headers: Vec<(HeaderName, HeaderTest)>,
    query: Vec<(String, String)>,
    /// Whether it takes the questions that browsers ask before its requests, which have the headers
    /// of none of them.
    cors: bool,
}

impl Conditions {
    pub(super) fn new(matches: &MatchSpec, cors: bool) -> Self {
        let mut conditions = Self {
            methods: matches.methods.clone(),
            headers: matches.headers.clone(),
            query: matches.query.clone(),
            cors,
        };
        // In one order, so that equal ones are equal.
        conditions
            .methods
            .sort_by(|one, other| one.as_str().cmp(other.as_str()));
        conditions
            .headers
            .sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
        conditions.query.sort();
        conditions
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.look_at_methods()) + self.headers.len() + self.query.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) const fn look_at_methods(&self) -> bool {
        !self.methods.is_empty()
    }

    pub(super) const fn look_at_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    pub(super) const fn look_at_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// Tells whether the request is as the route asks, in the strictest reading.
    pub(super) fn are_met(&self, ask: &Ask<'_>) -> bool {
        let preflight = ask.preflight.filter(|_| self.cors);
        let is = |method: &Method| {
            method == ask.method || preflight.is_some_and(|it| it == method.as_str().as_bytes())
        };
        let has = |(name, test): &(HeaderName, HeaderTest)| {
            let mut values = ask.headers.get_all(name).iter();
            match (test, values.next(), values.next()) {
                (HeaderTest::Exact(value), Some(only), None) => only == value,
                (HeaderTest::Exact(_), ..) => false,
                (HeaderTest::Present(present), value, _) => *present == value.is_some(),
            }
        };
        let says = |(name, value): &(String, String)| {
            let mut values = pairs(ask.query).filter(|(sent, _)| sent == name);
            values.next().is_some_and(|(_, sent)| sent == value) && values.next().is_none()
        };
        (self.methods.is_empty() || self.methods.iter().any(is))
            && (preflight.is_some() || self.headers.iter().all(has))
            && self.query.iter().all(says)
    }

    /// Tells whether an upstream may think that the request is as the route asks.
    pub(super) fn may_be_met(&self, ask: &Ask<'_>) -> bool {
        let preflight = ask.preflight.filter(|_| self.cors);
        let may_be = |method: &Method| {
            method.as_str().eq_ignore_ascii_case(ask.method.as_str())
                || preflight.is_some_and(|it| it == method.as_str().as_bytes())
        };
        let may_have = |(name, test): &(HeaderName, HeaderTest)| match test {
            HeaderTest::Exact(value) => ask.headers.get_all(name).iter().any(|it| it == value),
            HeaderTest::Present(present) => *present == ask.headers.contains_key(name),
        };
        let may_say = |(name, value): &(String, String)| {
            let is = |sent: &str, meant: &str| decoded(sent).eq(meant.bytes());
            loose_pairs(ask.query).any(|(one, other)| is(one, name) && is(other, value))
        };
        (self.methods.is_empty() || self.methods.iter().any(may_be))
            && (preflight.is_some() || self.headers.iter().all(may_have))
            && self.query.iter().all(may_say)
    }
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Some servers take `;` for `&`.
fn loose_pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.into_iter().flat_map(|query| query.split(['&', ';']));
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
