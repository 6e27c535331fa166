//! `leasehold reload`: a new configuration for a gateway that runs.

use std::process::ExitCode;

use leasehold_admin::{Reload, Reloaded};
use leasehold_model::Chain;
use serde_json::json;

use crate::cli::SocketArgs;
use crate::lease::client::{Client, ClientError};
use crate::lease::{socket, usage};
use crate::{output, serve};

/// Asks for the reload and prints how it went: 0 where it was applied, 1 where it was refused, 2 where
/// the gateway could not be asked.
pub(crate) fn run(args: &SocketArgs) -> ExitCode {
    let socket = match socket(args) {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let runtime = match serve::control_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return usage(&Chain(&error).to_string()),
    };
    let asked: Result<Reloaded, ClientError> = runtime.block_on(async {
        let client = Client::new(socket);
        client.post(&["v1", "reload"], &json!({})).await
    });
    match asked {
        Ok(reloaded) => tell(&reloaded, args.json),
        Err(error) => usage(&Chain(&error).to_string()),
    }
}

fn tell(reloaded: &Reloaded, json: bool) -> ExitCode {
    let reload = &reloaded.reload;
    let said = if json {
        match serde_json::to_string_pretty(reloaded) {
            Ok(text) => output::say(&text),
            Err(error) => return output::fail_with(&error),
        }
    } else if reload.is_applied() {
        output::say(&in_words(reload))
    } else {
        let report = reload.report.as_deref().unwrap_or_default();
        return output::fail(&format!(
            "the configuration is refused, and nothing has changed\n{report}"
        ));
    };
    match said {
        Ok(()) if reload.is_applied() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => output::fail_with(&error),
    }
}

fn in_words(reload: &Reload) -> String {
    let mut text = format!(
        "Configuration {} is at work: {} credentials kept, {} fetched, {} given back.",
        reload.generation,
        reload.kept,
        listed(&reload.fetched),
        listed(&reload.given_back),
    );
    for (what, names) in [
        ("Opened", &reload.listeners_opened),
        ("Changed", &reload.listeners_changed),
        ("Closed", &reload.listeners_closed),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("\n{what} listeners: {}.", names.join(", ")));
        }
    }
    for it in &reload.not_ready {
        text.push_str(&format!(
            "\nCredential {} is not to be had yet ({}): its routes answer 503 until it is.",
            it.credential, it.cause
        ));
    }
    text
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    format!("{} ({})", names.len(), names.join(", "))
}
