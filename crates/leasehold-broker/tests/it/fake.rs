use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use leasehold_model::{BootTime, Clock, Failure, Holder, LeaseId, SessionEpoch};
use leasehold_provider::{
    BoxFuture, Fetched, Holding, LeaseGrant, Material, Provider, ProviderError, SessionGrant,
    Source,
};
use leasehold_secret::Secret;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A provider that grants what it was made to grant and keeps a list of what it was asked.
#[derive(Debug)]
pub(crate) struct FakeProvider {
    ttl: Duration,
    renewable: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    failure: Option<Failure>,
    takes: Duration,
    session_ends_asked: u64,
    field: &'static str,
    version: u64,
    fetched: u64,
    renewed: u64,
    revoked: Vec<String>,
    sessions: BTreeSet<SessionEpoch>,
}

impl FakeProvider {
    pub(crate) fn granting(seconds: u64, renewable: bool) -> Self {
        let state = State {
            failure: None,
            takes: Duration::from_millis(20),
            session_ends_asked: 0,
            field: "value",
            version: 1,
            fetched: 0,
            renewed: 0,
            revoked: Vec::new(),
            sessions: BTreeSet::new(),
        };
        Self {
            ttl: Duration::from_secs(seconds),
            renewable,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn fail_with(&self, failure: Option<Failure>) {
        self.state.lock().failure = failure;
    }

    /// Makes every call from now on take this long.
    pub(crate) fn take(&self, time: Duration) {
        self.state.lock().takes = time;
    }

    pub(crate) fn session_ends_asked(&self) -> u64 {
        self.state.lock().session_ends_asked
    }

    pub(crate) fn name_the_field(&self, field: &'static str) {
        self.state.lock().field = field;
    }

    pub(crate) fn put_version(&self, version: u64) {
        self.state.lock().version = version;
    }

    pub(crate) fn fetched(&self) -> u64 {
        self.state.lock().fetched
    }

    pub(crate) fn renewed(&self) -> u64 {
        self.state.lock().renewed
    }

    pub(crate) fn revoked(&self) -> Vec<String> {
        self.state.lock().revoked.clone()
    }

    pub(crate) fn has_session(&self) -> bool {
        !self.state.lock().sessions.is_empty()
    }

    fn answer<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> T,
    ) -> BoxFuture<'_, Result<T, ProviderError>> {
        let mut state = self.state.lock();
        let result = match state.failure {
            Some(failure) => Err(ProviderError::new("call the fake", failure, "told to fail")),
            None => Ok(act(&mut state)),
        };
        let takes = state.takes;
        drop(state);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            result
        })
    }
}

impl Provider for FakeProvider {
    fn login(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.answer(|state| {
            state.sessions.insert(epoch);
            SessionGrant {
                ttl: Some(Duration::from_secs(3600)),
                renewable: true,
                capped: false,
                accessor: None,
            }
        })
    }

    fn renew_session(&self, _: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.answer(|_| SessionGrant {
            ttl: Some(Duration::from_secs(3600)),
            renewable: true,
            capped: false,
            accessor: None,
        })
    }

    fn revoke_session(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        self.state.lock().session_ends_asked += 1;
        self.answer(|state| {
            state.sessions.remove(&epoch);
        })
    }

    fn fetch<'a>(
        &'a self,
        _: Holder,
        _: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        self.answer(|state| {
            state.fetched += 1;
            let count = state.fetched;
            let mut material = Material::default();
            material.insert(state.field, Secret::new(format!("value-{count}")));
            let holding = if self.ttl.is_zero() {
                Holding::Versioned {
                    version: state.version,
                }
            } else {
                let lease_id = LeaseId::from(format!("lease-{count}").as_str());
                Holding::Leased {
                    lease_id,
                    ttl: self.ttl,
                    renewable: self.renewable,
                }
            };
            Fetched {
                material,
                holding,
                request_id: None,
                warnings: Vec::new(),
            }
        })
    }

    fn renew_lease<'a>(
        &'a self,
        _: SessionEpoch,
        _: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        self.answer(|state| {
            state.renewed += 1;
            LeaseGrant {
                ttl: self.ttl,
                capped: false,
            }
        })
    }

    fn revoke_lease<'a>(
        &'a self,
        _: SessionEpoch,
        lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.answer(|state| state.revoked.push(lease.to_string()))
    }
}

/// A clock that goes with Tokio's, so that a paused test moves both.
#[derive(Debug)]
pub(crate) struct VirtualClock(Instant);

impl VirtualClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for VirtualClock {
    fn boot(&self) -> BootTime {
        BootTime::from_nanos(1_000_000_000).after(self.0.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.elapsed()
    }
}
