//! Finds the route, on exactly the bytes that are forwarded.
//!
//! Of all routes that take a request, one is chosen: by its host (exact, then the longest `*.` suffix,
//! then any), by its path (exact, then template, then the longest prefix), by how many conditions it
//! has, by its place in the document. A route whose conditions are not met is as if it were not there.
//!
//! Each look-up is made twice where an upstream could see another request than the one that was sent:
//! once as it was sent, once as such an upstream would see it. Both must come to the same route. A
//! rewritten path need not be looked at again: a rewrite puts one text before whole segments, so what
//! an upstream makes of the result is the rewrite of what it would have made of the path.

mod condition;
mod normal;
mod paths;
mod template;

use std::borrow::Cow;
use std::collections::HashMap;

use leasehold_model::ReasonCode;

use super::refuse::Refusal;
use crate::gateway::{HostMatch, MatchSpec};
use condition::Conditions;
use normal::normal_path;
use paths::Paths;

pub(crate) use condition::Ask;

/// The rules by which requests find their routes, which are numbered in the order they were given.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    exact: HashMap<Box<str>, Views>,
    /// By the host that they are below.
    below: HashMap<Box<str>, Views>,
    longest_below: usize,
    any: Views,
    /// By route number.
    conditions: Vec<Conditions>,
    looks_at: LooksAt,
}

impl RouteTable {
    /// Adds the next route, whose hosts are written as [`super::admit::admit`] returns them; returns
    /// the number of the one that takes exactly the same requests, where there is one.
    ///
    /// With `cors`, the route takes the questions that browsers ask before its requests, too.
    pub(crate) fn add(&mut self, matches: &MatchSpec, cors: bool) -> Result<(), usize> {
        let route = self.conditions.len();
        let conditions = Conditions::new(matches, cors);
        self.looks_at.add(&conditions);
        self.conditions.push(conditions);
        let views = match &matches.host {
            HostMatch::Any => &mut self.any,
            HostMatch::Exact(host) => self.exact.entry(host.as_str().into()).or_default(),
            HostMatch::Below(host) => {
                self.longest_below = self.longest_below.max(host.len());
                self.below.entry(host.as_str().into()).or_default()
            }
        };
        let normal = matches.path.map(|path| normal_path(path).into_owned());
        let rules = views.normal.at(&normal);
        let same = |other: &&usize| self.conditions.get(**other) == self.conditions.get(route);
        if let Some(other) = rules.iter().find(same) {
            return Err(*other);
        }
        insert(rules, route, &self.conditions);
        insert(views.sent.at(&matches.path), route, &self.conditions);
        Ok(())
    }

    /// Finds the number of the route for a request.
    ///
    /// # Errors
    ///
    /// When there is none, and when an upstream that decodes the path or the query, drops parameters,
    /// merges slashes, or chooses one of several equal headers would see the request of another route:
    /// what the one route keeps out must not come in by the other.
    pub(crate) fn find(&self, ask: &Ask<'_>) -> Result<usize, Refusal> {
        let takes = |route| self.conditions(route).is_none_or(|it| it.are_met(ask));
        let route = self.first(ask.host, |views| views.sent.find(ask.path, &takes));
        let normal = normal_path(ask.path);
        if matches!(normal, Cow::Owned(_)) || self.looks_at.what_may_differ(ask) {
            let may_take = |route| self.conditions(route).is_none_or(|it| it.may_be_met(ask));
            let other = self.first(ask.host, |views| views.normal.find(&normal, &may_take));
            if other != route {
                return Err(Refusal::bad_request(
                    "the request, once decoded, is that of another route",
                ));
            }
        }
        route.ok_or_else(|| ReasonCode::NoRoute.into())
    }

    /// Returns the conditions of a route; `None` where it has none.
    fn conditions(&self, route: usize) -> Option<&Conditions> {
        let conditions = self.conditions.get(route);
        conditions.filter(|it| !it.is_empty())
    }

    /// Looks among the routes for the host, from the most exact to those for any.
    fn first(&self, host: &str, find: impl Fn(&Views) -> Option<usize>) -> Option<usize> {
        let exact = self.exact.get(host).and_then(&find);
        let below = || self.suffixes(host).find_map(&find);
        exact.or_else(below).or_else(|| find(&self.any))
    }

    /// Returns the routes for hosts below one that the host is below, the longest first.
    fn suffixes<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Views> {
        // A longer suffix than there is can't be there: without this, a host of dots would be costly.
        let longest = self.longest_below;
        let dots = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
        let suffixes = dots.filter_map(|(dot, _)| host.get(dot + 1..));
        suffixes
            .filter(move |suffix| suffix.len() <= longest)
            .filter_map(|suffix| self.below.get(suffix))
    }
}

/// Puts a route among others for the same path: those with more conditions first, then those that
/// were there first.
fn insert(rules: &mut Vec<usize>, route: usize, conditions: &[Conditions]) {
    let count = |route: usize| conditions.get(route).map_or(0, Conditions::len);
    let before = |other: &usize| count(*other) >= count(route);
    rules.insert(rules.partition_point(before), route);
}

/// The routes for a host by their paths, as those are sent and as an upstream may see them.
#[derive(Debug, Default)]
struct Views {
    sent: Paths,
    normal: Paths,
}

/// What, beside the path, any route looks at.
#[derive(Debug, Default)]
struct LooksAt {
    methods: bool,
    headers: bool,
    query: bool,
}

impl LooksAt {
    fn add(&mut self, conditions: &Conditions) {
        self.methods |= conditions.look_at_methods();
        self.headers |= conditions.look_at_headers();
        self.query |= conditions.look_at_query();
    }

    /// Tells whether an upstream may see something else of the request there than was sent.
    fn what_may_differ(&self, ask: &Ask<'_>) -> bool {
        self.headers
            || self.query && ask.query.is_some()
            || self.methods
                && ask
                    .method
                    .as_str()
                    .bytes()
                    .any(|it| it.is_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests;
