//! Finds the route, on exactly the bytes that are forwarded.

use std::borrow::Cow;
use std::collections::HashMap;

use leasehold_model::ReasonCode;

use super::admit::escaped_byte;
use super::refuse::Refusal;

/// The rules by which requests find their routes, which are numbered in the order they were given.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    by_host: HashMap<Box<str>, Vec<Rule>>,
    any_host: Vec<Rule>,
}

impl RouteTable {
    /// Adds the route with the number `route`; returns the one that matches the same requests
    /// already, where there is one.
    pub(crate) fn add(
        &mut self,
        host: Option<&str>,
        prefix: &str,
        route: usize,
    ) -> Result<(), usize> {
        let rules = match host {
            Some(host) => self.by_host.entry(host.into()).or_default(),
            None => &mut self.any_host,
        };
        let rule = Rule {
            prefix: prefix.into(),
            normal: normal_path(prefix).into(),
            route,
        };
        if let Some(other) = rules.iter().find(|other| other.normal == rule.normal) {
            return Err(other.route);
        }
        // The longest first. Of two prefixes where one begins the other, the longer is also longer
        // in its normal form.
        let longer = |other: &Rule| other.normal.len() >= rule.normal.len();
        rules.insert(rules.partition_point(longer), rule);
        Ok(())
    }

    /// Finds the number of the route for a host, as [`super::admit::admit`] returned it, and a path.
    ///
    /// Routes of that host come before those of any host, and longer prefixes before shorter ones.
    ///
    /// # Errors
    ///
    /// When there is none, and when an upstream that decodes the path, drops its parameters or
    /// merges its slashes would see the path of another route: what the one route keeps out must not come in by the other.
    pub(crate) fn find(&self, host: &str, path: &str) -> Result<usize, Refusal> {
        let route = self.first(host, |rule| begins(path, &rule.prefix));
        let normal = normal_path(path);
        if let Cow::Owned(normal) = normal
            && self.first(host, |rule| begins(&normal, &rule.normal)) != route
        {
            return Err(Refusal::bad_request(
                "the path, once decoded, is that of another route",
            ));
        }
        route.ok_or_else(|| ReasonCode::NoRoute.into())
    }

    fn first(&self, host: &str, matches: impl Fn(&Rule) -> bool) -> Option<usize> {
        let own = self.by_host.get(host).map_or(&[][..], Vec::as_slice);
        let mut rules = own.iter().chain(&self.any_host);
        rules.find(|rule| matches(rule)).map(|rule| rule.route)
    }
}

#[derive(Debug)]
struct Rule {
    prefix: Box<str>,
    normal: Box<str>,
    route: usize,
}

/// Tells whether `path` lies below `prefix`: a prefix that does not end in a slash ends at one, so
/// that `/pay` leaves `/payments` alone.
fn begins(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

/// Decodes the path, drops its parameters and merges its slashes, as many upstreams do before they
/// look at it.
fn normal_path(path: &str) -> Cow<'_, str> {
    if !path.contains(['%', ';']) && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut normal = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let mut byte = byte;
        if byte == b'%'
            && let Some(escaped) = escaped_byte(after)
        {
            byte = escaped;
            rest = after.get(2..).unwrap_or_default();
        }
        if byte == b';' {
            let end = rest.iter().position(|byte| *byte == b'/');
            rest = end.and_then(|end| rest.get(end..)).unwrap_or_default();
            continue;
        }
        let merged = byte == b'/' && normal.last() == Some(&b'/');
        if !merged {
            normal.push(byte);
        }
    }
    // Only compared with others of its kind: bytes that are no text may be replaced in all of them.
    Cow::Owned(String::from_utf8_lossy(&normal).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        let table = table(&[(None, "/"), (None, "/a/b/"), (None, "/a/")]);
        assert_eq!(table.find("h", "/a/b/c"), Ok(1));
        assert_eq!(table.find("h", "/a/c"), Ok(2));
        assert_eq!(table.find("h", "/c"), Ok(0));
    }

    #[test]
    fn a_host_of_its_own_comes_before_any_host() {
        let table = table(&[(None, "/a/long/"), (Some("h"), "/a/"), (None, "/b/")]);
        assert_eq!(table.find("h", "/a/long/x"), Ok(1));
        assert_eq!(table.find("i", "/a/long/x"), Ok(0));
        assert_eq!(table.find("h", "/b/x"), Ok(2));
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let table = table(&[(None, "/pay"), (None, "/open/")]);
        assert_eq!(table.find("h", "/pay"), Ok(0));
        assert_eq!(table.find("h", "/pay/x"), Ok(0));
        assert_eq!(reason(&table, "/payments"), Some(ReasonCode::NoRoute));
        assert_eq!(reason(&table, "/open"), Some(ReasonCode::NoRoute));
    }

    #[test]
    fn case_matters_in_a_path() {
        let table = table(&[(None, "/a/")]);
        assert_eq!(reason(&table, "/A/"), Some(ReasonCode::NoRoute));
    }

    #[test]
    fn a_path_that_decodes_into_another_route_is_refused() {
        let table = table(&[(None, "/"), (None, "/admin/"), (None, "/caf%C3%A9/")]);
        for path in ["/%61dmin/x", "//admin/x", "/caf%c3%a9/x"] {
            assert_eq!(reason(&table, path), Some(ReasonCode::BadRequest), "{path}");
        }
        for path in [
            "/admin;x/y",
            "/;a/admin/x",
            "/admin%3bx/y",
            "/admin%3B/y",
            "/;/;/admin/",
        ] {
            assert_eq!(reason(&table, path), Some(ReasonCode::BadRequest), "{path}");
        }
        assert_eq!(table.find("h", "/admin/x;y=1/z"), Ok(1));
        assert_eq!(table.find("h", "/x;admin"), Ok(0));
        assert_eq!(table.find("h", "/admin/%61"), Ok(1));
        assert_eq!(table.find("h", "/admin//x"), Ok(1));
        assert_eq!(table.find("h", "/caf%C3%A9/x"), Ok(2));
        assert_eq!(table.find("h", "/x%20y"), Ok(0));
    }

    #[test]
    fn two_routes_for_the_same_requests_are_found_out() {
        let mut table = table(&[(None, "/a/"), (Some("h"), "/a/")]);
        assert_eq!(table.add(Some("h"), "/a/", 2), Err(1));
        assert_eq!(table.add(None, "/%61/", 2), Err(0));
        assert_eq!(table.add(None, "/a;x/", 2), Err(0));
        assert_eq!(table.add(Some("i"), "/a/", 2), Ok(()));
    }

    fn reason(table: &RouteTable, path: &str) -> Option<ReasonCode> {
        table.find("h", path).err().map(|refusal| refusal.reason)
    }

    fn table(rules: &[(Option<&str>, &str)]) -> RouteTable {
        let mut table = RouteTable::default();
        for (number, (host, prefix)) in rules.iter().enumerate() {
            table.add(*host, prefix, number).expect("no duplicates");
        }
        table
    }
}
