use std::collections::{BTreeMap, BTreeSet};

use crate::code::Code;
use crate::document::{
    DotSegmentsWord, EncodedSlashesWord, HeaderTestDocument, MatchDocument, PathDocument,
    PathKindDocument, PathPolicyDocument,
};
use crate::node::Place;
use crate::snapshot::route::matching::{HeaderTest, HostMatch, Match, PathMatch, PathPolicy};
use crate::validate::Check;

impl Check<'_> {
    pub(super) fn matches(&mut self, written: MatchDocument, place: Place<'_>) -> Match {
        Match {
            host: self.host_match(written.host, place.field("host")),
            path: self.path_match(written.path, place.field("path")),
            methods: self.methods(written.methods.unwrap_or_default(), place.field("methods")),
            headers: self.header_tests(written.headers, place.field("headers")),
            query: self.query_tests(written.query, place.field("query")),
        }
    }

    pub(super) fn methods(&mut self, written: Vec<String>, place: Place<'_>) -> BTreeSet<String> {
        for (index, method) in written.iter().enumerate() {
            self.method(method, place.item(index));
        }
        written.into_iter().collect()
    }

    pub(super) fn host(&mut self, written: &str, place: Place<'_>) -> String {
        let host = written.to_ascii_lowercase();
        if !is_host(&host) {
            self.report.hide_unless_name(place.node());
            let message = "this is not a host name";
            let help = "write the name alone, like `api.example.com`: no scheme and no port";
            self.fault(Code::BadHost, place, message, help);
        }
        host
    }

    /// Reads a path that stands for itself: not a template.
    pub(super) fn plain_path(&mut self, path: String, place: Place<'_>) -> String {
        if !is_path(&path) {
            self.bad_path(place, "this is not a path", PATH_HELP);
        }
        path
    }

    fn host_match(&mut self, written: Option<String>, place: Place<'_>) -> HostMatch {
        let Some(written) = written else {
            return HostMatch::Any;
        };
        match written.strip_prefix("*.") {
            Some(below) => HostMatch::Below(self.host(below, place)),
            None => HostMatch::Exact(self.host(&written, place)),
        }
    }

    fn path_match(&mut self, written: Option<PathDocument>, place: Place<'_>) -> PathMatch {
        let kind = match written {
            None => return PathMatch::Prefix("/".to_owned()),
            Some(PathDocument::Prefix(prefix)) => {
                return PathMatch::Prefix(self.plain_path(prefix, place));
            }
            Some(PathDocument::Kind(kind)) => kind,
        };
        let PathKindDocument {
            exact,
            prefix,
            template,
        } = kind;
        match (exact, prefix, template) {
            (Some(exact), None, None) => {
                PathMatch::Exact(self.plain_path(exact, place.field("exact")))
            }
            (None, Some(prefix), None) => {
                PathMatch::Prefix(self.plain_path(prefix, place.field("prefix")))
            }
            (None, None, Some(template)) => {
                PathMatch::Template(self.template(template, place.field("template")))
            }
            _ => {
                let message = "a path is `exact`, `prefix` or `template`, one of the three";
                self.fault(Code::BadCombination, place, message, "");
                PathMatch::Prefix("/".to_owned())
            }
        }
    }

    fn template(&mut self, template: String, place: Place<'_>) -> String {
        if !is_template(&template) {
            self.bad_path(place, "this is not a template of a path", TEMPLATE_HELP);
        }
        template
    }

    fn bad_path(&mut self, place: Place<'_>, message: &str, help: &str) {
        self.report.hide_unless_name(place.node());
        self.fault(Code::BadPath, place, message, help);
    }

    fn header_tests(
        &mut self,
        written: BTreeMap<String, HeaderTestDocument>,
        place: Place<'_>,
    ) -> BTreeMap<String, HeaderTest> {
        let mut read = BTreeMap::new();
        for (name, test) in written {
            let at = place.field(&name);
            let test = match test {
                HeaderTestDocument::Exact(value) => {
                    self.value_of_header(&value, at);
                    HeaderTest::Exact(value)
                }
                HeaderTestDocument::Present(it) => HeaderTest::Present(it.present),
            };
            if read.insert(self.header_name(&name, at), test).is_some() {
                let message = "this header stands here twice, in another case";
                self.fault(Code::DuplicateKey, at, message, "remove one of them");
            }
        }
        read
    }

    fn query_tests(
        &mut self,
        written: BTreeMap<String, String>,
        place: Place<'_>,
    ) -> BTreeMap<String, String> {
        for (name, value) in &written {
            let is_plain = |each: u8| each.is_ascii_alphanumeric() || b"-._~".contains(&each);
            if !(value.bytes().all(is_plain) && name.bytes().all(is_plain)) {
                let place = place.field(name);
                self.report.hide_unless_name(place.node());
                let message = "this is not a value that is compared with a query's";
                let help =
                    "it is letters, digits, `-`, `.`, `_` and `~`: what a query never encodes";
                self.fault(Code::UnknownValue, place, message, help);
            }
        }
        written
    }
}

pub(in crate::validate) fn path_policy(written: Option<PathPolicyDocument>) -> PathPolicy {
    let written = written.unwrap_or_default();
    let slashes = written.encoded_slashes;
    PathPolicy {
        forward_encoded_slashes: slashes == Some(EncodedSlashesWord::Forward),
        normalise_dot_segments: written.dot_segments == Some(DotSegmentsWord::Normalise),
        merge_slashes: written.merge_slashes.unwrap_or_default(),
    }
}

/// Returns a host as it stands in the name of a route.
pub(super) fn host_text(host: &HostMatch) -> String {
    match host {
        HostMatch::Any => String::new(),
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Below(host) => format!("*.{host}"),
    }
}

/// Returns a path in which the names of a template's parts are gone.
pub(super) fn nameless(path: &PathMatch) -> PathMatch {
    let PathMatch::Template(template) = path else {
        return path.clone();
    };
    let nameless = |segment: &str| match segment.as_bytes() {
        [b'{', b'*', ..] => "{*}".to_owned(),
        [b'{', ..] => "{}".to_owned(),
        _ => segment.to_owned(),
    };
    let segments: Vec<_> = template.split('/').map(nameless).collect();
    PathMatch::Template(segments.join("/"))
}

fn is_host(host: &str) -> bool {
    let is_ip_literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let is_label = |label: &str| {
        let plain = |each: u8| each.is_ascii_alphanumeric() || matches!(each, b'-' | b'_');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    is_ip_literal || host.len() <= 253 && host.split('.').all(is_label)
}

/// Paths are compared as they are sent, so what no well-formed request has can never match.
fn is_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let mut inner = segments.strip_suffix('/').unwrap_or(segments).split('/');
    path.bytes().all(|each| each.is_ascii_graphic())
        && !path.contains(['?', '#', '\\', '{', '}', '<', '>', '`'])
        && path.split('%').skip(1).all(is_escape)
        && (segments.is_empty()
            || inner.all(|segment| !segment.is_empty() && !matches!(segment, "." | "..")))
}

/// Tells whether what follows a `%` makes an escape that a path may hold: no separator, dot or NUL.
fn is_escape(after: &str) -> bool {
    let digits = after.get(..2).unwrap_or_default().to_ascii_lowercase();
    digits.len() == 2
        && digits.bytes().all(|each| each.is_ascii_hexdigit())
        && !["2f", "5c", "2e", "00"].contains(&digits.as_str())
}

/// A template has at least one part that stands for others; only the last may stand for several.
fn is_template(template: &str) -> bool {
    let Some(inner) = template.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<_> = inner.split('/').collect();
    let last = segments.len().saturating_sub(1);
    let is_segment = |(index, segment): (usize, &&str)| match variable(segment) {
        Some((name, rest)) => is_variable_name(name) && (!rest || index == last),
        None => is_literal(segment) && (!segment.is_empty() || index == last),
    };
    segments.iter().enumerate().all(is_segment)
        && segments.iter().any(|segment| variable(segment).is_some())
}

/// Returns the name in `{name}` or `{*name}`, and whether it is the latter.
fn variable(segment: &str) -> Option<(&str, bool)> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(match name.strip_prefix('*') {
        Some(name) => (name, true),
        None => (name, false),
    })
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|each| each.is_ascii_alphanumeric() || each == b'_')
}

/// What is written in one way only, so that no two of a template's parts can be the same.
fn is_literal(segment: &str) -> bool {
    let is_plain = |each: u8| each.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&each);
    segment.bytes().all(is_plain) && !matches!(segment, "." | "..")
}

const PATH_HELP: &str = "it begins with `/` and has no `?`, `#`, braces, `//`, `.` or `..` \
                         segment, and no encoded separator";
const TEMPLATE_HELP: &str = "it is like `/users/{id}/orders` or `/files/{*rest}`: whole segments, \
                             at least one of them in braces, and a `{*rest}` at the end only";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_alone() {
        for host in ["api.example.com", "localhost", "10.0.0.1", "[::1]", "a_b"] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            "a:80",
            "*.example.com",
            "http://a",
            "a/",
            "a..b",
            "a.",
            "::1",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn a_path_that_no_request_has_is_refused() {
        for path in ["/", "/a", "/a/", "/a/b.c/d%20e"] {
            assert!(is_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "/a/../b",
            "/.",
            "/a?b",
            "/a b",
            "/ä",
            "/{a}",
            "/a%2Fb",
            "/a%",
            "/a<b",
            "/%2e%2e/a",
        ] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn a_template_stands_for_whole_segments() {
        for template in ["/{a}", "/a/{b}/c", "/a/{b}/", "/a/{*b}", "/{a}/{b_1}"] {
            assert!(is_template(template), "{template}");
        }
        for template in [
            "", "/", "/a", "{a}", "/a{b}", "/{}", "/{*a}/b", "/{a}//b", "/{a}/..", "/{a}/%20",
            "/{a}/;x", "/{a-b}", "/{a}/{*}", "/{a}?b",
        ] {
            assert!(!is_template(template), "{template}");
        }
        let path = |text: &str| PathMatch::Template(text.to_owned());
        assert_eq!(
            nameless(&path("/a/{b}/{*c}")),
            nameless(&path("/a/{x}/{*y}"))
        );
        assert_ne!(nameless(&path("/a/{b}")), nameless(&path("/a/{*b}")));
    }
}
