use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use leasehold_model::{
    Clock, ConsumerName, Failure, Holder, JwtKey, JwtTerms, LeaseId, ProviderName, SessionEpoch,
};
use leasehold_provider::{
    BoxFuture, Fetched, Holding, LeaseGrant, Provider, ProviderError, SessionGrant, Source,
};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use crate::minted::{self, KeyPlace, SignError};
use crate::{NativeError, NativeFile};

/// Gives out what is in a native provider's file.
///
/// Both the file and the key are read anew for each call, on a thread for blocking work: a version
/// put while the gateway runs is found by the next fetch, and no key is held in between.
#[derive(Debug)]
pub struct NativeProvider {
    name: ProviderName,
    files: Arc<Files>,
    sessions: Mutex<BTreeSet<SessionEpoch>>,
    clock: Arc<dyn Clock>,
}

impl NativeProvider {
    /// Makes a provider of a file that need not exist yet. The clock's time of day is that of tokens which
    /// are signed with keys of the file.
    #[must_use]
    pub fn new(
        name: ProviderName,
        file: impl Into<PathBuf>,
        key_file: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let files = Arc::new(Files {
            file: file.into(),
            key_file: key_file.into(),
        });
        Self {
            name,
            files,
            sessions: Mutex::default(),
            clock,
        }
    }

    /// Runs `work` on the open file, on a thread for blocking work.
    async fn with_file<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&NativeFile) -> Result<T, NativeError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let files = Arc::clone(&self.files);
        let outcome = spawn_blocking(move || {
            let file = NativeFile::unchecked(files.file.clone(), files.key_file.clone())?;
            work(&file)
        })
        .await;
        match outcome {
            Ok(result) => result.map_err(|error| self.failed(operation, error)),
            // What a panic said stays out of the log: it may hold anything.
            Err(_panic) => Err(self.error(operation, Failure::Transient, "the call did not end")),
        }
    }

    async fn sign(
        &self,
        epoch: SessionEpoch,
        place: KeyPlace,
        terms: &Arc<JwtTerms>,
        consumer: Option<&ConsumerName>,
    ) -> Result<Fetched, ProviderError> {
        let operation = format!("sign with {}", place.path);
        self.in_session(epoch, &operation)?;
        let (terms, consumer) = (Arc::clone(terms), consumer.cloned());
        let now = self.clock.wall();
        let signed = self.with_file(&operation, move |file| {
            Ok(minted::sign(file, &place, &terms, consumer.as_ref(), now))
        });
        signed.await?.map_err(|error| match error {
            SignError::File(error) => self.failed(&operation, error),
            other => self.error(&operation, other.failure(), other.to_string()),
        })
    }

    fn in_session(&self, epoch: SessionEpoch, operation: &str) -> Result<(), ProviderError> {
        if self.sessions.lock().contains(&epoch) {
            return Ok(());
        }
        let detail = format!("session {epoch} is not logged in");
        Err(self.error(operation, Failure::SessionDead, detail))
    }

    fn refuse<T>(
        &self,
        epoch: SessionEpoch,
        operation: &str,
        detail: &str,
    ) -> Result<T, ProviderError> {
        self.in_session(epoch, operation)?;
        Err(self.error(operation, Failure::Misconfigured, detail))
    }

    fn failed(&self, operation: &str, error: NativeError) -> ProviderError {
        let mut failed = self.error(operation, error.failure(), error.to_string());
        failed.source = error.into_cause();
        failed
    }

    fn error(&self, operation: &str, failure: Failure, detail: impl Into<String>) -> ProviderError {
        ProviderError::new(format!("{operation} at {}", self.name), failure, detail)
    }
}

impl Provider for NativeProvider {
    /// Checks that the file opens with the key. There is no session to expire.
    fn login(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        Box::pin(async move {
            self.with_file("log in", NativeFile::check).await?;
            self.sessions.lock().insert(epoch);
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
        Box::pin(async move {
            self.refuse(
                epoch,
                "renew session",
                "a native provider's sessions do not expire",
            )
        })
    }

    fn revoke_session(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(async move {
            self.in_session(epoch, "revoke session")?;
            self.sessions.lock().remove(&epoch);
            Ok(())
        })
    }

    fn fetch<'a>(
        &'a self,
        holder: Holder,
        source: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        Box::pin(async move {
            let Holder::Session(epoch) = holder else {
                return Err(self.error("fetch", Failure::Misconfigured, "it has no anchors"));
            };
            let (mount, path) = match source {
                Source::Versioned { mount, path } => (mount.as_str(), path.clone()),
                Source::Leased { path, .. } => {
                    return self.refuse(epoch, &format!("issue {path}"), NO_LEASES);
                }
                Source::Minted {
                    key: JwtKey::Stored { path, field },
                    terms,
                    consumer,
                } => {
                    let place = KeyPlace {
                        path: path.clone(),
                        field: field.clone(),
                    };
                    return self.sign(epoch, place, terms, consumer.as_ref()).await;
                }
                Source::Minted {
                    key: JwtKey::Transit { name, .. },
                    ..
                } => {
                    let operation = format!("sign with {name}");
                    return self.refuse(epoch, &operation, "it has no transit engine");
                }
                Source::Token { .. } => {
                    return self.refuse(epoch, "ask for a token", VERSIONS_ONLY);
                }
                Source::Rotating { path }
                | Source::Certificate { path, .. }
                | Source::Hinted { path } => {
                    return self.refuse(epoch, &format!("read {path}"), VERSIONS_ONLY);
                }
            };
            let operation = format!("read {path}");
            if !mount.is_empty() {
                return self.refuse(epoch, &operation, "a native provider has no mounts");
            }
            self.in_session(epoch, &operation)?;
            let (material, version) = self
                .with_file(&operation, move |file| file.get(&path))
                .await?;
            Ok(Fetched {
                material,
                holding: Holding::Versioned { version },
                request_id: None,
                warnings: Vec::new(),
            })
        })
    }

    fn renew_lease<'a>(
        &'a self,
        epoch: SessionEpoch,
        _lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        Box::pin(async move { self.refuse(epoch, "renew lease", NO_LEASES) })
    }

    fn revoke_lease<'a>(
        &'a self,
        epoch: SessionEpoch,
        _lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move { self.refuse(epoch, "revoke lease", NO_LEASES) })
    }
}

#[derive(Debug)]
struct Files {
    file: PathBuf,
    key_file: PathBuf,
}

const NO_LEASES: &str = "a native provider has no leases";
const VERSIONS_ONLY: &str = "a native provider has versioned values and nothing else";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use leasehold_model::SystemClock;
    use leasehold_provider::Material;
    use leasehold_secret::{Expose as _, Secret};

    use super::*;

    const EPOCH: SessionEpoch = SessionEpoch::FIRST;

    struct Lab {
        dir: tempfile::TempDir,
        provider: NativeProvider,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let (file, key_file) = (dir.path().join("file"), dir.path().join("key"));
            let name = ProviderName::from("dev");
            let clock = Arc::new(SystemClock);
            let provider = NativeProvider::new(name, file, key_file, clock);
            Self { dir, provider }
        }

        fn create(&self) -> NativeFile {
            NativeFile::create(self.dir.path().join("file"), self.dir.path().join("key"))
                .expect("created")
        }
    }

    fn material(value: &str) -> Material {
        let mut material = Material::default();
        material.insert("key", Secret::new(value));
        material
    }

    fn versioned(path: &str) -> Source {
        Source::Versioned {
            mount: String::new(),
            path: path.to_owned(),
        }
    }

    async fn fetch(lab: &Lab) -> (String, Holding) {
        let source = versioned("app");
        let fetched = lab
            .provider
            .fetch(Holder::Session(EPOCH), &source)
            .await
            .expect("fetched");
        let field = fetched.material.field("key").expect("the field");
        // EXPOSE: a test looks at its own value.
        let value = field.expose().as_str().expect("text").to_owned();
        (value, fetched.holding)
    }

    #[tokio::test]
    async fn a_version_put_after_the_login_is_fetched() {
        let lab = Lab::new();
        let file = lab.create();
        file.put("app", &material("one")).expect("put");
        let grant = lab.provider.login(EPOCH).await.expect("logged in");
        assert_eq!(grant.ttl, None);
        let first = (String::from("one"), Holding::Versioned { version: 1 });
        assert_eq!(fetch(&lab).await, first);
        file.put("app", &material("two")).expect("put");
        let second = (String::from("two"), Holding::Versioned { version: 2 });
        assert_eq!(fetch(&lab).await, second);
    }

    #[tokio::test]
    async fn nothing_is_done_outside_a_session() {
        let lab = Lab::new();
        lab.create().put("app", &material("one")).expect("put");
        let source = versioned("app");
        let error = lab.provider.fetch(Holder::Session(EPOCH), &source).await;
        assert_eq!(
            error.expect_err("no login yet").failure,
            Failure::SessionDead
        );
        lab.provider.login(EPOCH).await.expect("logged in");
        lab.provider.revoke_session(EPOCH).await.expect("revoked");
        let error = lab.provider.fetch(Holder::Session(EPOCH), &source).await;
        assert_eq!(error.expect_err("revoked").failure, Failure::SessionDead);
        let error = lab.provider.revoke_session(EPOCH).await;
        assert_eq!(error.expect_err("revoked").failure, Failure::SessionDead);
    }

    #[tokio::test]
    async fn a_login_fails_until_there_is_a_file() {
        let lab = Lab::new();
        let error = lab.provider.login(EPOCH).await.expect_err("no file");
        assert_eq!(error.failure, Failure::Misconfigured);
        assert!(error.source.is_some(), "the cause is kept: {error}");
        lab.create();
        lab.provider.login(EPOCH).await.expect("logged in");
    }

    #[tokio::test]
    async fn an_open_key_file_stops_the_next_call() {
        let lab = Lab::new();
        lab.create().put("app", &material("one")).expect("put");
        lab.provider.login(EPOCH).await.expect("logged in");
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(lab.dir.path().join("key"), open).expect("chmod");
        let source = versioned("app");
        let error = lab
            .provider
            .fetch(Holder::Session(EPOCH), &source)
            .await
            .expect_err("refused");
        assert_eq!(error.failure, Failure::Misconfigured);
        assert!(
            error.to_string().starts_with("read app at dev: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_a_person_must_mend_is_told_as_such() {
        let lab = Lab::new();
        let file = lab.create();
        file.put("gone", &material("one")).expect("put");
        file.delete("gone").expect("deleted");
        lab.provider.login(EPOCH).await.expect("logged in");
        let leased = Source::Leased {
            path: "app".to_owned(),
            parameters: leasehold_provider::Parameters::new(),
        };
        let mounted = Source::Versioned {
            mount: "kv".to_owned(),
            path: "app".to_owned(),
        };
        for source in [versioned("none"), versioned("gone"), leased, mounted] {
            let error = lab.provider.fetch(Holder::Session(EPOCH), &source).await;
            let error = error.expect_err("nothing to fetch");
            assert_eq!(error.failure, Failure::Misconfigured, "{error}");
        }
    }

    #[tokio::test]
    async fn what_can_not_be_done_is_not_called_done() {
        let lab = Lab::new();
        lab.create();
        lab.provider.login(EPOCH).await.expect("logged in");
        let lease = LeaseId::from("lease");
        let renewed = lab.provider.renew_lease(EPOCH, &lease).await;
        let revoked = lab.provider.revoke_lease(EPOCH, &lease).await;
        let prolonged = lab.provider.renew_session(EPOCH).await;
        for error in [
            renewed.expect_err("no leases"),
            revoked.expect_err("no leases"),
            prolonged.expect_err("no expiry"),
        ] {
            assert_eq!(error.failure, Failure::Misconfigured, "{error}");
        }
    }
}
