//! What an upstream is shown, and for which requests.

use std::collections::BTreeSet;

use leasehold_model::{ConsumerName, CredentialName, RouteName};

use crate::code::Code;
use crate::document::{
    CredentialUseDocument, InjectionDocument, SelectorDocument, SuspectDocument, UpstreamDocument,
};
use crate::fault::Fault;
use crate::node::{Node, Place};
use crate::snapshot::Snapshot;
use crate::snapshot::route::Admission;
use crate::snapshot::upstream::{CredentialUse, Selector, Suspect, Upstream};
use crate::validate::injection::Fields;
use crate::validate::{CONSUMER, CREDENTIAL, Check};
use crate::words;

/// Returns the place of the first certificate of a credential that is shown at the TLS handshake.
pub(super) fn at_handshake<'a>(upstream: &UpstreamDocument, place: Place<'a>) -> Option<Place<'a>> {
    let shown = |inject: &InjectionDocument| inject.client_certificate.is_some();
    if upstream.inject.as_ref().is_some_and(shown) {
        return Some(place.field("inject").field("client_certificate"));
    }
    let mut several = upstream.credentials.iter().flatten();
    let index = several.position(|it| shown(&it.inject))?;
    let entry = place.field("credentials").item(index);
    Some(entry.field("inject").field("client_certificate"))
}

impl Check<'_> {
    /// Reads what the upstream is shown: one credential in the short form, several in a list, or nothing.
    pub(super) fn credentials_shown(
        &mut self,
        upstream: &mut UpstreamDocument,
        fields: &Fields,
        name: &str,
        place: Place<'_>,
    ) -> Vec<CredentialUse> {
        let short = (
            upstream.credential.take(),
            upstream.inject.take(),
            upstream.suspect.take(),
        );
        let Some(several) = upstream.credentials.take() else {
            return Vec::from_iter(self.credential_use(short, fields, name, place));
        };
        if short.0.is_some() || short.1.is_some() || short.2.is_some() {
            let message =
                "an upstream has `credentials`, or `credential` with `inject`, and not both";
            let help = "make what stands beside the list an entry of it: \
                        `- { credential: payments-key, inject: { header: X-Api-Key } }`";
            self.fault(
                Code::BadCombination,
                place.field("credentials"),
                message,
                help,
            );
        }
        self.several(several, fields, name, place.field("credentials"))
    }

    fn several(
        &mut self,
        several: Vec<CredentialUseDocument>,
        fields: &Fields,
        upstream: &str,
        place: Place<'_>,
    ) -> Vec<CredentialUse> {
        let mut read: Vec<(Place<'_>, CredentialUse)> = Vec::new();
        for (index, written) in several.into_iter().enumerate() {
            let at = place.item(index);
            self.reference(&written.credential, CREDENTIAL, at.field("credential"));
            let field = fields.get(&written.credential).cloned();
            let at_inject = at.field("inject");
            let entry = self.written_entry(upstream, at);
            let inject = |of: &Node| of.get("inject").map(|it| it.value.entries().len());
            let whole = entry.is_some_and(|it| inject(it) == inject(at.node()));
            let says_nothing = entry.and_then(|it| it.get("for"));
            let says_nothing = says_nothing.is_some_and(|it| it.value.entries().is_empty());
            if says_nothing {
                let message = "`for` says nothing without `consumers` or `routes`";
                let help = "remove it, or name whom the credential is for: \
                            `for: { consumers: [checkout] }`";
                self.fault(Code::Empty, at.field("for"), message, help);
            }
            let selector = self.selector(written.selector, at.field("for"));
            let injection = self.injection(written.inject, field, whole, at_inject);
            let Some(injection) = injection else { continue };
            let used = CredentialUse {
                credential: CredentialName::from(written.credential.as_str()),
                injection,
                selector,
                suspect: suspect(written.suspect),
            };
            self.beside(&used, &read, at);
            read.push((at, used));
        }
        read.into_iter().map(|(_, used)| used).collect()
    }

    /// Reports a credential that is never shown for one before it, and one at a place that an upstream may
    /// take for that of another.
    fn beside(
        &mut self,
        used: &CredentialUse,
        before: &[(Place<'_>, CredentialUse)],
        at: Place<'_>,
    ) {
        let place = used.injection.place();
        let blurred = before.iter();
        let mut blurred = blurred.filter(|(_, it)| it.injection.place().blurs(place));
        if let Some((other, _)) = blurred.next() {
            let message = "an upstream may take this place for that of another credential";
            let help = "give both the very same name, or names that differ in more than case, `.`, `-` \
                        and `_`";
            let fault = Fault::new(Code::BadCombination, at.field("inject").span(), message);
            let fault = fault
                .with_help(help)
                .with_other(other.span(), "the other one");
            self.report.add(fault);
        }
        let covering = before
            .iter()
            .find(|(_, it)| it.injection.place() == place && it.selector.covers(&used.selector));
        if let Some((other, _)) = covering {
            let message = "this credential is never shown: one before it at the same place is for all \
                           the requests that this one is for";
            let help = "put the one with the narrower `for` first, or show it at another place";
            let fault = Fault::new(Code::BadCombination, at.span(), message);
            let fault = fault
                .with_help(help)
                .with_other(other.span(), "always comes first");
            self.report.add(fault);
        }
    }

    fn selector(&mut self, written: Option<SelectorDocument>, place: Place<'_>) -> Selector {
        let Some(SelectorDocument { consumers, routes }) = written else {
            return Selector::default();
        };
        let named = place.field("consumers");
        for (index, name) in consumers.iter().flatten().enumerate() {
            self.reference(name, CONSUMER, named.item(index));
        }
        let consumers = consumers.iter().flatten();
        let routes = routes.iter().flatten();
        Selector {
            consumers: consumers
                .map(|it| ConsumerName::from(it.as_str()))
                .collect(),
            routes: routes.map(|it| RouteName::from(it.as_str())).collect(),
        }
    }

    /// Returns an entry of the list as it was written, with all its faults.
    fn written_entry(&self, upstream: &str, place: Place<'_>) -> Option<&Node> {
        let path = ["upstreams", upstream, "credentials"];
        let list = path.iter().try_fold(self.written, |node, key| {
            node.get(key).map(|entry| &entry.value)
        });
        let mut written = list?.items().iter();
        written.find(|it| it.span == place.node().span)
    }

    /// Reads the short form: a credential and its place, or nothing.
    fn credential_use(
        &mut self,
        written: (
            Option<String>,
            Option<InjectionDocument>,
            Option<SuspectDocument>,
        ),
        fields: &Fields,
        upstream: &str,
        place: Place<'_>,
    ) -> Option<CredentialUse> {
        let (credential, injection, written_suspect) = written;
        if let Some(credential) = &credential {
            self.reference(credential, CREDENTIAL, place.field("credential"));
        }
        let path = ["upstreams", upstream, "inject"];
        let whole_upstream = self.is_whole(&["upstreams", upstream], place);
        let at_inject = place.field("inject");
        match (credential, injection) {
            (Some(credential), Some(injection)) => {
                let field = fields.get(&credential).cloned();
                let whole = self.is_whole(&path, at_inject);
                Some(CredentialUse {
                    injection: self.injection(injection, field, whole, at_inject)?,
                    credential: CredentialName::from(credential.as_str()),
                    selector: Selector::default(),
                    suspect: suspect(written_suspect),
                })
            }
            (None, None) if written_suspect.is_none() => None,
            _ if !whole_upstream => None,
            (None, None) => self.alone("suspect", "credential", place.field("suspect")),
            (Some(_), None) => self.alone("credential", "inject", place.field("credential")),
            (None, Some(_)) => self.alone("inject", "credential", at_inject),
        }
    }

    fn alone<T>(&mut self, present: &str, absent: &str, place: Place<'_>) -> Option<T> {
        let message = format!("`{present}` says nothing without `{absent}`");
        let help = "name the credential and say where it is placed: `credential: payments-key` \
                    and `inject: { header: X-Api-Key }`";
        self.fault(Code::BadCombination, place, message, help);
        None
    }

    /// Reports what credentials are for and can't be: routes that there are not, or that do not lead to the
    /// upstream, and consumers on a route that asks nobody who it is.
    pub(in crate::validate) fn credentials_are_for_somebody(
        &mut self,
        snapshot: &Snapshot,
        root: Place<'_>,
    ) {
        let at_routes = root.field("routes").node().items().len();
        let written = self.written.get("routes");
        if written.is_some_and(|it| it.value.items().len() != at_routes) {
            // Some route has a fault of its own and is not there.
            return;
        }
        for upstream in &snapshot.upstreams {
            let place = root.field("upstreams").field(upstream.name.as_str());
            let place = place.field("credentials");
            if place.node().items().len() == upstream.credentials.len() {
                for (index, used) in upstream.credentials.iter().enumerate() {
                    let place = place.item(index).field("for");
                    self.routes_of(upstream, used, snapshot, place.field("routes"));
                    self.consumers_of(upstream, used, snapshot, place.field("consumers"));
                }
            }
        }
    }

    fn routes_of(
        &mut self,
        upstream: &Upstream,
        used: &CredentialUse,
        snapshot: &Snapshot,
        place: Place<'_>,
    ) {
        for (index, name) in used.selector.routes.iter().enumerate() {
            let place = place.item(index);
            match snapshot.routes.iter().find(|it| it.name == *name) {
                None => self.unknown_route(name, snapshot, place),
                Some(route) if !route.leads_to(&upstream.name) => {
                    let message = "this route does not lead to the upstream";
                    let help = "remove it from `for`, or send the route there";
                    self.fault(Code::BadCombination, place, message, help);
                }
                Some(_) => {}
            }
        }
    }

    fn unknown_route(&mut self, name: &RouteName, snapshot: &Snapshot, place: Place<'_>) {
        self.report.hide_unless_name(place.node());
        let names = || snapshot.routes.iter().map(|it| it.name.as_str());
        let meant = words::nearest(name.as_str(), names());
        let help = match meant.filter(|meant| words::may_be_shown(meant)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("declared are {}", words::list(names())),
        };
        let name = words::shown(name.as_str(), "this");
        let message = format!("{name} is not a declared route");
        self.fault(Code::UnknownRoute, place, message, &help);
    }

    fn consumers_of(
        &mut self,
        upstream: &Upstream,
        used: &CredentialUse,
        snapshot: &Snapshot,
        place: Place<'_>,
    ) {
        if used.selector.consumers.is_empty() {
            return;
        }
        let open = snapshot.routes.iter().find(|it| {
            let may_be = used.selector.may_be(&it.name) && it.leads_to(&upstream.name);
            may_be && it.consumers == Admission::Anyone
        });
        if let Some(route) = open {
            let name = words::shown(route.name.as_str(), "a route");
            let message = format!(
                "{name} leads to this upstream and is open to `anyone`, so nobody is told apart"
            );
            let help = "name the route's consumers, or name the other routes in `for`: \
                        `for: { consumers: [checkout], routes: [members] }`";
            self.fault(Code::BadCombination, place, message, help);
        }
    }
}

fn suspect(written: Option<SuspectDocument>) -> Suspect {
    let SuspectDocument { statuses, retry } = written.unwrap_or_default();
    let statuses = statuses.map(BTreeSet::from_iter);
    Suspect {
        statuses: statuses.unwrap_or_else(|| BTreeSet::from([UNAUTHORIZED])),
        retry: retry.unwrap_or(true),
    }
}

const UNAUTHORIZED: u16 = 401;
