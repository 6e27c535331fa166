mod cors;
mod edit;
pub(super) mod matching;
mod reflection;
mod retry;
mod target;
mod upgrades;

use std::collections::{HashMap, HashSet};

use leasehold_model::{ConsumerName, RouteName};

use super::{CONSUMER, Check};
use crate::code::Code;
use crate::document::{AdmissionDocument, AdmissionWord, RouteDocument};
use crate::fault::Fault;
use crate::node::{Place, Span};
use crate::snapshot::route::matching::Match;
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
        let websocket = self.websocket(&written, place);
        let matches = self.matches(written.matches.unwrap_or_default(), place.field("match"));
        let targets = (written.upstream, written.upstreams, written.redirect);
        let requests = place.field("request_headers");
        let responses = place.field("response_headers");
        Route {
            name: self.route_name(written.name, &matches, place),
            target: self.target(targets, &matches, place),
            scopes: self.route_scopes(written.scopes, &written.consumers, place.field("scopes")),
            consumers: self.admission(written.consumers, place.field("consumers")),
            rewrite: self.rewrite(written.rewrite, place.field("rewrite")),
            request_headers: self.edits(written.request_headers, requests),
            response_headers: self.edits(written.response_headers, responses),
            mirror: written
                .mirror
                .as_ref()
                .map(|it| self.mirror(it, place.field("mirror"))),
            websocket,
            timeouts: self.route_timeouts(written.timeouts, place.field("timeouts")),
            retry: written.retry.map(|it| self.retry(it, place.field("retry"))),
            cors: written
                .cors
                .map(|it| self.cors(it, &matches, place.field("cors"))),
            limits: self.route_limits(written.limits, place.field("limits")),
            reflection: reflection::read(written.reflection),
            matches,
        }
    }

    /// Reports a route that could never be told from one above it.
    fn collisions(&mut self, route: &Route, above: &mut Above, place: Place<'_>) {
        let at = place.field("match");
        let same = above
            .matches
            .insert(same_requests(&route.matches), at.span());
        let has_new_name = above.names.insert(route.name.clone());
        if let Some(other) = same {
            let message = "another route takes exactly the same requests";
            let help = "remove one of them, or give this one another `match`";
            let fault = Fault::new(Code::DuplicateRoute, at.span(), message).with_help(help);
            self.report.add(fault.with_other(other, "the other one"));
        } else if !has_new_name {
            let message = "another route has this name";
            let help = "give one of them another `name`";
            self.fault(Code::DuplicateName, place.field("name"), message, help);
        }
    }

    fn route_name(
        &mut self,
        written: Option<String>,
        matches: &Match,
        place: Place<'_>,
    ) -> RouteName {
        let Some(name) = written else {
            let derived = format!(
                "{}{}",
                matching::host_text(&matches.host),
                matches.path.text()
            );
            return RouteName::from(derived.as_str());
        };
        if !words::is_name(&name) {
            let place = place.field("name");
            self.report.hide_unless_name(place.node());
            self.fault(Code::BadName, place, "this is not a name", words::NAME_HELP);
        }
        RouteName::from(name.as_str())
    }

    fn route_scopes(
        &mut self,
        written: Option<Vec<String>>,
        consumers: &AdmissionDocument,
        place: Place<'_>,
    ) -> Vec<String> {
        let scopes = written.unwrap_or_default();
        self.scopes(&scopes, place);
        if !scopes.is_empty() && matches!(consumers, AdmissionDocument::Word(_)) {
            let message = "a route that is open to anyone asks nobody what they may do";
            let help = "name the consumers that it is open to, or remove `scopes`";
            self.fault(Code::BadCombination, place, message, help);
        }
        scopes
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
    matches: HashMap<Match, Span>,
    names: HashSet<RouteName>,
}

/// Returns a match that is equal for routes that take the same requests: the names in a template
/// say nothing.
fn same_requests(matches: &Match) -> Match {
    Match {
        path: matching::nameless(&matches.path),
        ..matches.clone()
    }
}
