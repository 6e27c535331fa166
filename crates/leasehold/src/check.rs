use std::process::ExitCode;

use crate::cli::CheckArgs;
use crate::output;

/// Checks a configuration file and prints every fault in it.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    match leasehold_config::read(&args.config) {
        Ok(snapshot) => said(output::say(&format!(
            "{} is valid: {} routes, {} upstreams, {} credentials.",
            args.config.display(),
            snapshot.routes.len(),
            snapshot.upstreams.len(),
            snapshot.credentials.len(),
        ))),
        Err(error) => refuse(error),
    }
}

/// Prints the JSON Schema of the configuration file.
pub(crate) fn schema() -> ExitCode {
    match serde_json::to_string_pretty(&leasehold_config::schema()) {
        Ok(text) => said(output::say(&text)),
        Err(error) => output::fail_with(&error),
    }
}

/// Prints why a configuration was refused: each fault with its place, the line and a remedy.
pub(crate) fn refuse(error: leasehold_config::LoadError) -> ExitCode {
    let report = report(error);
    output::fail(&format!("the configuration is refused\n{report}"))
}

/// Returns every fault of a configuration with its place, the line and a remedy.
pub(crate) fn report(error: leasehold_config::LoadError) -> String {
    format!("{:?}", miette::Report::new(error))
}

fn said(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail_with(&error),
    }
}
