//! Database users issued by a real OpenBao on a real PostgreSQL, for seconds each.

use anyhow::{Context as _, Result};
use leasehold_testkit::{Lab, Origin};

use crate::demo::Stage;
use crate::demo::traffic::tell;

pub(crate) async fn run(stop: impl Future<Output = ()>) -> Result<bool> {
    tell("Starting OpenBao and PostgreSQL …");
    let lab = Lab::start().await.context(
        "start OpenBao and PostgreSQL: `cargo xtask setup` installs both for this project",
    )?;
    let approle = lab.approle("gateway").await?;
    let origin = Origin::database(&lab.postgres).await?;
    let stage = Stage {
        config: format!(
            "providers:\n  \
               vault:\n    \
                 kind: vault\n    \
                 address: {:?}\n    \
                 auth: {{ approle: {{ role_id: {:?}, secret_id: {{ file: {:?} }} }} }}\n    \
                 anchor: {{ token_role: leasehold }}\n\
             ledger: {{ file: {:?} }}\n\
             credentials: {{ user: {{ from: {{ provider: vault, lease: database/creds/short }} }} }}\n\
             upstreams:\n  \
               origin:\n    \
                 endpoints: [{:?}]\n    \
                 credential: user\n    \
                 inject: {{ basic: {{ username: username, password: password }} }}\n",
            lab.openbao.address(),
            approle.role_id,
            approle.secret_id_file,
            lab.dir().join("ledger.redb"),
            origin.url()
        ),
        upstream_shows: "The origin behind it opens a PostgreSQL connection for each request, with the \
                         user and password it is shown. Users live for 10 seconds and are renewed up \
                         to 30; then the next one takes over.",
    };
    let traffic = stage.play(stop, |_| async { Ok(()) }).await?;
    origin.stop().await;
    let users = lab.postgres.login_roles_like("v-").await?;
    tell(&format!(
        "\n{} requests, {} failed, {} database users one after the other; {} left in the database.",
        traffic.requests,
        traffic.failed,
        traffic.generations,
        users.len()
    ));
    Ok(traffic.failed == 0 && users.is_empty())
}
