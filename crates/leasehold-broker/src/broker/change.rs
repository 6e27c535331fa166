//! Credentials and providers that come and go while the broker runs.

use std::sync::Arc;

use leasehold_lease::{Event, ProviderId, SlotId};
use leasehold_model::{CredentialName, ProviderName};
use leasehold_provider::Provider;

use super::Broker;
use crate::change::{Change, Dismissal, Draft};
use crate::family::Family;
use crate::handle::Handle;
use crate::spec::UnknownProvider;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn change(&mut self, change: Change<P>) {
        match change {
            Change::Declare { draft, answer } => {
                if answer.send(self.declare(draft)).is_err() {
                    tracing::debug!("nobody waits for the draft any more");
                }
            }
            Change::Dismiss(dismissal) => self.dismiss(&dismissal),
            Change::Inherit(ledger, former) => {
                self.inherit_ledger(ledger, &former);
                self.step(Event::Tick, None);
            }
            Change::GiveBackWithin(budget) => self.budget = budget,
        }
    }

    /// Takes a draft, whole or not at all; [`crate::Changes::declare`] does so while the broker runs.
    ///
    /// # Errors
    ///
    /// When a credential names a provider that there is not.
    pub fn declare(&mut self, draft: Draft<P>) -> Result<(), UnknownProvider> {
        let is_drafted = |name: &ProviderName| draft.providers.iter().any(|it| it.name == *name);
        let is_known = |name: &ProviderName| self.by_name.contains_key(name) || is_drafted(name);
        if let Some(spec) = draft.asked().find(|it| !is_known(&it.provider)) {
            return Err(UnknownProvider {
                credential: spec.name.clone(),
                provider: spec.provider.clone(),
            });
        }
        for it in draft.providers {
            self.provider(it.name, it.provider, it.anchored);
        }
        for it in draft.credentials {
            let (name, declared) = self.declared(it.spec, it.parent)?;
            if !self.is_declared(&name) {
                self.metrics.ready(&name, false);
            }
            self.occupy(it.handle, None, Arc::new(declared));
        }
        for it in draft.families {
            let (_, declared) = self.declared(it.spec, it.parent)?;
            self.families
                .insert(it.family.number(), (it.family, Arc::new(declared)));
        }
        self.step(Event::Tick, None);
        Ok(())
    }

    fn dismiss(&mut self, dismissal: &Dismissal<P>) {
        for handle in &dismissal.handles {
            self.dismiss_handle(handle);
        }
        for family in &dismissal.families {
            self.dismiss_family(family);
        }
        for provider in &dismissal.providers {
            self.dismiss_provider(provider);
        }
    }

    fn dismiss_handle(&mut self, handle: &Handle<P>) {
        if let Some(slot) = handle.place().and_then(|it| self.held_at(it)) {
            self.dismiss_slots(vec![slot]);
            self.forget_name(handle.credential());
        }
    }

    /// Dismisses what consumers hold of a family. Those that wait for their first wait no longer.
    fn dismiss_family(&mut self, family: &Family<P>) {
        if self.families.remove(&family.number()).is_none() {
            return;
        }
        let mut slots = Vec::new();
        for member in family.close() {
            match member.place() {
                Some(place) => slots.extend(self.held_at(place)),
                None => member.close(),
            }
        }
        self.dismiss_slots(slots);
        self.forget_name(family.credential());
    }

    fn dismiss_provider(&mut self, provider: &Arc<dyn Provider>) {
        let is_it = |id: &ProviderId| self.caller(*id).is_some_and(|(_, it)| it.calls(provider));
        let Some(id) = self.engine_providers().find(is_it) else {
            return;
        };
        self.by_name.retain(|_, it| *it != id);
        let of_it = |(number, (_, declared)): (&usize, &(Family<P>, _))| {
            let declared: &Arc<super::Declared<P>> = declared;
            (declared.provider == id).then_some(*number)
        };
        let families: Vec<usize> = self.families.iter().filter_map(of_it).collect();
        let families = families.iter().filter_map(|it| self.families.get(it));
        let families: Vec<_> = families.map(|(family, _)| family.clone()).collect();
        for family in &families {
            self.dismiss_family(family);
        }
        let of_it = self.each().filter(|it| it.declared.provider == id);
        let slots = of_it.map(|it| it.place.slot).collect();
        self.dismiss_slots(slots);
        self.step(Event::ProviderDismissed { provider: id }, None);
    }

    fn dismiss_slots(&mut self, slots: Vec<SlotId>) {
        for slot in slots {
            if let Some(Some(credential)) = self.credentials.get_mut(slot.index()) {
                credential.dismissed = true;
            }
            self.step(Event::Dismissed { slot }, None);
        }
    }

    /// Takes the gauges of a credential down that nobody declares any more: one that stood at 0 would
    /// alarm people for good.
    fn forget_name(&self, name: &CredentialName) {
        if !self.is_declared(name) {
            self.metrics.forget_credential(name);
        }
    }

    fn is_declared(&self, name: &CredentialName) -> bool {
        let held = |it: &super::Credential<P>| it.handle.credential() == name;
        let mut families = self.families.values();
        self.each().any(|it| !it.dismissed && held(it))
            || families.any(|(family, _)| family.credential() == name)
    }

    /// Lets go of a provider where nothing is held any more.
    pub(super) fn forget_provider(&mut self, provider: ProviderId) {
        let forgotten = self.providers.get_mut(provider.index());
        if let Some((name, _)) = forgotten.and_then(Option::take) {
            tracing::info!(provider = %name, "nothing is held at the provider any more");
            if !self.by_name.contains_key(&name) {
                self.metrics.forget_provider(&name);
            }
        }
    }

    fn engine_providers(&self) -> impl Iterator<Item = ProviderId> {
        self.ids.iter().copied()
    }
}
