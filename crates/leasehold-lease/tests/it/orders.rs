//! Orders of events that chance seldom brings, one by one.

use std::time::Duration;

use leasehold_lease::{Action, Event, Kind, Notice, SlotId, Terms};
use leasehold_model::{Failure, LeaseId, SessionEpoch};

use crate::desk::{Desk, FIRST, asks_for, granted, is_of_an_orphan, lease};

#[test]
fn a_suspicion_ends_with_the_attempt_that_it_led_to_however_that_went() {
    for late in [false, true] {
        let mut desk = Desk::new();
        let provider = desk.provider();
        let slot = desk.slot(provider, Kind::Leased);
        desk.log_in(provider);
        desk.fetched(slot, FIRST, lease("first", 3600));
        let asked = desk.step(Event::Suspected {
            slot,
            number: FIRST,
        });
        assert!(asks_for(&asked, slot), "{asked:?}");
        let (number, t_send) = (FIRST.next(), desk.now);
        let terms = lease("second", 5);
        desk.now = desk.now.after(Duration::from_secs(6));
        let event = if late {
            Event::Fetched {
                slot,
                number,
                t_send,
                terms,
            }
        } else {
            Event::Unusable {
                slot,
                number,
                t_send,
                terms,
            }
        };
        let told = desk.step(event);
        assert!(dismisses(&told, slot), "late: {late}: {told:?}");
    }
}

#[test]
fn a_suspicion_ends_where_a_standby_that_lags_behind_answers() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, VERSIONED);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, Terms::Versioned { version: 2 });
    desk.step(Event::Suspected {
        slot,
        number: FIRST,
    });
    let told = desk.fetched(slot, FIRST.next(), Terms::Versioned { version: 1 });
    assert!(dismisses(&told, slot), "{told:?}");
}

#[test]
fn an_answer_of_another_kind_is_not_the_last_that_is_asked_for() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, Terms::Versioned { version: 1 });
    let later = desk.pass(Duration::from_secs(60));
    assert!(asks_for(&later, slot), "{later:?}");
}

#[test]
fn what_waits_for_a_forgotten_credential_is_not_taken_for_the_next_one_with_its_number() {
    let mut desk = Desk::new();
    let (a, b) = (desk.provider(), desk.provider());
    let of_a: Vec<_> = (0..5).map(|_| desk.slot(a, Kind::Leased)).collect();
    let of_b: Vec<_> = (0..4).map(|_| desk.slot(b, Kind::Leased)).collect();
    desk.log_in(a);
    desk.log_in(b);
    // Of five, one waits for its turn, at either provider.
    let waits = of_a[4];
    let forgotten = desk.step(Event::Dismissed { slot: waits });
    assert!(forgotten.contains(&Action::Forget { slot: waits }));
    let reused = desk.slot(b, Kind::Leased);
    assert_eq!(reused, waits);
    desk.step(Event::Tick);
    let released = desk.fetched(of_a[0], FIRST, lease("a", 3600));
    assert!(!asks_for(&released, reused), "{released:?}");
    let released = desk.fetched(of_b[0], FIRST, lease("b", 3600));
    assert!(asks_for(&released, reused), "{released:?}");
}

#[test]
fn after_a_shutdown_leases_of_earlier_processes_do_not_take_the_turns_of_our_own() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    for number in 0..100 {
        let lease_id = LeaseId::from(format!("orphan-{number}").as_str());
        let runs_out = desk.now.after(Duration::from_secs(600));
        desk.engine
            .adopt_orphan(provider, lease_id, runs_out, desk.now);
    }
    let begun = desk.log_in(provider);
    assert!(begun.iter().any(is_of_an_orphan), "{begun:?}");
    let mut later = desk.step(Event::Shutdown);
    for number in 0..8 {
        later.extend(desk.step(Event::OrphanRevoked {
            provider,
            lease_id: LeaseId::from(format!("orphan-{number}").as_str()),
        }));
    }
    later.extend(desk.pass(Duration::from_secs(5)));
    assert!(!later.iter().any(is_of_an_orphan), "{later:?}");
}

#[test]
fn a_renewal_that_is_answered_after_its_lease_was_replaced_still_prolonged_it() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 60));
    let renewed = desk.pass(Duration::from_secs(37));
    assert!(renewed.iter().any(|it| matches!(it, Action::Renew { .. })));
    let t_send = desk.now;
    desk.step(Event::RotationAsked { slot });
    desk.fetched(slot, FIRST.next(), lease("second", 3600));
    desk.step(Event::Renewed {
        slot,
        number: FIRST,
        t_send,
        ttl: Duration::from_secs(60),
        capped: false,
    });
    // It can't be revoked for longer than the first grant lasted: it lives all the same.
    let mut later = Vec::new();
    for _ in 0..40 {
        let passed = desk.pass(Duration::from_secs(1));
        if passed.iter().any(|it| matches!(it, Action::Revoke { .. })) {
            later.extend(desk.step(Event::RevokeFailed {
                slot,
                number: FIRST,
                epoch: SessionEpoch::FIRST,
                failure: Failure::Transient,
            }));
        }
        later.extend(passed);
    }
    let claims = |it: &Action| matches!(it, Action::Notify(Notice::ExpiryClaimed { .. }));
    assert!(!later.iter().any(claims), "{later:?}");
    assert_eq!(desk.engine.leftovers().len(), 1);
}

#[test]
fn what_a_person_asked_for_during_a_fetch_lets_no_later_one_pass_the_budget() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.step(Event::RotationAsked { slot });
    desk.fetched(slot, FIRST, lease("1", 3600));
    let mut number = FIRST;
    for name in ["2", "3"] {
        number = number.next();
        desk.step(Event::RotationAsked { slot });
        desk.step(Event::RotationAsked { slot });
        desk.fetched(slot, number, lease(name, 3600));
    }
    // Three have been made: the fourth waits, as nobody asks for it.
    let retry = desk.step(Event::RevokeFailed {
        slot,
        number: FIRST,
        epoch: SessionEpoch::FIRST,
        failure: Failure::Transient,
    });
    assert!(!asks_for(&retry, slot));
    desk.step(Event::Renewed {
        slot,
        number,
        t_send: desk.now,
        ttl: Duration::from_secs(3000),
        capped: true,
    });
    for retired in [FIRST, FIRST.next()] {
        desk.step(Event::Drained {
            slot,
            number: retired,
        });
        desk.step(Event::Revoked {
            slot,
            number: retired,
        });
    }
    let passed = desk.pass(Duration::from_secs(890));
    assert!(!asks_for(&passed, slot), "{passed:?}");
    let passed = desk.pass(Duration::from_secs(100));
    assert!(asks_for(&passed, slot), "{passed:?}");
}

#[test]
fn a_rotation_that_waits_until_nothing_is_served_any_more_waits_as_an_outage() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 3600));
    let others: Vec<_> = (0..4).map(|_| desk.slot(provider, Kind::Leased)).collect();
    desk.step(Event::Tick);
    desk.step(Event::RotationAsked { slot });
    desk.step(Event::RevocationAsked { slot, number: None });
    desk.pass(Duration::from_secs(1));
    let later = desk.slot(provider, Kind::Leased);
    desk.step(Event::Tick);
    let released = desk.fetched(others[0], FIRST, lease("other", 3600));
    assert!(asks_for(&released, slot), "{released:?}");
    assert!(!asks_for(&released, later), "{released:?}");
}

#[test]
fn a_session_that_is_being_ended_is_not_renewed_any_more() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    desk.step(Event::Tick);
    let epoch = SessionEpoch::FIRST;
    desk.step(Event::LoggedIn {
        provider,
        epoch,
        t_send: desk.now,
        terms: granted(60),
    });
    let renewed = desk.pass(Duration::from_secs(37));
    let renews = |it: &Action| matches!(it, Action::RenewSession { .. });
    assert!(renewed.iter().any(renews), "{renewed:?}");
    desk.step(Event::Shutdown);
    desk.step(Event::SessionRenewFailed {
        provider,
        epoch,
        failure: Failure::Transient,
    });
    let later = desk.pass(Duration::from_secs(10));
    assert!(!later.iter().any(renews), "{later:?}");
}

#[test]
fn an_older_password_than_the_one_in_service_is_no_reason_to_read_without_end() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let max_stale = Duration::from_secs(3600);
    let slot = desk.slot(provider, Kind::Rotating { max_stale });
    desk.log_in(provider);
    let held = Terms::Rotating {
        rotation: 9,
        next: Duration::from_secs(600),
    };
    let older = Terms::Rotating {
        rotation: 8,
        next: Duration::from_secs(5),
    };
    desk.fetched(slot, FIRST, held);
    let mut actions = desk.step(Event::RotationAsked { slot });
    let mut reads = 0;
    for _ in 0..7200 {
        if asks_for(&actions, slot) {
            reads += 1;
            actions = desk.fetched(slot, FIRST.next(), older.clone());
        } else {
            actions = desk.pass(Duration::from_millis(100));
        }
    }
    assert!(reads < 80, "{reads} reads in 12 minutes");
}

fn dismisses(actions: &[Action], of: SlotId) -> bool {
    let number = FIRST;
    let told = Action::Notify(Notice::SuspicionDismissed { slot: of, number });
    actions.contains(&told)
}

const VERSIONED: Kind = Kind::Versioned {
    poll: Duration::from_secs(60),
    max_stale: Duration::from_secs(3600),
};
