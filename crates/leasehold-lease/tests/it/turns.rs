//! Which call goes first, and which does not go out at all.

use std::time::Duration;

use leasehold_lease::{Action, Event, Kind, SlotId};
use leasehold_model::{AnchorEpoch, Failure, Holder, LeaseId, SessionEpoch};

use crate::desk::{Desk, FIRST, asks_for, granted, is_of_an_orphan, lease};

#[test]
fn a_lease_that_a_request_still_uses_is_revoked_once_that_has_ended() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 3600));
    desk.step(Event::RotationAsked { slot });
    desk.fetched(slot, FIRST.next(), lease("second", 3600));
    let meanwhile = desk.pass(Duration::from_secs(30));
    assert!(!meanwhile.iter().any(revokes), "{meanwhile:?}");
    let number = FIRST;
    let drained = desk.step(Event::Drained { slot, number });
    assert!(drained.iter().any(revokes), "{drained:?}");
}

#[test]
fn a_shutdown_waits_for_no_request_that_still_uses_a_lease() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 3600));
    let stopped = desk.step(Event::Shutdown);
    assert!(stopped.contains(&Action::Withdraw { slot }), "{stopped:?}");
    assert!(stopped.iter().any(revokes), "{stopped:?}");
}

#[test]
fn a_lease_that_arrives_after_the_shutdown_is_given_back_and_not_served() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.step(Event::Shutdown);
    let arrived = desk.fetched(slot, FIRST, lease("late", 3600));
    let serves = |it: &Action| matches!(it, Action::Activate { .. });
    assert!(!arrived.iter().any(serves), "{arrived:?}");
    assert!(arrived.iter().any(revokes), "{arrived:?}");
    assert!(!desk.engine.is_finished());
}

#[test]
fn of_the_renewals_that_are_due_the_one_that_runs_out_first_goes_first() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slots: Vec<_> = (0..30).map(|_| desk.slot(provider, Kind::Leased)).collect();
    let mut asked = fetches(&desk.log_in(provider));
    let mut served = Vec::new();
    let mut seconds = 4000;
    while let Some(slot) = asked.pop() {
        served.push(slot);
        seconds -= 10;
        asked.extend(fetches(&desk.fetched(slot, FIRST, lease("one", seconds))));
        asked.extend(fetches(&desk.pass(Duration::from_millis(60))));
    }
    assert_eq!(served.len(), slots.len());
    desk.now = desk.now.after(Duration::from_secs(2405));
    let renewed = desk.step(Event::Tick);
    let renewed: Vec<_> = renewed.iter().filter_map(renewal_of).collect();
    let expected: Vec<_> = served.iter().rev().take(8).copied().collect();
    assert_eq!(
        renewed, expected,
        "each was granted less than the one before"
    );
}

#[test]
fn with_two_predecessors_left_a_rotation_waits_for_one_of_them() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("1", 3600));
    desk.now = desk.now.after(Duration::from_secs(1000));
    let mut number = FIRST;
    for name in ["2", "3"] {
        number = number.next();
        desk.step(Event::RotationAsked { slot });
        desk.fetched(slot, number, lease(name, 3600));
    }
    desk.pass(Duration::from_secs(1000));
    desk.step(Event::Renewed {
        slot,
        number,
        t_send: desk.now,
        ttl: Duration::from_secs(3600),
        capped: true,
    });
    let waits = desk.pass(Duration::from_secs(1200));
    assert!(!asks_for(&waits, slot), "{waits:?}");
    let number = FIRST;
    let revoked = desk.step(Event::Revoked { slot, number });
    assert!(asks_for(&revoked, slot), "{revoked:?}");
}

#[test]
fn what_a_person_asks_for_waits_for_no_budget() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    let mut number = FIRST;
    desk.fetched(slot, number, lease("first", 3600));
    for _ in 0..4 {
        let asked = desk.step(Event::RotationAsked { slot });
        assert!(asks_for(&asked, slot), "after {number}: {asked:?}");
        number = number.next();
        desk.fetched(slot, number, lease("next", 3600));
    }
}

#[test]
fn a_lease_that_cannot_be_injected_is_given_back_at_once() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    let told = desk.step(Event::Unusable {
        slot,
        number: FIRST,
        t_send: desk.now,
        terms: lease("first", 3600),
    });
    assert!(told.iter().any(revokes), "{told:?}");
}

#[test]
fn a_provider_that_asks_for_fewer_calls_gets_fewer() {
    let mut writes = [0, 0];
    for (slowed, count) in writes.iter_mut().enumerate() {
        let mut desk = Desk::new();
        let provider = desk.provider();
        let first = desk.slot(provider, Kind::Leased);
        for _ in 0..100 {
            desk.slot(provider, Kind::Leased);
        }
        let mut asked = fetches(&desk.log_in(provider));
        if slowed == 1 {
            asked.retain(|it| *it != first);
            asked.extend(fetches(&desk.step(Event::FetchFailed {
                slot: first,
                number: FIRST,
                holder: Holder::Session(SessionEpoch::FIRST),
                failure: Failure::SlowDown { retry_after: None },
            })));
        }
        for _ in 0..40 {
            for slot in std::mem::take(&mut asked) {
                *count += 1;
                asked.extend(fetches(&desk.fetched(slot, FIRST, lease("one", 3600))));
            }
            asked.extend(fetches(&desk.pass(Duration::from_millis(50))));
        }
    }
    let [usual, slowed] = writes;
    assert!(
        slowed * 10 < usual * 8,
        "{slowed} in two seconds, not {usual}"
    );
}

#[test]
fn a_read_waits_for_no_write_and_holds_none_up() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    desk.log_in(provider);
    // All that the bucket holds goes into leases.
    for _ in 0..12 {
        let slot = desk.slot(provider, Kind::Leased);
        let actions = desk.step(Event::Tick);
        if asks_for(&actions, slot) {
            desk.fetched(slot, FIRST, lease("taken", 3600));
        }
    }
    let waits = desk.slot(provider, Kind::Leased);
    let read = desk.slot(
        provider,
        Kind::Versioned {
            poll: Duration::from_secs(60),
            max_stale: Duration::from_secs(3600),
        },
    );
    let actions = desk.step(Event::Tick);
    assert!(!asks_for(&actions, waits), "{actions:?}");
    assert!(asks_for(&actions, read), "{actions:?}");
}

#[test]
fn what_orphans_hang_on_is_ended_after_the_last_of_them() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let lease_id = LeaseId::from("orphan");
    let runs_out = desk.now.after(Duration::from_secs(3600));
    desk.engine
        .adopt_orphan(provider, lease_id.clone(), runs_out, desk.now);
    desk.engine
        .adopt_former(provider, "accessor".into(), desk.now);
    let begun = desk.log_in(provider);
    assert!(begun.iter().any(is_of_an_orphan), "{begun:?}");
    assert!(!begun.iter().any(ends_former), "{begun:?}");
    let revoked = desk.step(Event::OrphanRevoked { provider, lease_id });
    assert!(revoked.iter().any(ends_former), "{revoked:?}");
}

#[test]
fn an_anchor_that_could_not_be_ended_in_a_dead_session_is_ended_in_the_next() {
    let mut desk = Desk::new();
    let provider = desk.anchored_provider();
    let (anchor, epoch) = (AnchorEpoch::FIRST, SessionEpoch::FIRST);
    desk.log_in(provider);
    desk.step(Event::AnchorMinted {
        provider,
        anchor,
        t_send: desk.now,
        terms: granted(3600),
    });
    let ends = |actions: &[Action]| {
        let is_end = |it: &Action| matches!(it, Action::RevokeAnchor { .. });
        actions.iter().any(is_end)
    };
    let stopped = desk.step(Event::Shutdown);
    assert!(ends(&stopped), "{stopped:?}");
    desk.step(Event::AnchorRevokeFailed {
        provider,
        anchor,
        epoch,
        failure: Failure::SessionDead,
    });
    assert!(!desk.engine.is_finished());
    let again = desk.step(Event::LoggedIn {
        provider,
        epoch: epoch.next(),
        t_send: desk.now,
        terms: granted(3600),
    });
    let mut later = desk.pass(Duration::from_secs(5));
    later.extend(again);
    assert!(ends(&later), "{later:?}");
}

#[test]
fn a_prolonged_session_prolongs_the_leases_that_hang_on_it() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.step(Event::Tick);
    let epoch = SessionEpoch::FIRST;
    desk.step(Event::LoggedIn {
        provider,
        epoch,
        t_send: desk.now,
        terms: granted(100),
    });
    desk.fetched(slot, FIRST, lease("first", 3600));
    desk.pass(Duration::from_secs(61));
    let renewed = desk.step(Event::SessionRenewed {
        provider,
        epoch,
        t_send: desk.now,
        terms: granted(100),
    });
    let extends = |it: &Action| matches!(it, Action::Extend { .. });
    assert!(renewed.iter().any(extends), "{renewed:?}");
}

#[test]
fn an_issue_that_may_have_made_a_credential_counts_against_the_budget() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 3600));
    let mut number = FIRST;
    let mut asked = desk.step(Event::RotationAsked { slot });
    for _ in 0..2 {
        number = FIRST.next();
        assert!(asks_for(&asked, slot), "{asked:?}");
        asked = desk.step(Event::FetchFailed {
            slot,
            number,
            holder: Holder::Session(SessionEpoch::FIRST),
            failure: Failure::MaybeIssued,
        });
        asked.extend(desk.pass(Duration::from_secs(10)));
    }
    assert!(!asks_for(&asked, slot), "three may have been made");
    let later = desk.pass(Duration::from_secs(800));
    assert!(!asks_for(&later, slot), "{number:?}: {later:?}");
}

fn fetches(actions: &[Action]) -> Vec<SlotId> {
    let fetch = |it: &Action| match it {
        Action::Fetch { slot, .. } => Some(*slot),
        _ => None,
    };
    actions.iter().filter_map(fetch).collect()
}

fn renewal_of(action: &Action) -> Option<SlotId> {
    match action {
        Action::Renew { slot, .. } => Some(*slot),
        _ => None,
    }
}

fn revokes(action: &Action) -> bool {
    matches!(action, Action::Revoke { .. })
}

fn ends_former(action: &Action) -> bool {
    matches!(action, Action::RevokeFormer { .. })
}
