use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderName;
use leasehold_broker::CredentialSpec;
use leasehold_inject::{Injection, Prepared, prepare};
use leasehold_lease::Kind;
use leasehold_model::{Holder, LeaseId, SessionEpoch};
use leasehold_provider::{
    BoxFuture, Fetched, Holding, LeaseGrant, Material, Parameters, Provider, ProviderError,
    SessionGrant, Source,
};
use leasehold_secret::Secret;
use tokio::task::yield_now;

/// A provider that takes a few turns to issue `canary-1`, and then `canary-2`, and so on.
#[derive(Debug)]
pub(super) struct FakeProvider {
    never: bool,
    issued: AtomicU64,
    missing: Arc<AtomicBool>,
}

impl FakeProvider {
    pub(super) fn new(never: bool, missing: &Arc<AtomicBool>) -> Self {
        Self {
            never,
            issued: AtomicU64::new(0),
            missing: Arc::clone(missing),
        }
    }
}

pub(super) fn spec() -> CredentialSpec<Prepared> {
    let injections = vec![Injection::Header {
        name: HeaderName::from_static("x-api-key"),
        prefix: "Key ".to_owned(),
        field: "value".to_owned(),
    }];
    CredentialSpec {
        name: "api-key".into(),
        provider: "fake".into(),
        source: Source::Leased {
            path: "creds/api".to_owned(),
            parameters: Parameters::new(),
        },
        kind: Kind::Leased,
        prepare: Box::new(move |material| Ok(prepare(&injections, material)?)),
    }
}

impl Provider for FakeProvider {
    fn login(&self, _: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        Box::pin(async {
            Ok(SessionGrant {
                ttl: None,
                renewable: false,
                capped: false,
                accessor: None,
            })
        })
    }

    fn renew_session(
        &self,
        epoch: SessionEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.login(epoch)
    }

    fn revoke_session(&self, _: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async { Ok(()) })
    }

    fn fetch<'a>(
        &'a self,
        _: Holder,
        _: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        Box::pin(async {
            if self.never {
                std::future::pending::<()>().await;
            }
            for _ in 0..3 {
                yield_now().await;
            }
            let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
            self.missing.store(false, Ordering::SeqCst);
            let mut material = Material::default();
            material.insert("value", Secret::new(format!("canary-{number}")));
            let holding = Holding::Leased {
                lease_id: LeaseId::from(&*format!("lease-{number}")),
                ttl: LIFE,
                renewable: false,
            };
            Ok(Fetched {
                material,
                holding,
                request_id: None,
                warnings: Vec::new(),
            })
        })
    }

    fn renew_lease<'a>(
        &'a self,
        _: SessionEpoch,
        _: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        Box::pin(async {
            Ok(LeaseGrant {
                ttl: LIFE,
                capped: false,
            })
        })
    }

    fn revoke_lease<'a>(
        &'a self,
        _: SessionEpoch,
        _: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Ok(()) })
    }
}

const LIFE: Duration = Duration::from_secs(600);
