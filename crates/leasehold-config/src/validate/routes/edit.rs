use std::collections::BTreeMap;

use leasehold_model::is_header_alias;

use crate::code::Code;
use crate::document::{HeaderEditsDocument, RewriteDocument};
use crate::node::Place;
use crate::secret_scan;
use crate::snapshot::Snapshot;
use crate::snapshot::route::Route;
use crate::snapshot::route::edit::{HeaderEdits, HostRewrite, Rewrite};
use crate::validate::Check;

impl Check<'_> {
    pub(super) fn rewrite(
        &mut self,
        written: Option<RewriteDocument>,
        place: Place<'_>,
    ) -> Rewrite {
        let RewriteDocument { prefix, host } = written.unwrap_or_default();
        Rewrite {
            prefix: prefix.map(|it| self.plain_path(it, place.field("prefix"))),
            host: match host.as_deref() {
                None => HostRewrite::Upstream,
                Some("preserve") => HostRewrite::Preserve,
                Some(host) => HostRewrite::Fixed(self.host(host, place.field("host"))),
            },
        }
    }

    pub(super) fn edits(
        &mut self,
        written: Option<HeaderEditsDocument>,
        place: Place<'_>,
    ) -> HeaderEdits {
        let HeaderEditsDocument { set, add, remove } = written.unwrap_or_default();
        let at_remove = place.field("remove");
        HeaderEdits {
            set: self.values(set, place.field("set")),
            add: self.values(add, place.field("add")),
            remove: remove
                .iter()
                .enumerate()
                .map(|(index, name)| self.header_name(name, at_remove.item(index)))
                .collect(),
        }
    }

    /// Checks the value of a header that stands in the document, and so must be no secret.
    pub(super) fn value_of_header(&mut self, value: &str, place: Place<'_>) {
        let is_word = |each: char| each.is_ascii_alphanumeric() || "+/=_-".contains(each);
        let mut words = value.split(|each| !is_word(each));
        if words.any(secret_scan::looks_random) {
            self.report.hide(place.node());
            let what = "what looks like a secret value";
            self.report
                .add(secret_scan::in_document(place.span(), what));
        } else if !is_value(value) {
            self.report.hide(place.node());
            let message = "this is not the value of a header";
            let help = "it is printable ASCII without spaces at its ends, 1,024 characters at most";
            self.fault(Code::BadHeader, place, message, help);
        }
    }

    /// Reports edits of what the gateway itself places or takes away: the consumer key and the
    /// credentials of the route's upstreams.
    pub(in crate::validate) fn edits_leave_what_is_ours(
        &mut self,
        snapshot: &Snapshot,
        root: Place<'_>,
    ) {
        let section = root.field("routes");
        for (index, route) in snapshot.routes.iter().enumerate() {
            let ours = ours(snapshot, route);
            let place = section.item(index).field("request_headers");
            let edits = &route.request_headers;
            let named = edits.set.iter().chain(&edits.add).map(|(name, _)| name);
            for name in named.chain(&edits.remove) {
                if ours.iter().any(|it| is_header_alias(name, it)) {
                    let message = format!("`{name}` carries who calls or a credential here");
                    let help = "the gateway itself places it and takes it away: choose another";
                    self.fault(Code::BadHeader, place, message, help);
                }
            }
        }
    }

    fn values(
        &mut self,
        written: BTreeMap<String, String>,
        place: Place<'_>,
    ) -> Vec<(String, String)> {
        let mut read = Vec::new();
        for (name, value) in written {
            let at = place.field(&name);
            self.value_of_header(&value, at);
            read.push((self.header_name(&name, at), value));
        }
        read
    }
}

/// Returns the headers that the gateway itself places in or takes out of the route's requests.
fn ours<'a>(snapshot: &'a Snapshot, route: &'a Route) -> Vec<&'a str> {
    let mirrored = route.mirror.iter().map(|mirror| &mirror.upstream);
    let named = route.target.upstreams().chain(mirrored);
    let upstreams = named.filter_map(|name| snapshot.upstreams.iter().find(|it| it.name == *name));
    let used = upstreams.flat_map(|upstream| &upstream.credentials);
    let places = used.flat_map(|used| used.injection.headers());
    let identity = snapshot.identity_headers.named().map(|(_, name)| name);
    let shown = snapshot.shown_in().chain(identity);
    shown.chain(places).collect()
}

fn is_value(value: &str) -> bool {
    value.len() <= LONGEST_VALUE
        && value.trim() == value
        && value
            .bytes()
            .all(|each| each == b' ' || each.is_ascii_graphic())
}

const LONGEST_VALUE: usize = 1024;
