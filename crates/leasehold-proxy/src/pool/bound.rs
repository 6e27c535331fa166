use std::sync::{Arc, Weak};

use leasehold_broker::Generation;
use leasehold_inject::{Identity, InjectionIndex, Prepared};
use leasehold_model::Clock;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::idle::PoolKey;

/// What a connection proves the gateway to be.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    source: Source,
    number: u64,
    gone: CancellationToken,
}

#[derive(Clone, Debug)]
enum Source {
    /// A generation of a credential. It is kept alive by whoever sends a request, and not by this.
    Leased(Weak<Generation<Prepared>>, InjectionIndex),
    /// What files have held.
    Files(Arc<Identity>),
}

impl Bound {
    /// Returns what connections for this generation are bound to, where its place is the handshake.
    pub(crate) fn to(
        generation: &Arc<Generation<Prepared>>,
        place: InjectionIndex,
    ) -> Option<Self> {
        let identity = generation.prepared().identity(place)?;
        Some(Self {
            source: Source::Leased(Arc::downgrade(generation), place),
            number: identity.number().get(),
            gone: identity.gone(),
        })
    }

    /// Returns what connections are bound to that show this; it is kept for as long as this.
    pub(crate) fn to_files(identity: Arc<Identity>) -> Self {
        Self {
            number: identity.number().get(),
            gone: identity.gone(),
            source: Source::Files(identity),
        }
    }

    /// Returns the key of connections that are bound to this.
    pub(crate) const fn key(&self, endpoint: PoolKey) -> PoolKey {
        PoolKey {
            identity: self.number,
            ..endpoint
        }
    }

    /// Returns the settings with the identity; `None` where that is no more.
    ///
    /// No session is resumed: another identity's could be taken for this one's.
    pub(super) fn config(&self, base: &ClientConfig) -> Option<Arc<ClientConfig>> {
        let mut config = base.clone();
        config.client_auth_cert_resolver = match &self.source {
            Source::Files(identity) => identity.resolver(),
            Source::Leased(generation, place) => {
                let generation = generation.upgrade()?;
                generation.prepared().identity(*place)?.resolver()
            }
        };
        config.resumption = Resumption::disabled();
        Some(Arc::new(config))
    }

    /// Waits until connections that are bound to this have to be closed.
    pub(crate) async fn ended(&self, clock: &dyn Clock) {
        self.end().reached(clock).await;
    }

    /// Returns what tells when the connections have to be closed, and keeps nothing alive.
    pub(super) fn end(&self) -> End {
        End {
            gone: self.gone.clone(),
            generation: match &self.source {
                Source::Leased(generation, _) => Some(Weak::clone(generation)),
                Source::Files(_) => None,
            },
        }
    }
}

/// When connections that are bound to something must be closed.
#[derive(Debug)]
pub(super) struct End {
    gone: CancellationToken,
    generation: Option<Weak<Generation<Prepared>>>,
}

impl End {
    /// Waits for it: there is something newer and the last request has ended, or what they are bound
    /// to must not be used any longer.
    pub(super) async fn reached(&self, clock: &dyn Clock) {
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = self.expired(clock) => {}
        }
    }

    async fn expired(&self, clock: &dyn Clock) {
        while let Some(generation) = self.generation.as_ref().and_then(Weak::upgrade) {
            let left = generation.deadline().since(clock.boot());
            drop(generation);
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
        // Whoever dropped it has told that it is gone.
        self.gone.cancelled().await;
    }
}
