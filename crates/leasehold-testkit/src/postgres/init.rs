use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use anyhow::{Context as _, Result, ensure};

use super::{NOBODY, Postgres, SUPERUSER, is_root};
use crate::random;

impl Postgres {
    /// Makes the files of an empty server, which never lets anyone in without a password.
    pub(super) fn init(&self) -> Result<()> {
        let password_file = self.dir.join("password");
        fs::write(&password_file, &self.superuser).context("write the superuser's password")?;
        fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600))
            .context("close the superuser's password")?;
        if is_root() {
            chown(&password_file, Some(NOBODY), Some(NOBODY)).context("give it to nobody")?;
        }
        let output = self
            .program("initdb")
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .output()
            .context("run initdb")?;
        fs::remove_file(&password_file).context("remove the superuser's password")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "initdb failed: {complaint}");
        Ok(())
    }

    /// Makes the roles and the database that OpenBao needs.
    pub(super) async fn set_up(&self) -> Result<()> {
        let create = format!(
            "create role {group} nologin;
             create role {manager} superuser login password '{password}';
             create role {user} login password '{initial}';",
            group = Self::GROUP,
            manager = Self::MANAGER,
            password = self.manager,
            user = Self::STATIC_USER,
            initial = random::secret()?,
        );
        let grant = format!(
            "create table t (id serial primary key, v text);
             grant all on t to {group};
             grant usage on sequence t_id_seq to {group};",
            group = Self::GROUP,
        );
        let client = self.superuser("postgres").await?;
        client.batch_execute(&create).await.context("make roles")?;
        // A database can't be made in a batch, which is one transaction.
        let database = format!("create database {}", Self::DATABASE);
        client.execute(&database, &[]).await.context("make it")?;
        let client = self.client().await?;
        client.batch_execute(&grant).await.context("make a table")
    }
}
