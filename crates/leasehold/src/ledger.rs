//! `leasehold ledger`: what a gateway holds at its providers, looked at and repaired.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use leasehold_ledger::{
    Contents, Held, Intent, IntentState, Lease, LeaseState, Ledger, LedgerError, Report, Totals,
    repair,
};
use leasehold_model::{Chain, ConsumerName, CredentialName, InstanceName};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::LedgerCommand;
use crate::output;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

pub(crate) fn run(command: &LedgerCommand) -> ExitCode {
    let done = match command {
        LedgerCommand::Show { file, json: true } => show_json(file),
        LedgerCommand::Show { file, json: false } => show(file),
        LedgerCommand::Repair { file } => mend(file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail(&Chain(&error).to_string()),
    }
}

fn show(file: &Path) -> Result<(), CommandError> {
    let contents = Ledger::inspect(file)?;
    output::say(&format!("instance {}", instance(&contents)))?;
    for (provider, held) in &contents.providers {
        output::say(&format!("provider {provider}"))?;
        for line in lines(held) {
            output::say(&format!("  {line}"))?;
        }
    }
    if contents.providers.values().all(Held::is_empty) {
        output::say("Nothing is held.")?;
    }
    Ok(())
}

fn lines(held: &Held) -> Vec<String> {
    let sessions = held.sessions.iter().map(|it| {
        let (accessor, epoch, until) = (&it.accessor, it.epoch, text(it.deadline));
        format!("session {accessor}  epoch {epoch}  until {until}")
    });
    let anchors = held.anchors.iter().map(|it| {
        let (accessor, epoch, until) = (&it.accessor, it.epoch, text(it.deadline));
        format!("anchor  {accessor}  epoch {epoch}  until {until}")
    });
    let leases = held.leases.iter().map(lease_line);
    let intents = held.intents.iter().map(intent_line);
    let all = sessions.chain(anchors).chain(leases).chain(intents);
    all.chain([ended_line(&held.totals)]).collect()
}

fn lease_line(lease: &Lease) -> String {
    let whose = whose(&lease.credential, lease.consumer.as_ref());
    let (state, until) = (lease_state(lease.state), text(lease.deadline));
    let (id, generation, holder) = (&lease.lease_id, lease.generation, &lease.holder);
    format!("lease   {id}  {whose}  generation {generation}  {state}  by {holder}  until {until}")
}

fn intent_line(intent: &Intent) -> String {
    let whose = whose(&intent.credential, intent.consumer.as_ref());
    let (state, since) = (intent_state(intent.state), text(intent.at));
    let (generation, holder) = (intent.generation, &intent.holder);
    format!("intent  {whose}  generation {generation}  {state}  by {holder}  since {since}")
}

fn ended_line(totals: &Totals) -> String {
    format!(
        "ended   leases: {} revoked, {} ran out or found gone; intents: {} failed, {} collected; \
         anchors: {} revoked, {} lost; sessions: {}",
        totals.leases_revoked,
        totals.leases_expiry_claimed,
        totals.intents_failed,
        totals.intents_collected,
        totals.anchors_revoked,
        totals.anchors_lost,
        totals.sessions_ended
    )
}

fn show_json(file: &Path) -> Result<(), CommandError> {
    let contents = Ledger::inspect(file)?;
    let lives = contents.incarnations.iter();
    let lives = lives.map(|it| json!({ "id": it.id, "started_at": text(it.started_at) }));
    let providers = contents.providers.iter();
    let providers = providers.map(|(name, held)| (name.to_string(), held_json(held)));
    let object = json!({
        "instance": contents.instance,
        "incarnations": lives.collect::<Vec<_>>(),
        "providers": providers.collect::<serde_json::Map<_, _>>(),
    });
    output::say(&object.to_string())?;
    Ok(())
}

fn held_json(held: &Held) -> Value {
    let sessions = held.sessions.iter().map(|it| {
        json!({
            "incarnation": it.incarnation,
            "epoch": it.epoch,
            "accessor": it.accessor,
            "logged_in_at": text(it.logged_in_at),
            "deadline": text(it.deadline),
        })
    });
    let anchors = held.anchors.iter().map(|it| {
        json!({
            "incarnation": it.incarnation,
            "epoch": it.epoch,
            "accessor": it.accessor,
            "deadline": text(it.deadline),
        })
    });
    json!({
        "sessions": sessions.collect::<Vec<_>>(),
        "anchors": anchors.collect::<Vec<_>>(),
        "leases": leases_json(held),
        "intents": intents_json(held),
        "totals": held.totals,
    })
}

fn leases_json(held: &Held) -> Vec<Value> {
    let leases = held.leases.iter().map(|it| {
        json!({
            "incarnation": it.incarnation,
            "lease_id": it.lease_id,
            "credential": it.credential,
            "consumer": it.consumer,
            "generation": it.generation,
            "holder": it.holder,
            "deadline": text(it.deadline),
            "state": it.state,
        })
    });
    leases.collect()
}

fn intents_json(held: &Held) -> Vec<Value> {
    let intents = held.intents.iter().map(|it| {
        json!({
            "incarnation": it.incarnation,
            "id": it.id,
            "credential": it.credential,
            "consumer": it.consumer,
            "generation": it.generation,
            "holder": it.holder,
            "at": text(it.at),
            "state": it.state,
        })
    });
    intents.collect()
}

fn mend(file: &Path) -> Result<(), CommandError> {
    let report = repair(file)?;
    let Some(damaged) = &report.damaged else {
        let name = file.display();
        output::say(&format!("{name} is sound; nothing was changed."))?;
        return Ok(());
    };
    output::say(&format!("The damaged file is now {}.", damaged.display()))?;
    output::say(&kept(&report))?;
    if report.loose > 0 {
        output::say(&format!(
            "{} entries were found outside of any list: some may have ended already, which the \
             gateway finds out.",
            report.loose
        ))?;
    }
    for it in &report.unreadable {
        output::say(&format!("Could not be read: {}: {}.", it.place, it.why))?;
    }
    if report.entries == 0 || !report.unreadable.is_empty() {
        output::say(
            "Leases of earlier lives that are not in the ledger run out by themselves; until then \
             they are found at the provider: `bao list sys/leases/lookup/PATH` for each path that \
             credentials come from, and `bao lease revoke ID`.",
        )?;
    }
    Ok(())
}

fn kept(report: &Report) -> String {
    let sum = |count: fn(&Held) -> usize| -> usize {
        report.contents.providers.values().map(count).sum()
    };
    format!(
        "Kept for instance {}: {} sessions, {} anchors, {} leases, {} intents.",
        instance(&report.contents),
        sum(|it| it.sessions.len()),
        sum(|it| it.anchors.len()),
        sum(|it| it.leases.len()),
        sum(|it| it.intents.len())
    )
}

fn instance(contents: &Contents) -> &str {
    let name = contents.instance.as_ref();
    name.map_or("(unknown: of whoever opens it first)", InstanceName::as_str)
}

fn whose(credential: &CredentialName, consumer: Option<&ConsumerName>) -> String {
    match consumer {
        Some(consumer) => format!("{credential} for {consumer}"),
        None => credential.to_string(),
    }
}

fn lease_state(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Held => "held",
        LeaseState::Retired => "retired",
        LeaseState::Irrevocable => "irrevocable",
    }
}

fn intent_state(state: IntentState) -> &'static str {
    match state {
        IntentState::Open => "open",
        IntentState::MaybeLeaked => "maybe leaked",
    }
}

/// Writes a time as people and programs read it; one that no calendar has is the end of time.
fn text(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "never".to_owned())
}
