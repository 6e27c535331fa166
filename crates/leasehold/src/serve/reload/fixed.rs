//! What a gateway keeps for the length of its life.

use leasehold_config::Snapshot;

/// Tells which parts of a document differ that can't change while the gateway runs.
pub(super) fn differences(now: &Snapshot, then: &Snapshot) -> Option<String> {
    let parts = [
        ("instance", now.instance != then.instance),
        ("workers", now.workers != then.workers),
        ("admin", now.admin != then.admin),
        ("ledger", now.ledger != then.ledger),
        ("telemetry", now.telemetry != then.telemetry),
    ];
    let changed = parts.iter().filter(|(_, differs)| *differs);
    let changed: Vec<_> = changed.map(|(name, _)| format!("`{name}`")).collect();
    if changed.is_empty() {
        return None;
    }
    Some(format!(
        "{} can't change while the gateway runs: start its successor with `serve --upgrade-from`, or \
         restart it",
        changed.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_that_can_not_change_is_named_and_nothing_else_is() {
        let now = snapshot("a", "127.0.0.1:1", "/");
        assert_eq!(differences(&now, &snapshot("a", "127.0.0.1:1", "/x")), None);
        let elsewhere = snapshot("a", "127.0.0.1:2", "/");
        assert_eq!(differences(&now, &elsewhere), None);
        let mut other = snapshot("b", "127.0.0.1:2", "/");
        other.workers = leasehold_config::Workers::Count(std::num::NonZeroUsize::MIN);
        let told = differences(&now, &other).expect("a refusal");
        assert!(told.starts_with("`instance`, `workers` can't"), "{told}");
    }

    fn snapshot(instance: &str, address: &str, path: &str) -> Snapshot {
        let document = format!(
            "instance: {instance}\n\
             listeners: {{ public: {{ address: {address:?} }} }}\n\
             upstreams: {{ u: {{ endpoints: [\"http://127.0.0.1:9\"] }} }}\n\
             routes: [{{ name: r, match: {{ path: {path:?} }}, upstream: u, consumers: anyone }}]\n"
        );
        leasehold_config::load("test", &document).expect("a sound document")
    }
}
