//! The engine against a simulated provider, in virtual time.
//!
//! A run is determined by its seed: `SIMULATION_SEED=7 cargo test -p leasehold-lease` replays one.
//! Each run ends with a shutdown, after which nothing may be left.

mod desk;
mod orders;
mod promises;
mod provider;
mod scenario;
mod simulation;
mod turns;

use leasehold_model::Failure;

use crate::scenario::{Outcome, Scenario, seconds};
use crate::simulation::run;

#[test]
fn a_well_behaved_provider_never_interrupts_service() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::calm());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert_eq!(
            outcome.cascaded, 0,
            "seed {seed}: revoked by name: {outcome:?}"
        );
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
        assert_eq!(
            outcome.cascaded, 0,
            "seed {seed}: revoked by name: {outcome:?}"
        );
        assert!(outcome.activations > 10, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_session_at_its_maximum_life_is_succeeded_without_a_gap() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::short_sessions());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert_eq!(
            outcome.cascaded, 0,
            "seed {seed}: revoked by name: {outcome:?}"
        );
        assert!(outcome.logins > 2, "seed {seed}: {outcome:?}");
        assert_eq!(
            outcome.claimed, 0,
            "seed {seed}: nothing died with its session: {outcome:?}"
        );
    }
}

#[test]
fn outages_cost_no_more_than_the_time_they_last() {
    for scenario in [Scenario::outage_of_leases(), Scenario::outage_of_sessions()] {
        for seed in seeds(100) {
            let outcome = run(seed, &scenario);
            assert!(
                outcome.interruptions > 0,
                "seed {seed}: nothing outlives what it hangs on"
            );
            let over = scenario.outage.map_or(seconds(0), |(_, until)| until);
            assert!(
                outcome.back_at < over + seconds(15),
                "seed {seed}: {outcome:?}"
            );
        }
    }
}

#[test]
fn failures_at_random_break_nothing_that_is_checked_at_each_step() {
    for seed in seeds(300) {
        let outcome = run(seed, &Scenario::faulty());
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

#[test]
fn sessions_and_leases_that_cannot_be_renewed_are_replaced_in_time() {
    for scenario in [Scenario::batch_sessions(), Scenario::leases_not_renewable()] {
        for seed in seeds(100) {
            let outcome = run(seed, &scenario);
            assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
            assert_eq!(outcome.claimed, 0, "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn a_session_that_cannot_be_renewed_is_succeeded_before_it_takes_its_leases_along() {
    for failure in [
        Failure::Transient,
        Failure::SlowDown { retry_after: None },
        Failure::Denied,
    ] {
        for seed in seeds(50) {
            let outcome = run(seed, &Scenario::sessions_never_renewed(failure));
            assert_eq!(
                outcome.interruptions, 0,
                "seed {seed}: {failure:?} {outcome:?}"
            );
            assert_eq!(outcome.claimed, 0, "seed {seed}: {failure:?} {outcome:?}");
        }
    }
}

#[test]
fn a_login_that_gets_less_than_its_role_asks_for_is_one_login() {
    for seed in seeds(50) {
        assert_eq!(
            run(seed, &Scenario::capped_logins()).logins,
            1,
            "seed {seed}"
        );
    }
}

#[test]
fn sessions_dead_on_arrival_and_grants_of_nothing_are_no_storm() {
    for seed in seeds(50) {
        let dead = run(seed, &Scenario::dead_on_arrival());
        assert!(dead.logins <= 15, "seed {seed}: {dead:?}");
        let nothing = run(seed, &Scenario::nothing_granted());
        assert!(nothing.issued <= 30, "seed {seed}: {nothing:?}");
    }
}

#[test]
fn fetches_that_fail_are_spaced_out() {
    let hostile = Failure::SlowDown {
        retry_after: Some(std::time::Duration::MAX),
    };
    for (failure, most) in [
        (Failure::Transient, 1000),
        (Failure::MaybeIssued, 60),
        (Failure::Misconfigured, 120),
        (hostile, 20),
    ] {
        for seed in seeds(20) {
            let outcome = run(seed, &Scenario::fetches_that_fail(failure));
            assert!(
                outcome.fetches <= most,
                "seed {seed}: {failure:?} {outcome:?}"
            );
            assert_eq!(outcome.activations, 0, "seed {seed}");
        }
    }
}

#[test]
fn a_lease_revoked_by_somebody_else_is_not_served_once_that_is_known() {
    for seed in seeds(100) {
        let outcome = run(seed, &Scenario::revoked_by_others());
        assert!(outcome.interruptions > 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn leases_that_may_not_be_revoked_are_told_and_end_with_their_session() {
    for seed in seeds(100) {
        let outcome = run(seed, &Scenario::revocations_denied());
        assert!(outcome.irrevocable > 0, "seed {seed}: {outcome:?}");
        assert!(
            outcome.irrevocable <= outcome.issued,
            "seed {seed}: each is told once: {outcome:?}"
        );
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_shutdown_in_the_middle_of_everything_gives_everything_back() {
    for seed in seeds(300) {
        run(seed, &Scenario::faults_to_the_end());
    }
}

#[test]
fn leave_of_a_provider_is_taken_with_everything_given_back_by_name() {
    for scenario in [
        Scenario::calm(),
        Scenario::anchored(),
        Scenario::inherited(),
    ] {
        for seed in seeds(50) {
            let leaves = Scenario {
                leaves: true,
                ..scenario.clone()
            };
            let outcome = run(seed, &leaves);
            assert_eq!(outcome.left, 1, "seed {seed}: {outcome:?}");
            assert_eq!(outcome.claimed, 0, "seed {seed}: {outcome:?}");
            assert_eq!(outcome.cascaded, 0, "seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn leases_on_an_anchor_outlive_sessions() {
    for seed in seeds(200) {
        let outcome = run(seed, &Scenario::anchored());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.claimed, 0, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.anchors, 1, "seed {seed}: {outcome:?}");
        assert!(outcome.logins > 2, "seed {seed}: {outcome:?}");
        let dying = Scenario {
            session_death: 0.02,
            ..Scenario::anchored()
        };
        let outcome = run(seed, &dying);
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn an_anchor_is_changed_after_a_day_and_its_leases_move_without_a_gap() {
    let scenario = Scenario {
        versioned: 0,
        lease_ttl: seconds(3600),
        lease_max: seconds(48 * 3600),
        session_ttl: seconds(3600),
        session_max: seconds(48 * 3600),
        length: seconds(26 * 3600),
        ..Scenario::anchored()
    };
    let outcome = run(1, &scenario);
    assert_eq!(outcome.anchors, 2, "{outcome:?}");
    assert_eq!(outcome.interruptions, 0, "{outcome:?}");
    assert_eq!(outcome.cascaded, 0, "{outcome:?}");
}

#[test]
fn without_an_anchor_to_be_had_leases_hang_on_the_session_and_people_are_told() {
    for seed in seeds(100) {
        let outcome = run(seed, &Scenario::anchors_refused());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert!(outcome.issued > 3, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.unavailable, 1, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.anchors, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn an_anchor_that_dies_costs_its_leases_and_no_more() {
    for seed in seeds(100) {
        let outcome = run(seed, &Scenario::anchors_die());
        assert!(outcome.anchors > 1, "seed {seed}: {outcome:?}");
        assert!(outcome.activations > 10, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn what_may_hang_on_an_anchor_unknown_is_collected_with_it_once_an_hour() {
    for seed in seeds(20) {
        let outcome = run(seed, &Scenario::leaky());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.cascaded, 0, "seed {seed}: {outcome:?}");
        assert!(
            (2..=6).contains(&outcome.anchors),
            "seed {seed}: {outcome:?}"
        );
    }
}

#[test]
fn leases_of_an_earlier_process_are_gone_within_a_minute_and_by_name() {
    for seed in seeds(50) {
        let outcome = run(seed, &Scenario::inherited());
        assert_eq!(outcome.formers, 2, "seed {seed}: {outcome:?}");
        assert!(
            outcome.orphans_gone_at < seconds(60),
            "seed {seed}: {outcome:?}"
        );
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn an_upstream_that_refuses_everything_does_not_drive_the_provider() {
    for seed in seeds(50) {
        let outcome = run(seed, &Scenario::refused_upstream());
        // Three slots, ten minutes, at most two for each five minutes beside what renewals need.
        assert!(outcome.issued <= 3 * 6, "seed {seed}: {outcome:?}");
        assert!(outcome.suspects > 0, "seed {seed}: {outcome:?}");
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn f35_a_rotated_account_is_read_once_a_rotation() {
    let scenario = Scenario::rotated_accounts();
    let rotations = scenario.length.as_secs() / scenario.rotation.as_secs();
    for seed in seeds(50) {
        let outcome = run(seed, &scenario);
        let most = 2 * (u32::try_from(rotations).expect("few") + 1);
        assert!(
            (most - 2..=most).contains(&outcome.reads),
            "seed {seed}: {outcome:?}"
        );
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
        let late = Scenario {
            rotates_late: std::time::Duration::from_millis(900),
            ..scenario.clone()
        };
        let outcome = run(seed, &late);
        assert!(outcome.reads <= 4 * most, "seed {seed}: {outcome:?}");
        assert!(outcome.activations + 2 >= most, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn certificates_and_values_without_versions_are_replaced_in_time() {
    for seed in seeds(100) {
        let outcome = run(seed, &Scenario::other_kinds());
        assert_eq!(outcome.interruptions, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn f16_a_thousand_leases_issued_at_once_are_renewed_within_the_budget() {
    let outcome = run(1, &Scenario::many(1000, seconds(300)));
    assert!(outcome.most_writes <= 31, "{outcome:?}");
    assert_eq!(outcome.interruptions, 0, "{outcome:?}");
    assert!(outcome.issued >= 1000, "{outcome:?}");
}

#[test]
fn a_shutdown_gives_hundreds_of_leases_back_by_name_within_its_budget() {
    for seed in seeds(20) {
        let scenario = Scenario {
            slowest: std::time::Duration::from_millis(250),
            ..Scenario::many(240, seconds(3600))
        };
        let outcome = run(seed, &scenario);
        assert!(
            outcome.given_back_in < seconds(10),
            "seed {seed}: {outcome:?}"
        );
        assert_eq!(outcome.cascaded, 0, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn an_outage_of_ten_minutes_is_waited_out_and_followed_by_no_storm() {
    let scenario = Scenario::outage_of_everything();
    for seed in seeds(50) {
        let outcome = run(seed, &scenario);
        assert!(outcome.circuits > 0, "seed {seed}: {outcome:?}");
        assert!(
            outcome.back_at < seconds(910),
            "back within ten seconds, seed {seed}: {outcome:?}"
        );
        assert!(outcome.most_writes <= 31, "seed {seed}: {outcome:?}");
        // One call at a time finds out, at most every half second or so.
        assert!(outcome.fetches < 1500, "seed {seed}: {outcome:?}");
        // With nothing but issues to find out by.
        let hanging = Scenario {
            hangs: true,
            leased: 5,
            versioned: 0,
            session_ttl: seconds(7200),
            session_max: seconds(86_400),
            ..scenario.clone()
        };
        let outcome = run(seed, &hanging);
        // An issue that had no answer may have made a credential: the next waits ten seconds more.
        assert!(outcome.back_at < seconds(920), "seed {seed}: {outcome:?}");
        assert!(outcome.fetches < 1500, "seed {seed}: {outcome:?}");
    }
}

#[test]
fn anything_may_happen_and_nothing_that_must_not() {
    let count = CHAOS.map_or(2000, |count| count.parse().expect("a number"));
    let outcomes = seeds(count).map(|seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        run(seed, &Scenario::chaos(&mut rng))
    });
    let (mut activations, mut forgotten) = (0, 0);
    for outcome in outcomes {
        activations += outcome.activations;
        forgotten += outcome.forgotten;
    }
    // A run that does nothing would break nothing.
    assert!(activations > 0 && (forgotten > 0 || REPLAYED));
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    // Read at compile time: a run is replayed by building it with the seed.
    match option_env!("SIMULATION_SEED").and_then(|seed| seed.parse::<u64>().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// How many seeds the run takes in which everything happens: `cargo xtask simulate` sets more.
const CHAOS: Option<&str> = option_env!("SIMULATION_SEEDS");
const REPLAYED: bool = option_env!("SIMULATION_SEED").is_some();
