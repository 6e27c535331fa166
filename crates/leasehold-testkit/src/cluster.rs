use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::lab::{self, configure};
use crate::{AppRole, OpenBao, Postgres, Scratch, wait};

/// Three nodes of OpenBao with one storage between them, and PostgreSQL, configured as a
/// [`crate::Lab`] is.
///
/// Everything is gone when the cluster is dropped; its directory stays where a test panicked.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<OpenBao>,
    /// The database that the cluster issues users of.
    pub postgres: Postgres,
    // Below the servers, because fields are dropped in order and they write into it to the end.
    scratch: Scratch,
}

impl Cluster {
    /// Starts all nodes and waits until each serves.
    ///
    /// # Errors
    ///
    /// When a program is not installed or a node does not come up.
    pub async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let dir = scratch.path();
        let (postgres, mut first) = tokio::try_join!(Postgres::start(dir), OpenBao::start(dir))?;
        configure::all(&first, &postgres).await?;
        // A node that joins is given its vote only once it has been healthy for this long.
        let promptly = json!({ "server_stabilization_time": "1s" });
        let path = "sys/storage/raft/autopilot/configuration";
        first.api("POST", path, Some(promptly)).await?;
        first.stand_by();
        let (second, third) = tokio::try_join!(
            OpenBao::join(dir, "second", &first),
            OpenBao::join(dir, "third", &first)
        )?;
        Ok(Self {
            nodes: vec![first, second, third],
            postgres,
            scratch,
        })
    }

    /// Returns the addresses of all nodes, dead ones too.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(OpenBao::address).collect()
    }

    /// Returns a node.
    ///
    /// # Errors
    ///
    /// When there is no such node.
    pub fn node(&self, index: usize) -> Result<&OpenBao> {
        self.nodes.get(index).context("no such node")
    }

    /// Returns which node writes now; none where none does.
    pub async fn active(&self) -> Option<usize> {
        for (index, node) in self.nodes.iter().enumerate() {
            if node.is_active().await {
                return Some(index);
            }
        }
        None
    }

    /// Waits until a node writes, and returns which.
    ///
    /// # Errors
    ///
    /// When none does in time.
    pub async fn wait_for_active(&self) -> Result<usize> {
        wait::until("an active node", LIMIT, async || Ok(self.active().await)).await
    }

    /// Returns a node that answers reads and does not write.
    ///
    /// # Errors
    ///
    /// When no node writes.
    pub async fn standby(&self) -> Result<usize> {
        let active = self.active().await.context("no node is active")?;
        Ok(usize::from(active == 0))
    }

    /// Waits until every node has a vote, so that any one may die, and kills one as a crash would.
    ///
    /// # Errors
    ///
    /// When there is no such node, or the nodes do not get their votes in time.
    pub async fn kill(&mut self, index: usize) -> Result<()> {
        self.wait_for_votes().await?;
        self.node_mut(index)?.kill();
        Ok(())
    }

    /// Starts a node again that was killed, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When the node runs or does not come up.
    pub async fn start_again(&mut self, index: usize) -> Result<()> {
        self.node_mut(index)?.start_again().await
    }

    /// As [`crate::Lab::approle`].
    ///
    /// # Errors
    ///
    /// When no node writes or there is no such role.
    pub async fn approle(&self, role: &str) -> Result<AppRole> {
        let active = self.active().await.context("no node is active")?;
        lab::approle(self.node(active)?, self.scratch.path(), role).await
    }

    fn node_mut(&mut self, index: usize) -> Result<&mut OpenBao> {
        self.nodes.get_mut(index).context("no such node")
    }

    async fn wait_for_votes(&self) -> Result<()> {
        wait::until_true("every node to have a vote", LIMIT, async || {
            let path = "sys/storage/raft/configuration";
            let answer = self.node(0)?.api("GET", path, None).await?;
            let servers = answer.pointer("/data/config/servers");
            let servers = servers.and_then(Value::as_array).context("no servers")?;
            let voter = Some(&Value::Bool(true));
            let votes = servers.iter().filter(|it| it.get("voter") == voter);
            Ok(votes.count() == self.nodes.len())
        })
        .await
    }
}

const LIMIT: Duration = Duration::from_secs(60);
