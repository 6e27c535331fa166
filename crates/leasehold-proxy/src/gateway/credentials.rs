//! What an upstream is shown: at each place one credential, chosen by who calls and by which route.

use std::ops::Range;
use std::sync::Arc;

use leasehold_broker::Generation;
use leasehold_inject::Prepared;
use leasehold_model::{ConsumerName, RouteName};

use super::spec::{CredentialUse, Held, Selector};

/// The credentials of an upstream, by place.
///
/// A request is shown one at each place, or is not sent: so what a consumer sends at any of them is
/// always replaced, and a choice that finds nothing can't let it through.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    uses: Vec<CredentialUse>,
    /// The alternatives at each place, in the order in which they are looked at.
    places: Vec<Range<usize>>,
}

/// Who asks, and by which route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) consumer: Option<&'a ConsumerName>,
    pub(crate) route: &'a RouteName,
}

/// There is a place that has no credential for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotForCaller;

impl Credentials {
    /// Takes the alternatives at each place.
    pub(super) fn new(places: Vec<Vec<CredentialUse>>) -> Self {
        let mut all = Self::default();
        for alternatives in places.into_iter().filter(|it| !it.is_empty()) {
            let start = all.uses.len();
            all.uses.extend(alternatives);
            all.places.push(start..all.uses.len());
        }
        all
    }

    /// Tells whether the upstream is shown nothing.
    pub(crate) const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Tells whether it is shown one credential and no more.
    pub(crate) const fn is_single(&self) -> bool {
        self.places.len() == 1
    }

    /// Returns all of them by their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &CredentialUse)> {
        self.uses.iter().enumerate()
    }

    /// Chooses, for each place, the first that is for whoever asks.
    pub(crate) fn chosen<'a>(
        &'a self,
        asking: Asking<'a>,
    ) -> impl Iterator<Item = Result<(usize, &'a CredentialUse), NotForCaller>> {
        self.places.iter().map(move |place| {
            let mut alternatives = place.clone().zip(self.at(place));
            let chosen = alternatives.find(|(_, it)| it.selector.is_for(asking));
            chosen.ok_or(NotForCaller)
        })
    }

    /// Returns those that some request of the route may be shown.
    pub(crate) fn of_route<'a>(
        &'a self,
        route: &'a RouteName,
    ) -> impl Iterator<Item = &'a CredentialUse> {
        self.uses.iter().filter(|it| it.selector.may_be(route))
    }

    /// Returns those that are shown where there is no request: at each place the one that is for
    /// everybody, or the first.
    pub(crate) fn of_nobody(&self) -> impl Iterator<Item = &CredentialUse> {
        self.places.iter().filter_map(|place| {
            let alternatives = self.at(place);
            let general = alternatives.iter().find(|it| it.selector.is_for_all());
            general.or_else(|| alternatives.first())
        })
    }

    /// Returns what was lent, with what says how it is shown.
    pub(crate) fn lent<'a>(
        &'a self,
        loan: &'a Loan,
    ) -> impl Iterator<Item = (&'a CredentialUse, &'a Arc<Generation<Prepared>>)> {
        let lent = loan.iter();
        lent.filter_map(|it| Some((self.uses.get(it.number)?, &it.generation)))
    }

    /// Returns the one of that number.
    pub(crate) fn get(&self, number: usize) -> Option<&CredentialUse> {
        self.uses.get(number)
    }

    /// Tells whether some answer makes the request worth sending again with newer ones.
    pub(super) fn may_be_renewed(&self) -> bool {
        let mut suspects = self.uses.iter().map(|it| &it.suspect);
        suspects.any(|it| it.retry && !it.statuses.is_empty())
    }

    /// Tells whether some request of the route may be shown what each consumer has one of.
    pub(super) fn are_issued_for_consumers(&self, route: &RouteName) -> bool {
        let mut held = self.of_route(route).map(|it| &it.held);
        held.any(|it| matches!(it, Held::PerConsumer(_)))
    }

    fn at(&self, place: &Range<usize>) -> &[CredentialUse] {
        self.uses.get(place.clone()).unwrap_or_default()
    }
}

impl Selector {
    fn is_for(&self, asking: Asking<'_>) -> bool {
        let is_named = |it| self.consumers.contains(it);
        self.may_be(asking.route)
            && (self.consumers.is_empty() || asking.consumer.is_some_and(is_named))
    }

    fn may_be(&self, route: &RouteName) -> bool {
        self.routes.is_empty() || self.routes.contains(route)
    }

    const fn is_for_all(&self) -> bool {
        self.consumers.is_empty() && self.routes.is_empty()
    }
}

/// The generations that one request is shown. Held until its answer has ended.
///
/// One is kept without a list, since there is hardly ever more than one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loan {
    first: Option<Lent>,
    others: Vec<Lent>,
}

/// One generation that a request is shown.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    /// Which of the upstream's credentials it is of.
    pub(crate) number: usize,
    pub(crate) generation: Arc<Generation<Prepared>>,
}

impl Loan {
    pub(crate) fn add(&mut self, number: usize, generation: Arc<Generation<Prepared>>) {
        let lent = Lent { number, generation };
        if self.first.is_none() {
            self.first = Some(lent);
        } else {
            self.others.push(lent);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lent> {
        self.first.iter().chain(&self.others)
    }

    /// Returns the generation of that credential.
    pub(crate) fn of(&self, number: usize) -> Option<&Arc<Generation<Prepared>>> {
        let lent = self.iter().find(|it| it.number == number);
        lent.map(|it| &it.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_for_those_whom_it_names_and_for_all_where_it_names_none() {
        let gold = ConsumerName::from("gold");
        let (eu, us) = (RouteName::from("eu"), RouteName::from("us"));
        let asking = |consumer, route| Asking { consumer, route };
        for (consumers, routes, expected) in [
            (&[][..], &[][..], [true, true, true]),
            (&["gold"], &[], [true, true, false]),
            (&["silver"], &[], [false, false, false]),
            (&[], &["eu"], [true, false, true]),
            (&["gold", "silver"], &["eu"], [true, false, false]),
            (&["silver"], &["eu"], [false, false, false]),
        ] {
            let selector = Selector {
                consumers: consumers.iter().map(|it| (*it).into()).collect(),
                routes: routes.iter().map(|it| (*it).into()).collect(),
            };
            let asked = [(Some(&gold), &eu), (Some(&gold), &us), (None, &eu)];
            let told = asked.map(|(consumer, route)| selector.is_for(asking(consumer, route)));
            assert_eq!(told, expected, "{consumers:?} {routes:?}");
            assert_eq!(
                selector.is_for_all(),
                consumers.is_empty() && routes.is_empty()
            );
        }
    }
}
