use std::time::Duration;

use leasehold_lease::Kind;

use leasehold_model::Failure;

/// What the simulated provider is like.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) length: Duration,
    pub(crate) leased: u32,
    pub(crate) versioned: u32,
    pub(crate) session_ttl: Duration,
    pub(crate) session_max: Duration,
    pub(crate) lease_ttl: Duration,
    pub(crate) lease_max: Duration,
    /// The chance that a call fails for no reason of ours.
    pub(crate) failure: f64,
    /// The chance that a call kills the session it was made in.
    pub(crate) session_death: f64,
    pub(crate) renewal_works: bool,
    /// The chance that a read is answered by a standby that is one version behind.
    pub(crate) stale: f64,
    /// The longest time that an answer takes.
    pub(crate) slowest: Duration,
    pub(crate) sessions_renewable: bool,
    pub(crate) leases_renewable: bool,
    /// Whether logins are told that they got less than their role asks for.
    pub(crate) capped_logins: bool,
    /// The chance that somebody else has revoked a lease by the time it is renewed.
    pub(crate) revoked_by_others: f64,
    /// What every renewal of a session fails with, if it does.
    pub(crate) session_renewals_fail: Option<Failure>,
    /// What every fetch fails with, if it does.
    pub(crate) fetches_fail: Option<Failure>,
    /// What every revocation fails with, if it does.
    pub(crate) revocations_fail: Option<Failure>,
    /// How long the faults go on after the shutdown has begun.
    pub(crate) faults_at_shutdown: Duration,
    /// Whether leases hang on anchors.
    pub(crate) anchored: bool,
    pub(crate) anchor_period: Duration,
    /// How likely an anchor is found dead at a call about it.
    pub(crate) anchor_death: f64,
    pub(crate) mints_fail: Option<Failure>,
    /// What a call that fails at random fails with; anything, where there is none.
    pub(crate) failing_with: Option<Failure>,
    /// How likely an issue fails after it has made a credential.
    pub(crate) maybe_issued: f64,
    pub(crate) certificates: u32,
    pub(crate) rotating: u32,
    pub(crate) hinted: u32,
    /// How often the rotated account's password changes, and how long after it was due.
    pub(crate) rotation: Duration,
    pub(crate) rotates_late: Duration,
    pub(crate) hint: Duration,
    /// Leases, and holders, that an earlier process left.
    pub(crate) orphans: u32,
    pub(crate) formers: u32,
    /// How often a second upstreams refuse, people ask, and consumers come and go.
    pub(crate) refusals: f64,
    pub(crate) asks: f64,
    pub(crate) consumers: f64,
    /// In an outage the provider takes calls and does not answer: an issue may have been made.
    pub(crate) hangs: bool,
    /// When, from the start, everything fails and when it works again.
    pub(crate) outage: Option<(Duration, Duration)>,
    /// Whether the run ends with leave taken of the provider, and the engine stops after that.
    pub(crate) leaves: bool,
}

impl Scenario {
    pub(crate) fn calm() -> Self {
        Self {
            length: seconds(1200),
            leased: 3,
            versioned: 1,
            session_ttl: seconds(3600),
            session_max: seconds(86_400),
            lease_ttl: seconds(60),
            lease_max: seconds(180),
            failure: 0.0,
            session_death: 0.0,
            renewal_works: true,
            stale: 0.0,
            slowest: Duration::from_millis(60),
            sessions_renewable: true,
            leases_renewable: true,
            capped_logins: false,
            revoked_by_others: 0.0,
            session_renewals_fail: None,
            fetches_fail: None,
            revocations_fail: None,
            faults_at_shutdown: Duration::ZERO,
            anchored: false,
            anchor_period: seconds(3600),
            anchor_death: 0.0,
            mints_fail: None,
            failing_with: Some(Failure::Transient),
            maybe_issued: 0.0,
            certificates: 0,
            rotating: 0,
            hinted: 0,
            rotation: seconds(30),
            rotates_late: Duration::ZERO,
            hint: Duration::ZERO,
            orphans: 0,
            formers: 0,
            refusals: 0.0,
            asks: 0.0,
            consumers: 0.0,
            hangs: false,
            outage: None,
            leaves: false,
        }
    }

    pub(crate) fn tiny() -> Self {
        Self {
            lease_ttl: seconds(3),
            lease_max: seconds(8),
            length: seconds(120),
            ..Self::calm()
        }
    }

    pub(crate) fn short_sessions() -> Self {
        Self {
            session_ttl: seconds(60),
            session_max: seconds(180),
            ..Self::calm()
        }
    }

    pub(crate) fn faulty() -> Self {
        Self {
            failure: 0.3,
            session_death: 0.02,
            ..Self::short_sessions()
        }
    }

    pub(crate) fn broken_renewal() -> Self {
        Self {
            renewal_works: false,
            lease_ttl: seconds(30),
            lease_max: seconds(600),
            ..Self::calm()
        }
    }

    pub(crate) fn stale_reads() -> Self {
        Self {
            leased: 0,
            versioned: 2,
            stale: 0.5,
            ..Self::calm()
        }
    }

    pub(crate) fn batch_sessions() -> Self {
        Self {
            session_ttl: seconds(60),
            sessions_renewable: false,
            ..Self::calm()
        }
    }

    pub(crate) fn leases_not_renewable() -> Self {
        Self {
            leases_renewable: false,
            ..Self::calm()
        }
    }

    pub(crate) fn capped_logins() -> Self {
        Self {
            capped_logins: true,
            ..Self::calm()
        }
    }

    pub(crate) fn dead_on_arrival() -> Self {
        Self {
            session_death: 1.0,
            length: seconds(60),
            ..Self::calm()
        }
    }

    pub(crate) fn nothing_granted() -> Self {
        Self {
            lease_ttl: Duration::ZERO,
            length: seconds(60),
            ..Self::calm()
        }
    }

    pub(crate) fn sessions_never_renewed(failure: Failure) -> Self {
        Self {
            session_renewals_fail: Some(failure),
            ..Self::short_sessions()
        }
    }

    pub(crate) fn revoked_by_others() -> Self {
        Self {
            revoked_by_others: 0.2,
            ..Self::calm()
        }
    }

    pub(crate) fn fetches_that_fail(failure: Failure) -> Self {
        Self {
            fetches_fail: Some(failure),
            length: seconds(300),
            ..Self::calm()
        }
    }

    pub(crate) fn revocations_denied() -> Self {
        Self {
            revocations_fail: Some(Failure::Denied),
            ..Self::calm()
        }
    }

    /// Leases run out in the outage.
    pub(crate) fn outage_of_leases() -> Self {
        Self {
            outage: Some((seconds(300), seconds(600))),
            ..Self::calm()
        }
    }

    /// Sessions run out in the outage, and leases that would have lasted with them.
    pub(crate) fn outage_of_sessions() -> Self {
        Self {
            lease_ttl: seconds(3600),
            lease_max: seconds(86_400),
            outage: Some((seconds(300), seconds(600))),
            ..Self::short_sessions()
        }
    }

    /// What is declared from the start.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let max_stale = seconds(300);
        let poll = seconds(10);
        let count = |count: u32, kind: Kind| (0..count).map(move |_| kind);
        count(self.leased, Kind::Leased)
            .chain(count(self.versioned, Kind::Versioned { poll, max_stale }))
            .chain(count(self.certificates, Kind::Certificate))
            .chain(count(self.rotating, Kind::Rotating { max_stale }))
            .chain(count(self.hinted, Kind::Hinted { poll, max_stale }))
            .collect()
    }

    /// Returns the least that a credential lives for as a rule.
    pub(crate) fn least_life(&self) -> Duration {
        let life = self.lease_ttl.min(self.session_ttl);
        if self.anchored {
            life.min(self.anchor_period)
        } else {
            life
        }
    }

    /// Leases hang on an anchor, and sessions are short.
    pub(crate) fn anchored() -> Self {
        Self {
            anchored: true,
            ..Self::short_sessions()
        }
    }

    pub(crate) fn anchors_refused() -> Self {
        Self {
            mints_fail: Some(Failure::Denied),
            ..Self::anchored()
        }
    }

    pub(crate) fn anchors_die() -> Self {
        Self {
            anchor_death: 0.2,
            length: seconds(2400),
            ..Self::anchored()
        }
    }

    /// Issues fail after they have made a credential, now and then.
    pub(crate) fn leaky() -> Self {
        Self {
            maybe_issued: 0.1,
            lease_ttl: seconds(300),
            lease_max: seconds(900),
            length: seconds(4 * 3600),
            ..Self::anchored()
        }
    }

    pub(crate) fn inherited() -> Self {
        Self {
            orphans: 200,
            formers: 2,
            length: seconds(120),
            ..Self::anchored()
        }
    }

    /// Upstreams refuse whatever they are shown, a hundred times a second.
    pub(crate) fn refused_upstream() -> Self {
        Self {
            refusals: 100.0,
            lease_ttl: seconds(300),
            lease_max: seconds(86_400),
            length: seconds(600),
            ..Self::anchored()
        }
    }

    pub(crate) fn rotated_accounts() -> Self {
        Self {
            leased: 0,
            versioned: 0,
            rotating: 2,
            ..Self::calm()
        }
    }

    pub(crate) fn other_kinds() -> Self {
        Self {
            certificates: 2,
            rotating: 1,
            hinted: 2,
            hint: seconds(5),
            ..Self::calm()
        }
    }

    /// Many leases, issued at once.
    pub(crate) fn many(leased: u32, lease_ttl: Duration) -> Self {
        Self {
            leased,
            versioned: 0,
            lease_ttl,
            lease_max: seconds(86_400),
            length: lease_ttl * 2,
            ..Self::anchored()
        }
    }

    /// The provider can't be reached for ten minutes.
    pub(crate) fn outage_of_everything() -> Self {
        Self {
            leased: 20,
            versioned: 10,
            lease_ttl: seconds(300),
            lease_max: seconds(3600),
            failing_with: Some(Failure::Unreachable),
            outage: Some((seconds(300), seconds(900))),
            ..Self::anchored()
        }
    }

    /// Everything at once: kinds, faults, people, consumers and an earlier process.
    pub(crate) fn chaos(rng: &mut fastrand::Rng) -> Self {
        let odds = |rng: &mut fastrand::Rng, most: f64| {
            if rng.bool() { 0.0 } else { rng.f64() * most }
        };
        let lease_ttl = rng.u64(3..120);
        let session_ttl = rng.u64(20..600);
        Self {
            anchored: rng.bool(),
            lease_ttl: seconds(lease_ttl),
            lease_max: seconds(lease_ttl + rng.u64(0..600)),
            session_ttl: seconds(session_ttl),
            session_max: seconds(session_ttl + rng.u64(0..3600)),
            anchor_period: seconds(rng.u64(20..600)),
            failure: odds(rng, 0.5),
            failing_with: None,
            session_death: odds(rng, 0.05),
            anchor_death: odds(rng, 0.05),
            maybe_issued: odds(rng, 0.2),
            revoked_by_others: odds(rng, 0.2),
            stale: odds(rng, 0.5),
            slowest: Duration::from_millis(rng.u64(10..3000)),
            certificates: rng.u32(0..2),
            rotating: rng.u32(0..2),
            hinted: rng.u32(0..2),
            rotates_late: Duration::from_millis(rng.u64(0..3000)),
            orphans: rng.u32(0..20),
            formers: rng.u32(0..3),
            refusals: odds(rng, 5.0),
            asks: odds(rng, 0.2),
            consumers: odds(rng, 0.5),
            leases_renewable: rng.u32(0..5) > 0,
            sessions_renewable: rng.u32(0..5) > 0,
            renewal_works: rng.u32(0..5) > 0,
            outage: rng.bool().then(|| (seconds(60), seconds(rng.u64(61..180)))),
            faults_at_shutdown: seconds(rng.u64(0..60)),
            length: seconds(240),
            leaves: rng.bool(),
            ..Self::calm()
        }
    }

    pub(crate) fn faults_to_the_end() -> Self {
        Self {
            slowest: seconds(5),
            faults_at_shutdown: seconds(60),
            length: seconds(300),
            ..Self::faulty()
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) activations: u32,
    pub(crate) interruptions: u32,
    pub(crate) issued: u32,
    pub(crate) logins: u32,
    pub(crate) claimed: u32,
    pub(crate) fetches: u32,
    pub(crate) irrevocable: u32,
    pub(crate) anchors: u32,
    pub(crate) formers: u32,
    pub(crate) forgotten: u32,
    /// Providers that leave was taken of and where nothing is held.
    pub(crate) left: u32,
    pub(crate) suspects: u32,
    pub(crate) circuits: u32,
    pub(crate) unavailable: u32,
    /// Reads of rotated accounts.
    pub(crate) reads: u32,
    /// The most issues, renewals and revocations within a second.
    pub(crate) most_writes: u32,
    /// How long giving everything back took at the end.
    pub(crate) given_back_in: Duration,
    /// When the last lease of an earlier process was revoked, from the start.
    pub(crate) orphans_gone_at: Duration,
    /// Leases that were still alive when their session was ended.
    pub(crate) cascaded: u32,
    /// When the service last came back after an interruption, from the start.
    pub(crate) back_at: Duration,
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
