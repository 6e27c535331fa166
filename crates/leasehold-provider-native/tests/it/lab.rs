use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_model::{Holder, ProviderName, SessionEpoch, SystemClock};
use leasehold_provider::{Holding, Material, Provider as _, ProviderError, Source};
use leasehold_provider_native::{NativeFile, NativeProvider};
use leasehold_secret::{Expose as _, Secret};

/// A file and its key in a directory of their own.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        NativeFile::create(file(dir.path()), key_file(dir.path())).expect("created");
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        file(self.dir.path())
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        key_file(self.dir.path())
    }

    pub(crate) fn open(&self) -> NativeFile {
        open(self.dir.path())
    }
}

pub(crate) fn open(dir: &Path) -> NativeFile {
    NativeFile::open(file(dir), key_file(dir)).expect("opened")
}

pub(crate) fn fields(name: &str, value: &str) -> Material {
    let mut material = Material::default();
    material.insert(name, Secret::new(value));
    material
}

/// Fetches as the gateway does: a new login, then the field `key` with its version.
pub(crate) async fn fetch(
    file: &Path,
    key_file: &Path,
    path: &str,
) -> Result<(String, u64), ProviderError> {
    let provider = NativeProvider::new(
        ProviderName::from("dev"),
        file,
        key_file,
        Arc::new(SystemClock),
    );
    provider.login(SessionEpoch::FIRST).await?;
    let source = Source::Versioned {
        mount: String::new(),
        path: path.to_owned(),
    };
    let fetched = provider
        .fetch(Holder::Session(SessionEpoch::FIRST), &source)
        .await?;
    let Holding::Versioned { version } = fetched.holding else {
        panic!("a native provider has versions: {fetched:?}");
    };
    let field = fetched.material.field("key").expect("the field");
    // EXPOSE: a test looks at its own value.
    let value = field.expose().as_str().expect("text").to_owned();
    Ok((value, version))
}

fn file(dir: &Path) -> PathBuf {
    dir.join("file")
}

fn key_file(dir: &Path) -> PathBuf {
    dir.join("key")
}
