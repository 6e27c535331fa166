use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{OpenBao, Postgres, Scratch};

pub(crate) mod configure;

/// OpenBao and PostgreSQL, ready to issue credentials.
///
/// | mount | what is there |
/// | --- | --- |
/// | `kv`, `kv1` | KV v2 with `app`, KV v1 with `legacy`, each `{api_key}` |
/// | `database/creds` | `app` 60 s of at most 180 s, `short` 10/30 s, `tiny` 3/8 s, `long` 1 h/24 h, `badrenew` 30 s/10 min, which can't be renewed |
/// | `database/static-creds` | `svc`, rotated every 30 s |
/// | `pki/issue`, `pki/sign` | `nolease`, `lease` |
/// | `transit` | no key yet |
/// | `auth/token` | role `leasehold`, for anchors: orphan, periodic |
/// | `auth/approle` | `gateway` 1 h/24 h, `gateway-short` 60/180 s, `gateway-tiny` 6/15 s, `gateway-periodic` 60 s, `gateway-batch` 60 s |
///
/// Everything is gone when the lab is dropped; its directory stays where a test panicked.
#[derive(Debug)]
pub struct Lab {
    /// The secrets manager.
    pub openbao: OpenBao,
    /// The database that it issues users of.
    pub postgres: Postgres,
    // Below the servers, because fields are dropped in order and they write into it to the end.
    scratch: Scratch,
}

/// What a gateway logs in to OpenBao with.
#[derive(Clone, Debug)]
pub struct AppRole {
    /// The role id, which is no secret.
    pub role_id: String,
    /// A file, readable by its owner only, with a fresh secret id.
    pub secret_id_file: PathBuf,
}

impl Lab {
    /// Starts both servers and configures them.
    ///
    /// # Errors
    ///
    /// When a program is not installed or a server does not come up.
    pub async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let (postgres, openbao) = tokio::try_join!(
            Postgres::start(scratch.path()),
            OpenBao::start(scratch.path())
        )?;
        Self::configured(openbao, postgres, scratch).await
    }

    /// As [`Lab::start`], with OpenBao's audit entries posted to `url` and to nothing else.
    ///
    /// # Errors
    ///
    /// As [`Lab::start`].
    pub async fn start_audited_by(url: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (postgres, openbao) = tokio::try_join!(
            Postgres::start(scratch.path()),
            OpenBao::start_audited_by(scratch.path(), url)
        )?;
        Self::configured(openbao, postgres, scratch).await
    }

    async fn configured(openbao: OpenBao, postgres: Postgres, scratch: Scratch) -> Result<Self> {
        configure::all(&openbao, &postgres).await?;
        Ok(Self {
            openbao,
            postgres,
            scratch,
        })
    }

    /// Returns the lab's directory, for whatever a test wants to keep with the servers' logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Makes a fresh secret id for an AppRole and writes it to a file of its own.
    ///
    /// # Errors
    ///
    /// When there is no such role or the file can't be written.
    pub async fn approle(&self, role: &str) -> Result<AppRole> {
        approle(&self.openbao, self.dir(), role).await
    }

    /// Makes a database role whose credentials live for `ttl` and are renewed up to `max_ttl`, both
    /// as OpenBao writes durations (`3s`, `1h`).
    ///
    /// # Errors
    ///
    /// When OpenBao refuses the role.
    pub async fn create_db_role(&self, name: &str, ttl: &str, max_ttl: &str) -> Result<()> {
        configure::database_role(&self.openbao, name, ttl, max_ttl).await
    }
}

/// Makes a fresh secret id and writes it to a file in `dir`.
pub(crate) async fn approle(bao: &OpenBao, dir: &Path, role: &str) -> Result<AppRole> {
    let path = format!("auth/approle/role/{role}");
    let role_id = bao.api("GET", &format!("{path}/role-id"), None).await?;
    let secret_id = bao
        .api("POST", &format!("{path}/secret-id"), Some(json!({})))
        .await?;
    let file = dir.join(format!("{role}.secret-id"));
    write_owner_only(&file, text(&secret_id, "/data/secret_id")?)?;
    Ok(AppRole {
        role_id: text(&role_id, "/data/role_id")?.to_owned(),
        secret_id_file: file,
    })
}

fn text<'a>(body: &'a Value, pointer: &str) -> Result<&'a str> {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("openbao's answer has no {pointer}"))
}

fn write_owner_only(path: &Path, content: &str) -> Result<()> {
    // A file that exists keeps its mode when it is opened, so it is replaced and not overwritten.
    if path.exists() {
        fs::remove_file(path).with_context(|| format!("replace {}", path.display()))?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}
