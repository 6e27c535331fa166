//! `leasehold doctor`: is the Vault side of a configuration as it should be?

use std::process::ExitCode;

use leasehold_config::{Provider, ProviderKind, Snapshot, Vault};
use leasehold_model::{Chain, SystemClock};
use leasehold_provider_vault::{Examination, Finding, Report, Severity, examine};
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::{check, compose, output, serve};

/// Looks and tells: 0 where nothing is wrong, 1 where something is, 2 where it could not look.
pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    let snapshot = match leasehold_config::read(&args.config) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            check::refuse(error);
            return ExitCode::from(BLIND);
        }
    };
    let runtime = match serve::control_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::fail(&Chain(&error).to_string());
            return ExitCode::from(BLIND);
        }
    };
    let visits = runtime.block_on(visit_all(&snapshot, args.issue));
    let text = if args.json {
        serde_json::to_string_pretty(&visits).unwrap_or_default()
    } else {
        in_words(&visits)
    };
    match output::say(&text) {
        Ok(()) => ExitCode::from(verdict(&visits)),
        Err(error) => {
            output::fail_with(&error);
            ExitCode::from(BLIND)
        }
    }
}

/// What was found at one provider.
#[derive(Serialize)]
struct Visited {
    provider: String,
    addresses: Vec<String>,
    #[serde(flatten)]
    report: Report,
}

async fn visit_all(snapshot: &Snapshot, issue: bool) -> Vec<Visited> {
    let mut visits = Vec::new();
    for provider in &snapshot.providers {
        if let ProviderKind::Vault(vault) = &provider.kind {
            visits.push(visit(snapshot, provider, vault, issue).await);
        }
    }
    visits
}

async fn visit(snapshot: &Snapshot, provider: &Provider, vault: &Vault, issue: bool) -> Visited {
    let credentials = snapshot
        .credentials
        .iter()
        .filter(|it| it.provider == provider.name)
        .map(|it| (it.name.clone(), compose::source(&it.source).0));
    let examination = Examination {
        credentials: credentials.collect(),
        token_role: vault.anchor.as_ref().map(|it| it.token_role.clone()),
        issue,
    };
    let config = compose::vault_login::config(&provider.name, &snapshot.instance, vault);
    Visited {
        provider: provider.name.to_string(),
        addresses: vault.addresses.iter().map(ToString::to_string).collect(),
        report: examine(&config, &examination, &SystemClock).await,
    }
}

fn in_words(visits: &[Visited]) -> String {
    if visits.is_empty() {
        return "The configuration declares no Vault provider: there is nothing to look at."
            .to_owned();
    }
    let mut lines = Vec::new();
    for visited in visits {
        let addresses = visited.addresses.join(", ");
        lines.push(format!("Provider {} at {addresses}", visited.provider));
        visited
            .report
            .findings
            .iter()
            .for_each(|it| tell(it, &mut lines));
        lines.push(String::new());
    }
    lines.push(summary(visits));
    lines.join("\n")
}

/// Tells one finding. A command begins at the margin, so that it can be copied as it stands.
fn tell(finding: &Finding, lines: &mut Vec<String>) {
    let Finding {
        severity,
        check,
        what,
        mend,
    } = finding;
    let what = printable(what);
    lines.push(format!("  {:<8} {check}: {what}", severity.as_str()));
    if let Some(mend) = mend {
        lines.push("           to mend it:".to_owned());
        lines.extend(mend.lines().map(printable));
    }
}

/// Leaves out what would steer a terminal: names of policies and paths are the server's words.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn summary(visits: &[Visited]) -> String {
    let count = |severity| {
        findings(visits)
            .filter(|it| it.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let blind = visits.iter().filter(|it| !it.report.looked).count();
    let counted = format!("{errors} errors, {warnings} warnings");
    match blind {
        0 => format!("{counted}."),
        blind => format!(
            "{counted}; {blind} of {} providers could not be looked at.",
            visits.len()
        ),
    }
}

fn verdict(visits: &[Visited]) -> u8 {
    if visits.iter().any(|it| !it.report.looked) {
        return BLIND;
    }
    u8::from(findings(visits).any(|it| it.severity == Severity::Error))
}

fn findings(visits: &[Visited]) -> impl Iterator<Item = &Finding> {
    visits.iter().flat_map(|it| &it.report.findings)
}

const BLIND: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_the_server_does_not_steer_the_terminal() {
        let finding = Finding {
            severity: Severity::Error,
            check: "policy",
            what: "update on a\u{1b}[2Jb\nc".to_owned(),
            mend: None,
        };
        let mut lines = Vec::new();
        tell(&finding, &mut lines);
        assert_eq!(
            lines,
            ["  error    policy: update on a\u{fffd}[2Jb\u{fffd}c"]
        );
    }
}
