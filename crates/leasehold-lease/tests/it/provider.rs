//! The simulated provider: what each call comes to.
#![expect(
    clippy::expect_used,
    reason = "a simulation that is out of step has to stop the test"
)]

use std::time::Duration;

use leasehold_lease::{Event, Kind, SessionTerms, SlotId, Terms};
use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch,
};

use crate::scenario::seconds;
use crate::simulation::{Life, Simulation, Value};

impl Simulation {
    pub(crate) fn login(&mut self, epoch: SessionEpoch) {
        self.outcome.logins += 1;
        let provider = self.provider;
        if self.fails() {
            let failure = self.a_failure();
            return self.answer(Event::LoginFailed {
                provider,
                epoch,
                failure,
            });
        }
        let life = Life {
            issued: self.now,
            ends: self.now.after(self.scenario.session_ttl),
            holder: None,
        };
        self.sessions.insert(epoch, life);
        let terms = self.terms(self.scenario.session_ttl, self.scenario.capped_logins);
        self.answer(Event::LoggedIn {
            provider,
            epoch,
            t_send: self.now,
            terms,
        });
    }

    pub(crate) fn renew_session(&mut self, epoch: SessionEpoch) {
        let provider = self.provider;
        let refusal = self.refusal(epoch).or(self.scenario.session_renewals_fail);
        if let Some(failure) = refusal {
            return self.answer(Event::SessionRenewFailed {
                provider,
                epoch,
                failure,
            });
        }
        let (now, ttl, max) = (
            self.now,
            self.scenario.session_ttl,
            self.scenario.session_max,
        );
        let life = self.sessions.get_mut(&epoch).expect("a live session");
        let (ttl, capped) = granted(now, life, ttl, max);
        life.ends = life.ends.max(now.after(ttl));
        let terms = self.terms(ttl, capped);
        self.answer(Event::SessionRenewed {
            provider,
            epoch,
            t_send: now,
            terms,
        });
    }

    pub(crate) fn revoke_session(&mut self, epoch: SessionEpoch) {
        let provider = self.provider;
        if let Some(failure) = self.refusal(epoch) {
            return self.answer(Event::SessionEndFailed {
                provider,
                epoch,
                failure,
            });
        }
        let holder = Some(Holder::Session(epoch));
        let alive = |it: &&Life| it.holder == holder && it.ends > self.now;
        let alive = self.leases.values().filter(alive).count();
        self.outcome.cascaded += u32::try_from(alive).unwrap_or(u32::MAX);
        self.kill_session(epoch);
        self.answer(Event::SessionEnded { provider, epoch });
    }

    pub(crate) fn fetch(&mut self, slot: SlotId, number: GenerationNumber, holder: Holder) {
        assert!(!self.stopping, "a fetch after shutdown");
        self.outcome.fetches += 1;
        let refusal = match holder {
            Holder::Session(epoch) => self.refusal(epoch),
            Holder::Anchor(anchor) => self.refusal_of_anchor(anchor, Failure::SessionDead),
        };
        let kind = *self.kinds.get(&slot).expect("a declared slot");
        let made = kind.is_issued() && self.rng.f64() < self.scenario.maybe_issued;
        let hangs = self.scenario.hangs && kind.is_issued();
        let refusal = refusal.map(|refusal| match refusal {
            Failure::Unreachable if hangs => Failure::MaybeIssued,
            refusal => refusal,
        });
        let refusal = refusal.or(made.then_some(Failure::MaybeIssued));
        if let Some(failure) = refusal.or(self.scenario.fetches_fail) {
            if failure == Failure::MaybeIssued {
                self.made(slot);
            }
            return self.answer(Event::FetchFailed {
                slot,
                number,
                holder,
                failure,
            });
        }
        let (terms, value) = match kind {
            Kind::Leased => self.issue(slot, holder),
            Kind::Certificate => {
                self.made(slot);
                let ttl = self.scenario.lease_ttl;
                (Terms::Certificate { ttl }, Value::default())
            }
            Kind::Versioned { .. } => {
                self.version += u64::from(self.rng.f64() < 0.2);
                let behind = u64::from(self.rng.f64() < self.scenario.stale);
                let version = (self.version - behind).max(1);
                (Terms::Versioned { version }, stored(version))
            }
            Kind::Rotating { .. } => {
                let (version, next) = self.account();
                self.outcome.reads += 1;
                let rotation = version;
                (Terms::Rotating { rotation, next }, stored(version))
            }
            Kind::Hinted { .. } => {
                let changed = self.rng.f64() < 0.2 || !self.served.contains_key(&slot);
                self.version += u64::from(changed);
                let refresh = self.scenario.hint;
                (Terms::Hinted { refresh, changed }, stored(self.version))
            }
        };
        self.candidates.insert((slot, number), value);
        self.answer(Event::Fetched {
            slot,
            number,
            t_send: self.now,
            terms,
        });
    }

    /// Returns which password the rotated account has, and when the next change is due.
    pub(crate) fn account(&self) -> (u64, Duration) {
        let period = self.scenario.rotation;
        let age = self.now.since(self.start);
        let changed = age.saturating_sub(self.scenario.rotates_late);
        let rotation = changed.as_nanos() / period.as_nanos();
        let rotation = u64::try_from(rotation).expect("a short run");
        let due = period.saturating_mul(u32::try_from(rotation).expect("a short run") + 1);
        (rotation + 1, due.saturating_sub(age))
    }

    fn issue(&mut self, slot: SlotId, holder: Holder) -> (Terms, Value) {
        self.outcome.issued += 1;
        self.write();
        self.made(slot);
        let lease_id = LeaseId::from(format!("lease-{}", self.outcome.issued).as_str());
        let ttl = self.scenario.lease_ttl;
        let life = Life {
            issued: self.now,
            ends: self.now.after(ttl),
            holder: Some(holder),
        };
        self.leases.insert(lease_id.clone(), life);
        let value = Value {
            lease: Some(lease_id.clone()),
            version: 0,
        };
        let renewable = self.scenario.leases_renewable;
        let terms = Terms::Leased {
            lease_id,
            ttl,
            renewable,
        };
        (terms, value)
    }

    pub(crate) fn renew(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        epoch: SessionEpoch,
        lease: &LeaseId,
    ) {
        let refusal = self.refusal(epoch);
        let broken = (!self.scenario.renewal_works).then_some(Failure::Transient);
        self.write();
        if self.rng.f64() < self.scenario.revoked_by_others {
            self.leases.remove(lease);
        }
        let (ttl, max) = (self.scenario.lease_ttl, self.scenario.lease_max);
        let now = self.now;
        let life = self.leases.get_mut(lease).filter(|life| life.ends > now);
        let gone = life.is_none().then_some(Failure::LeaseGone);
        if let Some(failure) = refusal.or(broken).or(gone) {
            return self.answer(Event::RenewFailed {
                slot,
                number,
                epoch,
                failure,
            });
        }
        let life = life.expect("checked above");
        let (ttl, capped) = granted(now, life, ttl, max);
        // A maximum life is told in whole seconds; the lease does not end sooner for it.
        life.ends = life.ends.max(now.after(ttl));
        self.answer(Event::Renewed {
            slot,
            number,
            t_send: now,
            ttl,
            capped,
        });
    }

    pub(crate) fn revoke(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        epoch: SessionEpoch,
        lease: &LeaseId,
    ) {
        self.write();
        let served = self.served.get(&slot).map(|served| served.number);
        assert_ne!(served, Some(number), "what is served must not be revoked");
        if let Some(failure) = self.refusal(epoch).or(self.scenario.revocations_fail) {
            return self.answer(Event::RevokeFailed {
                slot,
                number,
                epoch,
                failure,
            });
        }
        if let Some(life) = self.leases.get_mut(lease) {
            life.ends = life.ends.min(self.now);
        }
        self.answer(Event::Revoked { slot, number });
    }

    const fn terms(&self, ttl: Duration, capped: bool) -> SessionTerms {
        SessionTerms {
            ttl: Some(ttl),
            renewable: self.scenario.sessions_renewable,
            capped,
        }
    }

    /// Returns why the provider refuses a call made in this session, if it does.
    fn refusal(&mut self, epoch: SessionEpoch) -> Option<Failure> {
        if self.rng.f64() < self.scenario.session_death {
            self.kill_session(epoch);
        }
        if self
            .sessions
            .get(&epoch)
            .is_none_or(|life| life.ends <= self.now)
        {
            return Some(Failure::SessionDead);
        }
        self.fails().then(|| self.a_failure())
    }

    pub(crate) fn mint(&mut self, epoch: SessionEpoch, anchor: AnchorEpoch) {
        let provider = self.provider;
        if let Some(failure) = self.refusal(epoch).or(self.scenario.mints_fail) {
            return self.answer(Event::AnchorMintFailed {
                provider,
                anchor,
                epoch,
                failure,
            });
        }
        self.outcome.anchors += 1;
        let period = self.scenario.anchor_period;
        let life = Life {
            issued: self.now,
            ends: self.now.after(period),
            holder: None,
        };
        self.anchors.insert(anchor, life);
        self.answer(Event::AnchorMinted {
            provider,
            anchor,
            t_send: self.now,
            terms: periodic(period),
        });
    }

    pub(crate) fn renew_anchor(&mut self, epoch: SessionEpoch, anchor: AnchorEpoch) {
        let provider = self.provider;
        let refusal = self.refusal(epoch);
        let refusal = refusal.or_else(|| self.refusal_of_anchor(anchor, Failure::LeaseGone));
        if let Some(failure) = refusal {
            return self.answer(Event::AnchorRenewFailed {
                provider,
                anchor,
                epoch,
                failure,
            });
        }
        let period = self.scenario.anchor_period;
        let life = self.anchors.get_mut(&anchor).expect("a live anchor");
        life.ends = self.now.after(period);
        self.answer(Event::AnchorRenewed {
            provider,
            anchor,
            t_send: self.now,
            terms: periodic(period),
        });
    }

    pub(crate) fn revoke_anchor(&mut self, epoch: SessionEpoch, anchor: AnchorEpoch) {
        let provider = self.provider;
        if let Some(failure) = self.refusal(epoch) {
            return self.answer(Event::AnchorRevokeFailed {
                provider,
                anchor,
                epoch,
                failure,
            });
        }
        let holder = Some(Holder::Anchor(anchor));
        let alive = |it: &&Life| it.holder == holder && it.ends > self.now;
        let alive = self.leases.values().filter(alive).count();
        self.outcome.cascaded += u32::try_from(alive).unwrap_or(u32::MAX);
        self.kill_anchor(anchor);
        self.answer(Event::AnchorRevoked { provider, anchor });
    }

    pub(crate) fn revoke_orphan(&mut self, epoch: SessionEpoch, lease_id: LeaseId) {
        let provider = self.provider;
        if let Some(failure) = self.refusal(epoch).or(self.scenario.revocations_fail) {
            return self.answer(Event::OrphanRevokeFailed {
                provider,
                lease_id,
                epoch,
                failure,
            });
        }
        assert!(self.orphans.remove(&lease_id), "an orphan is revoked once");
        self.outcome.orphans_gone_at = self.now.since(self.start);
        self.answer(Event::OrphanRevoked { provider, lease_id });
    }

    pub(crate) fn revoke_former(&mut self, epoch: SessionEpoch, accessor: Accessor) {
        let provider = self.provider;
        assert!(
            self.scenario.revocations_fail.is_some() || self.engine.orphans() == 0,
            "leases of an earlier process are revoked by name before what they hang on"
        );
        if let Some(failure) = self.refusal(epoch) {
            return self.answer(Event::FormerRevokeFailed {
                provider,
                accessor,
                epoch,
                failure,
            });
        }
        self.outcome.formers += 1;
        self.answer(Event::FormerRevoked { provider, accessor });
    }

    fn refusal_of_anchor(&mut self, anchor: AnchorEpoch, dead: Failure) -> Option<Failure> {
        if self.rng.f64() < self.scenario.anchor_death {
            self.kill_anchor(anchor);
        }
        let now = self.now;
        if self
            .anchors
            .get(&anchor)
            .is_none_or(|life| life.ends <= now)
        {
            return Some(dead);
        }
        self.fails().then(|| self.a_failure())
    }

    fn kill_anchor(&mut self, anchor: AnchorEpoch) {
        self.anchors.remove(&anchor);
        let holder = Some(Holder::Anchor(anchor));
        self.leases.retain(|_, life| life.holder != holder);
    }

    /// Checks the budget: three new credentials of a slot within the life of one, at most.
    fn made(&mut self, slot: SlotId) {
        let made = self.made.entry(slot).or_default();
        made.push_back(self.now);
        if made.len() > 3 {
            let first = made.pop_front().expect("four of them");
            // A little less: the engine counts with what it may use of a grant.
            let life = self.granted.get(&slot).map(|life| life.mul_f64(0.75));
            let last = made.get(1).copied().unwrap_or(first);
            let served = self.served.get(&slot);
            let outage = served.is_none_or(|it| it.deadline.since(self.now) <= seconds(15));
            let outage = outage && self.now.since(last) >= seconds(10);
            let life = life.filter(|_| !outage && !self.unbounded.contains(&slot));
            assert!(
                life.is_none_or(|life| self.now.since(first) >= life.min(seconds(900))),
                "{slot:?}: four credentials within {:?}",
                self.now.since(first)
            );
        }
    }

    fn a_failure(&mut self) -> Failure {
        match self.scenario.failing_with {
            Some(failure) => failure,
            None => match self.rng.u32(0..4) {
                0 => Failure::Transient,
                1 => Failure::SlowDown { retry_after: None },
                _ => Failure::Unreachable,
            },
        }
    }

    /// Counts a write, and checks that there are no more than the governor allows.
    fn write(&mut self) {
        if self.stopping {
            return;
        }
        let now = self.now;
        self.writes.push_back(now);
        while self
            .writes
            .front()
            .is_some_and(|at| now.since(*at) >= seconds(1))
        {
            self.writes.pop_front();
        }
        let count = u32::try_from(self.writes.len()).expect("few writes");
        self.outcome.most_writes = self.outcome.most_writes.max(count);
    }

    fn kill_session(&mut self, epoch: SessionEpoch) {
        self.sessions.remove(&epoch);
        // Its leases die with it.
        let holder = Some(Holder::Session(epoch));
        self.leases.retain(|_, life| life.holder != holder);
    }

    fn fails(&mut self) -> bool {
        let age = self.now.since(self.start);
        let out = |(from, until)| from <= age && age < until;
        self.scenario.outage.is_some_and(out) || self.rng.f64() < self.scenario.failure
    }
}

/// Returns what a renewal gives: the time asked for, or what is left of the maximum life, in whole
/// seconds as OpenBao answers.
fn granted(now: BootTime, life: &Life, ttl: Duration, max: Duration) -> (Duration, bool) {
    let left = Duration::from_secs(life.issued.after(max).since(now).as_secs());
    (ttl.min(left), left < ttl)
}

const fn stored(version: u64) -> Value {
    Value {
        lease: None,
        version,
    }
}

const fn periodic(period: Duration) -> SessionTerms {
    SessionTerms {
        ttl: Some(period),
        renewable: true,
        capped: false,
    }
}
