use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Signal, geteuid};
use tokio_postgres::Client;

use crate::process::{Process, command};
use crate::{random, tools};

mod init;
mod launch;
mod login;

pub use login::Login;

/// A PostgreSQL server of its own, with a database to issue users for.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    login: Login,
    superuser: String,
    manager: String,
    process: Option<Process>,
}

impl Postgres {
    /// The database that users are issued for; it has a table `t`.
    pub const DATABASE: &str = "app";
    /// The role without login that gives issued users their rights on table `t`.
    pub const GROUP: &str = "app_rw";
    /// The user that OpenBao creates and drops users as.
    pub const MANAGER: &str = "baomgr";
    /// The user whose password OpenBao's static role changes.
    pub const STATIC_USER: &str = "svc_static";

    /// Starts a server below `dir`, on 127.0.0.1 only, and waits until it answers.
    ///
    /// Where we are root the server runs as `nobody`, because it refuses to run as root.
    ///
    /// # Errors
    ///
    /// When the programs are not installed or the server does not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        let dir = dir.join("postgres");
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let mut bin = tools::postgres_bin()?;
        if is_root() {
            bin = tools::open_to_all(bin, &dir)?;
            chown(&dir, Some(NOBODY), Some(NOBODY)).context("give nobody its directory")?;
        }
        let mut server = Self {
            bin,
            dir,
            login: Login { port: 0 },
            superuser: random::secret()?,
            manager: random::secret()?,
            process: None,
        };
        server.init()?;
        server.start_on_a_free_port().await?;
        server.set_up().await?;
        Ok(server)
    }

    /// Returns the port that the server listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.login.port
    }

    /// Returns where to log in; it stays good when the server is stopped and started again.
    #[must_use]
    pub const fn login(&self) -> Login {
        self.login
    }

    /// Returns the password of [`Postgres::MANAGER`].
    #[must_use]
    pub fn manager_password(&self) -> &str {
        &self.manager
    }

    /// Logs in as an ordinary user would.
    ///
    /// # Errors
    ///
    /// As [`Login::connect`].
    pub async fn connect_as(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        self.login.connect(user, password, database).await
    }

    /// Logs in to [`Postgres::DATABASE`] as the superuser.
    ///
    /// # Errors
    ///
    /// When the server is not up.
    pub async fn client(&self) -> Result<Client> {
        self.superuser(Self::DATABASE).await
    }

    /// Lists the roles that may log in and whose names begin with `prefix`; OpenBao's begin with
    /// `v-`.
    ///
    /// # Errors
    ///
    /// When the server is not up.
    pub async fn login_roles_like(&self, prefix: &str) -> Result<Vec<String>> {
        let rows = self
            .client()
            .await?
            .query(
                "select rolname from pg_roles where rolcanlogin and starts_with(rolname, $1) \
                 order by rolname",
                &[&prefix],
            )
            .await
            .context("list roles")?;
        rows.iter()
            .map(|row| row.try_get(0).context("read a role's name"))
            .collect()
    }

    /// Returns the server's process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Shuts the server down; its data stay.
    ///
    /// # Errors
    ///
    /// When the server does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            // An interrupt breaks off the clients; a termination would wait for them.
            process.stop(Signal::INT, STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Starts the server again on the same port with the same data.
    ///
    /// # Errors
    ///
    /// When the server runs already or does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "postgres runs already");
        if self.launch().await? {
            return Ok(());
        }
        bail!("port {} has been taken meanwhile", self.port());
    }

    async fn superuser(&self, database: &str) -> Result<Client> {
        self.login
            .connect(SUPERUSER, &self.superuser, database)
            .await
            .context("log in as the superuser")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = command(&self.bin.join(name), &self.dir);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}

fn is_root() -> bool {
    geteuid().is_root()
}

const SUPERUSER: &str = "postgres";
/// The user and group that own nothing, on every Linux.
const NOBODY: u32 = 65_534;
const STOP_LIMIT: Duration = Duration::from_secs(30);
