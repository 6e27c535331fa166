//! Credentials that each consumer has one of.

use std::num::NonZeroUsize;
use std::time::Duration;

use leasehold_model::{RouteName, UpstreamName};

use super::Check;
use super::source::Form;
use crate::code::Code;
use crate::document::{PerConsumerDocument, PerDocument};
use crate::node::Place;
use crate::snapshot::route::Admission;
use crate::snapshot::{Credential, Per, Snapshot};
use crate::words;

impl Check<'_> {
    /// Reads for whom a credential is issued; `form` is unknown where its source has a fault.
    pub(super) fn per(
        &mut self,
        written: Option<PerDocument>,
        form: Option<Form>,
        place: Place<'_>,
    ) -> Per {
        let Some(written) = written else {
            return Per::Instance;
        };
        if let Some(form) = form.filter(|form| !form.is_issued()) {
            let message = format!("`per: consumer` does not go with `{}`", form.name());
            let help = "it is the same for everybody: remove `per`, or have one issued with `lease`, \
                        `certificate` or `jwt`";
            self.fault(Code::BadCombination, place, message, help);
        }
        let PerConsumerDocument { cap, idle } = match written {
            PerDocument::Word(_) => PerConsumerDocument::default(),
            PerDocument::Limited(limited) => limited.consumer,
        };
        let place = place.field("consumer").field("idle");
        Per::Consumer {
            cap: cap.and_then(NonZeroUsize::new).unwrap_or(DEFAULT_CAP),
            idle: self.duration(idle.as_ref(), DEFAULT_IDLE, LEAST_IDLE, place),
        }
    }

    /// Reports routes that are open to everybody and use a credential that each consumer has one
    /// of: there is nobody to issue it for.
    pub(super) fn issued_for_somebody(&mut self, snapshot: &Snapshot, root: Place<'_>) {
        let section = root.field("routes");
        for (index, route) in snapshot.routes.iter().enumerate() {
            let mirrored = route.mirror.iter().map(|mirror| &mirror.upstream);
            let mut upstreams = route.target.upstreams().chain(mirrored);
            let shown = |name| issued_per_consumer(snapshot, name, &route.name);
            let Some(credential) = upstreams.find_map(shown) else {
                continue;
            };
            if route.consumers == Admission::Anyone {
                let name = words::shown(credential.name.as_str(), "the credential");
                let message = format!(
                    "{name} is issued for each consumer, and this route is open to `anyone`"
                );
                let help = "name the route's consumers, or remove `per` from the credential";
                let place = section.item(index).field("consumers");
                self.fault(Code::BadCombination, place, message, help);
            }
        }
    }
}

/// Returns a credential that the upstream may be shown for the route, where each consumer has one of its own.
fn issued_per_consumer<'a>(
    snapshot: &'a Snapshot,
    upstream: &UpstreamName,
    route: &RouteName,
) -> Option<&'a Credential> {
    let upstream = snapshot.upstreams.iter().find(|it| it.name == *upstream)?;
    let used = upstream.credentials.iter();
    let mut used = used.filter(|it| it.selector.may_be(route));
    used.find_map(|used| {
        let mut credentials = snapshot.credentials.iter();
        let credential = credentials.find(|it| it.name == used.credential)?;
        matches!(credential.per, Per::Consumer { .. }).then_some(credential)
    })
}

const DEFAULT_CAP: NonZeroUsize = NonZeroUsize::new(100).expect("one hundred is not zero");
const DEFAULT_IDLE: Duration = Duration::from_secs(10 * 60);
const LEAST_IDLE: Duration = Duration::from_secs(1);
