//! The engine against a simulated provider, in virtual time.
//!
//! A run is determined by its seed: `SIMULATION_SEED=7 cargo test -p leasehold-lease` replays one.
//! Each run ends with a shutdown, after which nothing may be left.

mod simulation;

use simulation::{Outcome, Scenario, run};

#[test]
fn a_well_behaved_provider_never_interrupts_service() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::calm());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert_eq!(
            outcome.claimed, 0,
            "seed {seed}: every lease is revoked by name: {outcome:?}"
        );
    }
}

#[test]
fn leases_of_a_few_seconds_rotate_without_a_gap() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::tiny());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert!(outcome.activations > 10, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_session_at_its_maximum_life_is_succeeded_without_a_gap() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::short_sessions());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert!(outcome.logins > 2, "seed {seed}: {outcome:?}");
        assert_eq!(
            outcome.claimed, 0,
            "seed {seed}: nothing died with its session: {outcome:?}"
        );
    }
}

#[test]
fn outages_cost_no_more_than_the_time_they_last() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::faulty());
        // What the run checks at each step is the point here: see `Simulation::check`.
        assert!(outcome.activations > 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_renewal_that_never_works_costs_one_credential_a_lifetime() {
    for seed in seeds(50) {
        let scenario = Scenario::broken_renewal();
        let Outcome {
            issued,
            interruptions,
            ..
        } = run(seed, &scenario);
        assert_eq!(interruptions, 0, "seed {seed}");
        // F15: at most ceil(t / (0.6 TTL)) + 1 credentials a slot.
        let lifetimes = scenario.length.as_secs_f64() / (0.6 * scenario.lease_ttl.as_secs_f64());
        let most = (lifetimes.ceil() + 1.0) * f64::from(scenario.leased);
        assert!(
            f64::from(issued) <= most,
            "seed {seed}: {issued} issued, at most {most}"
        );
    }
}

#[test]
fn versions_never_go_back() {
    for seed in seeds(200) {
        let outcome = run(seed, &Scenario::stale_reads());
        assert!(outcome.activations > 1, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
    }
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    // Read at compile time: a run is replayed by building it with the seed.
    match option_env!("SIMULATION_SEED").and_then(|seed| seed.parse::<u64>().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}
