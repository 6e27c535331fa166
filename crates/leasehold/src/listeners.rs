//! From the declared listeners to what the data plane listens with, and the files of their TLS.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_config::Listener;
use leasehold_model::{Chain, ListenerName};
use leasehold_proxy::{
    ClientAuthorities, Identity, Limits, ListenerAddress, ListenerSpec, ListenerTls, Pace,
    ProxyMetrics, TlsError, TlsMaterial, Trusted,
};
use leasehold_secret::{Expose as _, ReadError, Secret};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Why a listener can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up the TLS of listener {listener}")]
pub(crate) struct ListenerError {
    listener: ListenerName,
    #[source]
    source: FilesError,
}

/// Why the files of a listener's TLS can't be used.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read the key")]
    Key(#[source] ReadError),
    #[error("use {files}")]
    Use {
        files: String,
        #[source]
        source: TlsError,
    },
}

/// Listeners that can be put to work.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) specs: Vec<ListenerSpec>,
    watched: Vec<Watched>,
}

/// Reads the files that the listeners need. A listener whose TLS is as in `former` goes on with that, and
/// with the sessions that it resumes.
pub(crate) fn prepare(declared: &[Listener], former: &Watch) -> Result<Prepared, ListenerError> {
    let mut prepared = Prepared {
        specs: Vec::new(),
        watched: Vec::new(),
    };
    for listener in declared {
        let watched = match former.kept(listener) {
            Some(kept) => Some(kept),
            None => Watched::read(listener).map_err(|source| ListenerError {
                listener: listener.name.clone(),
                source,
            })?,
        };
        let tls = watched.as_ref().map(|it| it.tls.clone());
        prepared.specs.push(spec(listener, tls));
        prepared.watched.extend(watched);
    }
    Ok(prepared)
}

fn spec(listener: &Listener, tls: Option<ListenerTls>) -> ListenerSpec {
    ListenerSpec {
        name: listener.name.clone(),
        address: match &listener.address {
            leasehold_config::ListenerAddress::Tcp(address) => (*address).into(),
            leasehold_config::ListenerAddress::Unix { path, mode } => ListenerAddress::Unix {
                path: path.clone(),
                mode: *mode,
            },
        },
        tls,
        http2: listener.http2,
        proxy_protocol: listener.proxy_protocol.clone().map(Trusted),
        limits: limits(&listener.limits),
    }
}

fn limits(declared: &leasehold_config::Limits) -> Limits {
    Limits {
        connections: declared.connections,
        requests: declared.requests,
        headers: declared.headers,
        head_size: declared.head_size,
        head_timeout: declared.head_timeout,
        idle_timeout: declared.idle_timeout,
        body_timeout: declared.body_timeout,
        pace: Pace {
            rate: declared.minimum_rate,
            grace: declared.rate_grace,
        },
        body_size: declared.body_size,
        streams: declared.streams,
        stream_window: declared.stream_window,
        connection_window: declared.connection_window,
    }
}

/// The listeners whose files are looked at. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<Mutex<Vec<Watched>>>);

impl Watch {
    /// Looks at the files of these listeners from now on, and shows when their certificates run out.
    ///
    /// May wait for a file that is being looked at.
    pub(crate) fn replace(&self, next: Prepared, metrics: &ProxyMetrics) {
        let mut watched = self.0.lock();
        for former in &*watched {
            metrics.hide_certificates(&former.listener.name, &former.tls.certificates());
        }
        for it in &next.watched {
            metrics.show_certificates(&it.listener.name, &it.tls);
        }
        *watched = next.watched;
    }

    /// Looks at the files every few seconds until told to stop.
    pub(crate) async fn run(self, metrics: ProxyMetrics, stop: CancellationToken) {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            let (watched, metrics) = (self.clone(), metrics.clone());
            // A file may be on a disk that stalls.
            let looked = tokio::task::spawn_blocking(move || {
                let mut watched = watched.0.lock();
                watched.iter_mut().for_each(|it| it.look(&metrics));
            });
            if looked.await.is_err() {
                return tracing::error!("listeners' certificates are no longer looked at");
            }
        }
    }

    /// Returns what is looked at for a listener, where its TLS is as it was.
    fn kept(&self, listener: &Listener) -> Option<Watched> {
        let watched = self.0.lock();
        let same = watched.iter().find(|it| {
            let it = &it.listener;
            (&it.name, &it.tls, it.http2) == (&listener.name, &listener.tls, listener.http2)
        });
        same.cloned()
    }
}

/// A listener and what was read for it last.
#[derive(Clone, Debug)]
struct Watched {
    listener: Listener,
    tls: ListenerTls,
    /// Tells what was read from anything else, and tells nothing about it.
    digest: u64,
    hasher: RandomState,
    /// What was wrong when it was last looked at.
    fault: Option<String>,
}

impl Watched {
    fn read(listener: &Listener) -> Result<Option<Self>, FilesError> {
        let Some(files) = Files::read(listener)? else {
            return Ok(None);
        };
        let hasher = RandomState::new();
        Ok(Some(Self {
            digest: files.digest(&hasher),
            tls: files.with_material(ListenerTls::new)?,
            listener: listener.clone(),
            hasher,
            fault: None,
        }))
    }

    /// Looks whether the files are others than before, and serves with them where they are good.
    fn look(&mut self, metrics: &ProxyMetrics) {
        let name = self.listener.name.clone();
        match self.take_up() {
            Ok(None) => self.fault = None,
            Ok(Some(before)) => {
                self.fault = None;
                metrics.hide_certificates(&name, &before);
                metrics.show_certificates(&name, &self.tls);
                info!(listener = %name, "certificates replaced");
            }
            Err(error) => {
                let fault = Chain(&error).to_string();
                if self.fault.as_ref() != Some(&fault) {
                    metrics.certificate_failed(&name);
                    warn!(listener = %name, error = fault, "new certificates can't be used: those of before are");
                    self.fault = Some(fault);
                }
            }
        }
    }

    /// Returns the certificates that were served before, where they were replaced.
    fn take_up(&mut self) -> Result<Option<Vec<leasehold_proxy::ServedCertificate>>, FilesError> {
        let Some(files) = Files::read(&self.listener)? else {
            return Ok(None);
        };
        let digest = files.digest(&self.hasher);
        if digest == self.digest {
            return Ok(None);
        }
        let before = self.tls.certificates();
        files.with_material(|material| self.tls.replace(material))?;
        self.digest = digest;
        Ok(Some(before))
    }
}

/// What the files of a listener hold.
struct Files<'a> {
    declared: &'a leasehold_config::ListenerTls,
    http2: bool,
    identities: Vec<(Vec<u8>, Secret)>,
    ca: Vec<u8>,
    crls: Vec<Vec<u8>>,
}

impl<'a> Files<'a> {
    fn read(listener: &'a Listener) -> Result<Option<Self>, FilesError> {
        let Some(declared) = &listener.tls else {
            return Ok(None);
        };
        let identities = declared.certificates.iter().map(|files| {
            let key = leasehold_secret::read_owner_only(&files.key);
            Ok((read(&files.certificate)?, key.map_err(FilesError::Key)?))
        });
        let identities = identities.collect::<Result<_, FilesError>>()?;
        let mut files = Self {
            declared,
            http2: listener.http2,
            identities,
            ca: Vec::new(),
            crls: Vec::new(),
        };
        if let Some(client) = &declared.client {
            files.ca = read(&client.ca)?;
            let crls = client.crls.iter().map(|path| read(path));
            files.crls = crls.collect::<Result<_, _>>()?;
        }
        Ok(Some(files))
    }

    fn digest(&self, hasher: &RandomState) -> u64 {
        let digests = self.identities.iter().map(|(chain, key)| {
            // EXPOSE: what is made of it is a number by a hash that was keyed at random in this process.
            (chain, hasher.hash_one(&*key.expose()))
        });
        let digests: Vec<_> = digests.collect();
        hasher.hash_one((digests, &self.ca, &self.crls))
    }

    fn with_material<T>(
        &self,
        make: impl FnOnce(&TlsMaterial<'_>) -> Result<T, TlsError>,
    ) -> Result<T, FilesError> {
        // EXPOSE: the TLS of a listener signs with its key, and is made of what is written in the file.
        let keys = self.identities.iter().map(|(_, key)| key.expose());
        let keys: Vec<_> = keys.collect();
        let identities = self.identities.iter().zip(&keys);
        let material = TlsMaterial {
            identities: identities
                .map(|((chain, _), key)| Identity { chain, key })
                .collect(),
            tls12: self.declared.tls12,
            clients: self
                .declared
                .client
                .as_ref()
                .map(|client| ClientAuthorities {
                    ca: &self.ca,
                    crls: self.crls.iter().map(Vec::as_slice).collect(),
                    required: client.required,
                }),
            http2: self.http2,
        };
        make(&material).map_err(|source| FilesError::Use {
            files: self.names(),
            source,
        })
    }

    fn names(&self) -> String {
        let certificates = self.declared.certificates.iter();
        let certificates = certificates.flat_map(|it| [&it.certificate, &it.key]);
        let clients = self.declared.client.iter();
        let clients = clients.flat_map(|it| std::iter::once(&it.ca).chain(&it.crls));
        let names = certificates.chain(clients);
        let names: Vec<_> = names.map(|path| path.display().to_string()).collect();
        names.join(", ")
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    fs::read(path).map_err(|source| FilesError::Read {
        path: path.to_path_buf(),
        source,
    })
}

const INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
