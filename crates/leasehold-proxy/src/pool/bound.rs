use std::sync::{Arc, Weak};

use leasehold_broker::Generation;
use leasehold_inject::{InjectionIndex, Prepared};
use leasehold_model::Clock;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::idle::PoolKey;

/// The generation of a credential that a connection proves the gateway's identity by.
///
/// It does not keep the generation alive: whoever sends a request does.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    generation: Weak<Generation<Prepared>>,
    place: InjectionIndex,
    number: u64,
    gone: CancellationToken,
}

impl Bound {
    /// Returns what connections for this generation are bound to, where its place is the handshake.
    pub(crate) fn to(
        generation: &Arc<Generation<Prepared>>,
        place: InjectionIndex,
    ) -> Option<Self> {
        let identity = generation.prepared().identity(place)?;
        Some(Self {
            generation: Arc::downgrade(generation),
            place,
            number: identity.number().get(),
            gone: identity.gone(),
        })
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
        let generation = self.generation.upgrade()?;
        let identity = generation.prepared().identity(self.place)?;
        let mut config = base.clone();
        config.client_auth_cert_resolver = identity.resolver();
        config.resumption = Resumption::disabled();
        Some(Arc::new(config))
    }

    /// Waits until connections that are bound to this must be closed: the generation is not current
    /// any longer and its last request has ended, or it must not be used any longer.
    pub(super) async fn over(&self, clock: &dyn Clock) {
        let expired = async {
            while let Some(generation) = self.generation.upgrade() {
                let left = generation.deadline().since(clock.boot());
                drop(generation);
                if left.is_zero() {
                    return;
                }
                sleep(left).await;
            }
        };
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = expired => {}
        }
    }
}
