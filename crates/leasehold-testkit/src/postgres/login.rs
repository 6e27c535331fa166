use std::net::Ipv4Addr;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};
use tokio_util::task::TaskTracker;

/// Where a PostgreSQL server takes logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    pub(super) port: u16,
}

impl Login {
    /// Opens a connection. It is closed when the client is dropped.
    ///
    /// # Errors
    ///
    /// When the server refuses the user or is not up.
    pub async fn connect(
        self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = Config::new()
            .host(Ipv4Addr::LOCALHOST.to_string())
            .port(self.port)
            .user(user)
            .password(password)
            .dbname(database)
            .connect_timeout(CONNECT_LIMIT)
            .connect(NoTls)
            .await?;
        // It ends with its client, so nobody needs to wait for it; what breaks it, breaks the
        // client's next query too.
        TaskTracker::new().spawn(connection);
        Ok(client)
    }
}

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
