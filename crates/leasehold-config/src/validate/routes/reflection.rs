//! Which answers can be looked through for what their upstreams are shown.

use crate::code::Code;
use crate::document::ReflectionWord;
use crate::node::Place;
use crate::snapshot::Snapshot;
use crate::snapshot::route::{Reflection, Route};
use crate::snapshot::upstream::Injection;
use crate::validate::Check;

pub(super) const fn read(written: Option<ReflectionWord>) -> Reflection {
    match written {
        None | Some(ReflectionWord::Off) => Reflection::Off,
        Some(ReflectionWord::Report) => Reflection::Report,
        Some(ReflectionWord::Mask) => Reflection::Mask,
        Some(ReflectionWord::Block) => Reflection::Block,
    }
}

impl Check<'_> {
    /// Reports routes whose answers are to be looked through where there is nothing to look for: whoever
    /// wrote that believes in a guard that is not there.
    pub(in crate::validate) fn answers_are_looked_through(
        &mut self,
        snapshot: &Snapshot,
        root: Place<'_>,
    ) {
        let section = root.field("routes");
        for (index, route) in snapshot.routes.iter().enumerate() {
            if route.reflection == Reflection::Off || sends_back(snapshot, route) {
                continue;
            }
            let message = "no upstream of this route is sent a credential that it could send back";
            let help =
                "remove `reflection`, or give the upstream a credential in the head of requests";
            let place = section.item(index).field("reflection");
            self.fault(Code::BadCombination, place, message, help);
        }
    }
}

/// Tells whether some upstream of the route is sent a credential. What is not declared has been reported.
fn sends_back(snapshot: &Snapshot, route: &Route) -> bool {
    let mut upstreams = route.target.upstreams();
    upstreams.any(|name| {
        let upstream = snapshot.upstreams.iter().find(|it| it.name == *name);
        upstream.is_none_or(|it| {
            let mut used = it.credentials.iter().map(|used| &used.injection);
            used.any(|it| !matches!(it, Injection::ClientCertificate { .. }))
        })
    })
}
