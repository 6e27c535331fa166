use leasehold_admin::{HangsOn, Lease, Leases, Revocation, Revoked, Rotated, Rotation};
use serde::Serialize;

use super::table::table;

/// What an operator reads, and whether it is what was asked for.
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) done: bool,
}

pub(super) fn leases(held: &Leases, json: bool) -> Printed {
    let text = if json {
        as_json(held)
    } else if held.leases.is_empty() {
        format!("Instance {} holds nothing.", held.instance)
    } else {
        table(&HEADINGS, held.leases.iter().map(row))
    };
    Printed { text, done: true }
}

pub(super) fn lease(lease: &Lease, json: bool) -> Printed {
    let text = if json {
        as_json(lease)
    } else {
        let lines = details(lease).into_iter().filter_map(|(name, value)| {
            let value = value?;
            Some(format!("{name:<13}{value}"))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    Printed { text, done: true }
}

pub(super) fn rotated(rotated: &Rotated, json: bool) -> Printed {
    let done = rotated.rotations.iter().all(Rotation::is_done);
    let text = if json {
        as_json(rotated)
    } else if rotated.rotations.is_empty() {
        "Nothing is held yet: there is nothing to rotate.".to_owned()
    } else {
        lines(rotated.rotations.iter().map(rotation))
    };
    Printed { text, done }
}

pub(super) fn revoked(revoked: &Revoked, json: bool) -> Printed {
    let done = revoked.revocations.iter().all(Revocation::is_confirmed);
    let text = if json {
        as_json(revoked)
    } else if revoked.revocations.is_empty() {
        "No lease was held. What was held without one is withdrawn.".to_owned()
    } else {
        lines(revoked.revocations.iter().map(revocation))
    };
    Printed { text, done }
}

const HEADINGS: [&str; 8] = [
    "CREDENTIAL",
    "CONSUMER",
    "GENERATION",
    "STATE",
    "HANGS ON",
    "USABLE FOR",
    "NEXT",
    "LEASE",
];

fn row(lease: &Lease) -> [String; 8] {
    let dash = || "-".to_owned();
    let state = if lease.suspect {
        format!("{}, suspect", lease.state)
    } else {
        lease.state.clone()
    };
    [
        lease.credential.clone(),
        lease.consumer.clone().unwrap_or_else(dash),
        lease.generation.to_string(),
        state,
        lease.hangs_on.as_ref().map_or_else(dash, named),
        usable(lease),
        lease.next_ms.map_or_else(dash, span),
        lease.lease_id.clone().unwrap_or_else(dash),
    ]
}

fn details(lease: &Lease) -> Vec<(&'static str, Option<String>)> {
    let hangs_on = lease.hangs_on.as_ref().map(|it| {
        let lasts = it.lasts_ms.map_or_else(
            || "without end".to_owned(),
            |ms| format!("for {}", span(ms)),
        );
        format!("{}, which lasts {lasts}", named(it))
    });
    vec![
        ("lease", lease.lease_id.clone()),
        ("credential", Some(lease.credential.clone())),
        ("consumer", lease.consumer.clone()),
        ("generation", Some(lease.generation.to_string())),
        ("state", Some(lease.state.clone())),
        (
            "suspect",
            lease.suspect.then(|| "an upstream refused it".to_owned()),
        ),
        ("provider", Some(lease.provider.clone())),
        ("version", lease.version.map(|it| it.to_string())),
        ("fingerprint", lease.fingerprint.clone()),
        ("granted", lease.granted_ms.map(span)),
        ("hangs on", hangs_on),
        ("usable for", Some(usable(lease))),
        (
            "next",
            lease
                .next_ms
                .map(|ms| format!("renewed or replaced in {}", span(ms))),
        ),
    ]
}

fn named(hangs_on: &HangsOn) -> String {
    format!("{} {}", hangs_on.kind, hangs_on.epoch)
}

/// How long it may be used, and by which link of the chain it ends.
fn usable(lease: &Lease) -> String {
    let Some(usable) = lease.usable_for_ms else {
        return "no end".to_owned();
    };
    let by = match &lease.hangs_on {
        // The two spans were taken at the same moment, so that they are equal where one is the other.
        Some(holder) if holder.lasts_ms.is_some_and(|lasts| lasts <= usable) => named(holder),
        _ if lease.lease_id.is_some() => "lease".to_owned(),
        _ => "value".to_owned(),
    };
    format!("{} ({by})", span(usable))
}

fn rotation(it: &Rotation) -> String {
    let whose = whose(&it.credential, it.consumer.as_deref());
    let number =
        |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let took = it.took_ms;
    match it.outcome.as_str() {
        "rotated" => {
            let lease = it.lease_id.as_ref().map(|id| format!(" on lease {id}"));
            format!(
                "{whose}: rotated from generation {} to {}{} in {took} ms",
                number(it.former),
                number(it.generation),
                lease.unwrap_or_default()
            )
        }
        "unchanged" => format!(
            "{whose}: unchanged, the provider has nothing newer than generation {} ({took} ms)",
            number(it.generation)
        ),
        "failed" => format!(
            "{whose}: failed after {took} ms ({}); generation {} goes on, and it is tried again",
            it.cause.as_deref().unwrap_or("no cause told"),
            number(it.generation)
        ),
        other => format!("{whose}: {other} after {took} ms; it goes on"),
    }
}

fn revocation(it: &Revocation) -> String {
    let whose = whose(&it.credential, it.consumer.as_deref());
    let what = match it.outcome.as_str() {
        "revoked" => "revoked, confirmed by the provider",
        "expiry_claimed" => "NOT CONFIRMED: it ran out or was found gone first",
        "irrevocable" => "NOT REVOKED: the provider would not; it is tried again until it runs out",
        "timed_out" => "NOT CONFIRMED: no outcome yet; it goes on",
        other => other,
    };
    let (generation, lease, took) = (it.generation, &it.lease_id, it.took_ms);
    format!("{lease}: {what} in {took} ms ({whose}, generation {generation})")
}

fn whose(credential: &str, consumer: Option<&str>) -> String {
    match consumer {
        Some(consumer) => format!("{credential} for {consumer}"),
        None => credential.to_owned(),
    }
}

/// Writes a span in the two largest units that it has.
fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=9 => format!("{seconds}.{}s", ms % 1000 / 100),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn lines(each: impl Iterator<Item = String>) -> String {
    each.collect::<Vec<_>>().join("\n")
}

fn as_json<T: Serialize>(value: &T) -> String {
    // Maps with keys that are no text are what can't be written, and there is none.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(usable: Option<u64>, holder: Option<u64>) -> Lease {
        Lease {
            provider: "vault".to_owned(),
            credential: "db".to_owned(),
            consumer: None,
            generation: 2,
            state: "active".to_owned(),
            lease_id: Some("database/creds/app/x".to_owned()),
            version: None,
            fingerprint: None,
            hangs_on: Some(HangsOn {
                kind: "session".to_owned(),
                epoch: 3,
                lasts_ms: holder,
            }),
            granted_ms: Some(60_000),
            usable_for_ms: usable,
            next_ms: None,
            suspect: false,
        }
    }

    #[test]
    fn a_deadline_names_the_link_of_the_chain_that_ends_first() {
        assert_eq!(usable(&held(Some(59_000), Some(3_600_000))), "59s (lease)");
        assert_eq!(usable(&held(Some(7_900), Some(7_900))), "7.9s (session 3)");
        assert_eq!(usable(&held(Some(61_000), None)), "1m01s (lease)");
        assert_eq!(usable(&held(None, None)), "no end");
    }

    #[test]
    fn only_what_the_provider_confirmed_counts_as_revoked() {
        let with = |outcome: &str| {
            let revocation = Revocation {
                credential: "db".to_owned(),
                consumer: Some("orders".to_owned()),
                generation: 1,
                lease_id: "l".to_owned(),
                outcome: outcome.to_owned(),
                took_ms: 31,
            };
            let instance = "edge".to_owned();
            let revocations = vec![revocation];
            revoked(
                &Revoked {
                    instance,
                    revocations,
                },
                false,
            )
        };
        let confirmed = with("revoked");
        assert!(confirmed.done);
        assert_eq!(
            confirmed.text,
            "l: revoked, confirmed by the provider in 31 ms (db for orders, generation 1)"
        );
        for outcome in ["expiry_claimed", "irrevocable", "timed_out"] {
            let printed = with(outcome);
            assert!(
                !printed.done && printed.text.contains("NOT "),
                "{}",
                printed.text
            );
        }
    }
}
