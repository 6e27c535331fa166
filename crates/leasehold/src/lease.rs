//! `leasehold lease`: an operator's orders to a gateway that runs.

pub(crate) mod client;
mod print;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use leasehold_admin::{Lease, Leases, Revoked, Rotated};
use leasehold_model::Chain;
use serde_json::json;

use self::client::{Client, ClientError};
use self::print::Printed;
use crate::cli::{LeaseCommand, RevokeArgs, SocketArgs};
use crate::{check, output, serve};

/// Carries out an order: 0 where it is done and confirmed, 1 where it is not, 2 where the gateway
/// could not be asked or does not know what is meant.
pub(crate) fn run(command: &LeaseCommand) -> ExitCode {
    let socket = match socket(command.socket()) {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    if let LeaseCommand::Revoke(args) = command
        && args.instance
        && !args.yes
    {
        return usage(
            "this ends every lease of the instance at once, whoever uses it: say --yes if that is \
             meant",
        );
    }
    let runtime = match serve::control_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return usage(&Chain(&error).to_string()),
    };
    match runtime.block_on(carry_out(command, &Client::new(socket))) {
        Ok(printed) => match output::say(&printed.text) {
            Ok(()) if printed.done => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => output::fail_with(&error),
        },
        Err(error) => usage(&Chain(&error).to_string()),
    }
}

async fn carry_out(command: &LeaseCommand, client: &Client) -> Result<Printed, ClientError> {
    let json = command.socket().json;
    match command {
        LeaseCommand::List { credential, .. } => {
            let mut held: Leases = client.get(&["v1", "leases"]).await?;
            if let Some(credential) = credential {
                held.leases.retain(|it| it.credential == *credential);
            }
            Ok(print::leases(&held, json))
        }
        LeaseCommand::Show { lease_id, .. } => {
            let path: Vec<&str> = ["v1", "leases"]
                .into_iter()
                .chain(lease_id.split('/'))
                .collect();
            let lease: Lease = client.get(&path).await?;
            Ok(print::lease(&lease, json))
        }
        LeaseCommand::Rotate {
            credential,
            consumer,
            ..
        } => {
            let path = ["v1", "credentials", credential, "rotate"];
            let rotated: Rotated = client.post(&path, &of(consumer.as_deref())).await?;
            Ok(print::rotated(&rotated, json))
        }
        LeaseCommand::Revoke(args) => {
            let revoked = revoke(args, client).await?;
            Ok(print::revoked(&revoked, json))
        }
    }
}

async fn revoke(args: &RevokeArgs, client: &Client) -> Result<Revoked, ClientError> {
    let nothing = json!({});
    match (&args.lease_id, &args.credential) {
        (Some(lease_id), _) => {
            let order = json!({ "lease_id": lease_id });
            client.post(&["v1", "leases", "revoke"], &order).await
        }
        (None, Some(credential)) => {
            let path = ["v1", "credentials", credential, "revoke"];
            client.post(&path, &of(args.consumer.as_deref())).await
        }
        (None, None) => client.post(&["v1", "instance", "revoke"], &nothing).await,
    }
}

fn of(consumer: Option<&str>) -> serde_json::Value {
    consumer.map_or_else(|| json!({}), |consumer| json!({ "consumer": consumer }))
}

/// Finds the socket: named by itself, or in the configuration of the gateway.
pub(crate) fn socket(args: &SocketArgs) -> Result<PathBuf, ExitCode> {
    if let Some(socket) = &args.socket {
        return Ok(socket.clone());
    }
    let Some(config) = &args.config else {
        return Err(usage("name the gateway by --config FILE or --socket PATH"));
    };
    let snapshot = leasehold_config::read(config).map_err(|error| {
        check::refuse(error);
        ExitCode::from(UNREACHABLE)
    })?;
    snapshot.admin.socket.ok_or_else(|| {
        usage(&format!(
            "{} declares no operator's socket: add `admin: {{ socket: /run/leasehold/admin.sock }}` \
             and restart the gateway",
            config.display()
        ))
    })
}

/// Says why the gateway could not be asked.
pub(crate) fn usage(text: &str) -> ExitCode {
    output::fail(text);
    ExitCode::from(UNREACHABLE)
}

const UNREACHABLE: u8 = 2;
