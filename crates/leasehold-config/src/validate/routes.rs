use std::collections::HashSet;

use leasehold_model::{ConsumerName, RouteName, UpstreamName};

use super::{CONSUMER, Check, UPSTREAM};
use crate::code::Code;
use crate::document::{AdmissionDocument, AdmissionWord, MatchDocument, RouteDocument};
use crate::node::Place;
use crate::snapshot::route::{Admission, Route};
use crate::words;

impl Check<'_> {
    pub(super) fn routes(&mut self, routes: Vec<RouteDocument>, root: Place<'_>) -> Vec<Route> {
        let section = root.field("routes");
        let mut read = Vec::new();
        let mut above = Above::default();
        for (index, written) in routes.into_iter().enumerate() {
            let place = section.item(index);
            let route = self.route(written, place);
            self.collisions(&route, &mut above, place);
            read.push(route);
        }
        read
    }

    fn route(&mut self, written: RouteDocument, place: Place<'_>) -> Route {
        let MatchDocument { host, path } = written.matches.unwrap_or_default();
        let matches = place.field("match");
        let host = host.map(|host| self.host(&host, matches.field("host")));
        let path = self.prefix_path(path, matches.field("path"));
        self.reference(&written.upstream, UPSTREAM, place.field("upstream"));
        Route {
            name: self.route_name(written.name, host.as_deref(), &path, place),
            upstream: UpstreamName::from(written.upstream.as_str()),
            consumers: self.admission(written.consumers, place.field("consumers")),
            host,
            path,
        }
    }

    /// Reports a route that could never be told from one above it.
    fn collisions(&mut self, route: &Route, above: &mut Above, place: Place<'_>) {
        let is_new = above
            .matches
            .insert((route.host.clone(), route.path.clone()));
        let has_new_name = above.names.insert(route.name.clone());
        if !is_new {
            let message = "another route takes the same host and path";
            let help = "remove one of them, or give this one another `match`";
            self.fault(Code::DuplicateRoute, place.field("match"), message, help);
        } else if !has_new_name {
            let message = "another route has this name";
            self.fault(Code::DuplicateName, place.field("name"), message, "");
        }
    }

    fn route_name(
        &mut self,
        written: Option<String>,
        host: Option<&str>,
        path: &str,
        place: Place<'_>,
    ) -> RouteName {
        let Some(name) = written else {
            let derived = format!("{}{path}", host.unwrap_or_default());
            return RouteName::from(derived.as_str());
        };
        if !words::is_name(&name) {
            let place = place.field("name");
            self.report.hide_unless_name(place.node());
            self.fault(Code::BadName, place, "this is not a name", words::NAME_HELP);
        }
        RouteName::from(name.as_str())
    }

    fn host(&mut self, written: &str, place: Place<'_>) -> String {
        let host = written.to_ascii_lowercase();
        if !is_host(&host) {
            self.report.hide_unless_name(place.node());
            let message = "this is not a host name";
            let help = "write the name alone, like `api.example.com`: no scheme, port or `*`";
            self.fault(Code::BadHost, place, message, help);
        }
        host
    }

    fn prefix_path(&mut self, written: Option<String>, place: Place<'_>) -> String {
        let path = written.unwrap_or_else(|| "/".to_owned());
        if !is_prefix_path(&path) {
            self.report.hide_unless_name(place.node());
            let message = "this is not the beginning of a path";
            let help = "it begins with `/` and has no `?`, `#`, `//`, `.` or `..` segment";
            self.fault(Code::BadPath, place, message, help);
        }
        path
    }

    fn admission(&mut self, written: AdmissionDocument, place: Place<'_>) -> Admission {
        match written {
            AdmissionDocument::Word(AdmissionWord::Anyone) => Admission::Anyone,
            AdmissionDocument::These(names) => {
                for (index, name) in names.iter().enumerate() {
                    self.reference(name, CONSUMER, place.item(index));
                }
                let names = names.iter().map(|name| ConsumerName::from(name.as_str()));
                Admission::These(names.collect())
            }
        }
    }
}

/// What the routes above one are.
#[derive(Default)]
struct Above {
    matches: HashSet<(Option<String>, String)>,
    names: HashSet<RouteName>,
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
fn is_prefix_path(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let mut inner = segments.strip_suffix('/').unwrap_or(segments).split('/');
    path.bytes().all(|each| each.is_ascii_graphic())
        && !path.contains(['?', '#', '\\'])
        && (segments.is_empty()
            || inner.all(|segment| !segment.is_empty() && !matches!(segment, "." | "..")))
}

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
            assert!(is_prefix_path(path), "{path}");
        }
        for path in [
            "", "a", "//", "/a//b", "/a/../b", "/.", "/a?b", "/a b", "/ä",
        ] {
            assert!(!is_prefix_path(path), "{path}");
        }
    }
}
