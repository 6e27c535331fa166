use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Asks the system for the addresses of a host; blocks for as long as that takes.
pub(super) type LookUp = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// Looks up the name of one endpoint, once at a time.
///
/// The system's lookup can't be stopped. A name that hangs must not take one thread after the other
/// until none is left for other names, so whoever comes while a lookup is under way shares it.
#[derive(Debug)]
pub(crate) struct Resolver {
    turn: Arc<Semaphore>,
    last: Arc<Mutex<Found>>,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            last: Arc::default(),
        }
    }

    /// Returns the addresses of a host; an address is its own.
    ///
    /// # Errors
    ///
    /// When the system knows no address for it.
    pub(super) async fn resolve(
        &self,
        host: &str,
        port: u16,
        look_up: LookUp,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let seen = self.last.lock().number;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(io::Error::other)?;
        if let Some(shared) = self.newer_than(seen) {
            return shared;
        }
        let (host, last) = (host.to_owned(), Arc::clone(&self.last));
        let looked_up = spawn_blocking(move || {
            let addresses = look_up(&host, port);
            last.lock().keep(&addresses);
            // Kept until here, also where nobody waits any longer.
            drop(turn);
            addresses
        });
        looked_up.await.map_err(io::Error::other)?
    }

    fn newer_than(&self, seen: u64) -> Option<io::Result<Vec<SocketAddr>>> {
        let last = self.last.lock();
        (last.number != seen).then(|| last.addresses.clone().map_err(Into::into))
    }
}

/// An HTTP proxy, and the resolver of its name.
#[derive(Debug)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    resolver: Resolver,
}

impl Proxy {
    pub(crate) fn new(host: String, port: u16) -> Self {
        Self {
            host,
            port,
            resolver: Resolver::new(),
        }
    }

    pub(super) async fn look_up(&self, look_up: LookUp) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = (&self.host, self.port);
        self.resolver.resolve(host, port, look_up).await
    }
}

/// What the last lookup has found.
#[derive(Debug)]
struct Found {
    number: u64,
    addresses: Result<Vec<SocketAddr>, LookUpError>,
}

impl Found {
    fn keep(&mut self, addresses: &io::Result<Vec<SocketAddr>>) {
        self.number += 1;
        self.addresses = match addresses {
            Ok(addresses) => Ok(addresses.clone()),
            Err(error) => Err(LookUpError {
                kind: error.kind(),
                text: error.to_string(),
            }),
        };
    }
}

impl Default for Found {
    fn default() -> Self {
        Self {
            number: 0,
            addresses: Ok(Vec::new()),
        }
    }
}

/// A lookup's error, for each of those who shared it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
struct LookUpError {
    kind: io::ErrorKind,
    text: String,
}

impl From<LookUpError> for io::Error {
    fn from(error: LookUpError) -> Self {
        Self::new(error.kind, error)
    }
}

/// Asks the system.
pub(super) fn system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_share_one_lookup() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        static HELD: Mutex<()> = Mutex::new(());
        fn held(_host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            drop(HELD.lock());
            match port {
                1 => Err(io::ErrorKind::NotFound.into()),
                port => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
            }
        }
        for port in [1, 2] {
            LOOKUPS.store(0, Ordering::SeqCst);
            let resolver = Resolver::new();
            let mut given_up = Some(Box::pin(resolver.resolve("slow.example", port, held)));
            let mut second = pin!(resolver.resolve("slow.example", port, held));
            let mut third = pin!(resolver.resolve("slow.example", port, held));
            poll_fn(|cx| {
                let _held = HELD.lock();
                let first = given_up.as_mut().expect("polled once");
                assert!(first.as_mut().poll(cx).is_pending());
                assert!(second.as_mut().poll(cx).is_pending());
                assert!(third.as_mut().poll(cx).is_pending());
                // Whoever began the lookup may lose patience: the others have it all the same.
                given_up = None;
                Poll::Ready(())
            })
            .await;
            let (second, third) = tokio::join!(second, third);
            assert_eq!(second.is_ok(), port == 2);
            assert_eq!(second.ok(), third.ok());
            assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        }
    }

    #[tokio::test]
    async fn each_lookup_that_begins_later_asks_again() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        fn counted(_host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }
        let resolver = Resolver::new();
        for _ in 0..2 {
            let found = resolver.resolve("a.example", 7, counted).await;
            assert_eq!(found.map(|it| it.len()).ok(), Some(1));
        }
        assert!(resolver.resolve("::1", 7, counted).await.is_ok());
        assert_eq!(
            LOOKUPS.load(Ordering::SeqCst),
            2,
            "an address is not asked for"
        );
    }
}
