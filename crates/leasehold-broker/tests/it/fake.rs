use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Clock, Failure, Holder, LeaseId, SessionEpoch,
};
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
    logins: u64,
    anchors: BTreeSet<AnchorEpoch>,
    minted: u64,
    issued_on: Vec<Holder>,
    ended: Vec<String>,
    /// The one operation that fails, where it is not all of them.
    only: Option<Operation>,
    hook: Option<Hook>,
}

/// Something to be done while a fetch is being answered.
struct Hook(Box<dyn Fn() + Send>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// What the fake is asked for, where it matters for what fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Fetch,
    Revoke,
    RevokeFormer,
    Other,
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
            logins: 0,
            anchors: BTreeSet::new(),
            minted: 0,
            issued_on: Vec::new(),
            ended: Vec::new(),
            only: None,
            hook: None,
        };
        Self {
            ttl: Duration::from_secs(seconds),
            renewable,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn fail_with(&self, failure: Option<Failure>) {
        let mut state = self.state.lock();
        state.failure = failure;
        state.only = None;
    }

    /// Makes the calls of one kind fail, and no other.
    pub(crate) fn fail_only(&self, operation: Operation, failure: Failure) {
        let mut state = self.state.lock();
        state.failure = Some(failure);
        state.only = Some(operation);
    }

    /// Has something done while each fetch is being answered.
    pub(crate) fn on_fetch(&self, hook: impl Fn() + Send + 'static) {
        self.state.lock().hook = Some(Hook(Box::new(hook)));
    }

    /// Returns what the leases hang on, in the order they were issued.
    pub(crate) fn issued_on(&self) -> Vec<Holder> {
        self.state.lock().issued_on.clone()
    }

    /// Returns how many anchors there are.
    pub(crate) fn anchors(&self) -> usize {
        self.state.lock().anchors.len()
    }

    /// Returns the accessors that were ended by name.
    pub(crate) fn ended(&self) -> Vec<String> {
        self.state.lock().ended.clone()
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

    pub(crate) fn logins(&self) -> u64 {
        self.state.lock().logins
    }

    pub(crate) fn revoked(&self) -> Vec<String> {
        self.state.lock().revoked.clone()
    }

    pub(crate) fn has_session(&self) -> bool {
        !self.state.lock().sessions.is_empty()
    }

    fn answer<T: Send + 'static>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut State) -> T,
    ) -> BoxFuture<'_, Result<T, ProviderError>> {
        let mut state = self.state.lock();
        let fails = state.only.is_none_or(|it| it == operation);
        let result = match state.failure.filter(|_| fails) {
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
        self.answer(Operation::Other, |state| {
            state.sessions.insert(epoch);
            state.logins += 1;
            granted(Some(format!("session-{}", state.logins)))
        })
    }

    fn renew_session(&self, _: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.answer(Operation::Other, |_| granted(None))
    }

    fn revoke_session(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        self.state.lock().session_ends_asked += 1;
        self.answer(Operation::Other, |state| {
            state.sessions.remove(&epoch);
        })
    }

    fn mint_anchor(
        &self,
        _: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.answer(Operation::Other, |state| {
            state.anchors.insert(anchor);
            state.minted += 1;
            granted(Some(format!("anchor-{}", state.minted)))
        })
    }

    fn renew_anchor(
        &self,
        _: SessionEpoch,
        _: AnchorEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.answer(Operation::Other, |_| granted(None))
    }

    fn revoke_anchor(
        &self,
        _: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<(), ProviderError>> {
        self.answer(Operation::Other, |state| {
            state.anchors.remove(&anchor);
        })
    }

    fn revoke_former<'a>(
        &'a self,
        _: SessionEpoch,
        accessor: &'a Accessor,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.answer(Operation::RevokeFormer, |state| {
            state.ended.push(accessor.to_string())
        })
    }

    fn fetch<'a>(
        &'a self,
        holder: Holder,
        source: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        self.answer(Operation::Fetch, |state| {
            if let Some(Hook(hook)) = &state.hook {
                hook();
            }
            state.issued_on.push(holder);
            state.fetched += 1;
            let count = state.fetched;
            let mut material = Material::default();
            let hinted = matches!(source, Source::Hinted { .. });
            // A value without versions is told by itself.
            let value = if hinted { state.version } else { count };
            material.insert(state.field, Secret::new(format!("value-{value}")));
            let holding = if hinted {
                let refresh = Duration::ZERO;
                Holding::Hinted { refresh }
            } else if self.ttl.is_zero() {
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
        self.answer(Operation::Other, |state| {
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
        self.answer(Operation::Revoke, |state| {
            state.revoked.push(lease.to_string())
        })
    }
}

fn granted(accessor: Option<String>) -> SessionGrant {
    SessionGrant {
        ttl: Some(Duration::from_secs(3600)),
        renewable: true,
        capped: false,
        accessor: accessor.map(|it| Accessor::from(it.as_str())),
    }
}

/// A clock that goes with Tokio's, so that a paused test moves both.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    start: Instant,
    ahead: Duration,
}

impl VirtualClock {
    pub(crate) fn start() -> Self {
        Self::ahead(Duration::ZERO)
    }

    /// Starts so much later in the day.
    pub(crate) fn ahead(ahead: Duration) -> Self {
        let start = Instant::now();
        Self { start, ahead }
    }
}

impl Clock for VirtualClock {
    fn boot(&self) -> BootTime {
        BootTime::from_nanos(1_000_000_000).after(self.start.elapsed())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.start.elapsed() + self.ahead
    }
}
