//! Single promises, each broken by one wrong line that simulated runs outlive.

use std::time::Duration;

use leasehold_lease::{
    Action, Event, Kind, Notice, ProviderId, SessionTerms, SlotId, Stage, Terms,
};
use leasehold_model::{BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch};

use crate::desk::{Desk, FIRST, asks_for, granted, is_of_an_orphan, lease};

#[test]
fn readers_are_told_the_deadline_of_the_session_where_that_comes_first() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.step(Event::Tick);
    let start = desk.now;
    desk.step(login(provider, start, granted(100)));
    let served = desk.fetched(slot, FIRST, lease("first", 3600));
    let ends = start.after(Duration::from_secs(100));
    let in_time = |it: &Action| matches!(it, Action::Activate { deadline, .. } if *deadline < ends);
    assert!(served.iter().any(in_time), "{served:?}");
    let later = desk.pass(Duration::from_secs(100));
    assert!(later.contains(&Action::Withdraw { slot }), "{later:?}");
}

#[test]
fn orphans_wait_for_the_first_generation_and_no_longer_than_20_seconds() {
    for served in [true, false] {
        let mut desk = Desk::new();
        let provider = desk.provider();
        let slot = desk.slot(provider, Kind::Leased);
        adopt(&mut desk, provider, 1);
        let at_login = desk.log_in(provider);
        assert!(!at_login.iter().any(is_of_an_orphan), "{at_login:?}");
        let begun = if served {
            desk.fetched(slot, FIRST, lease("first", 3600))
        } else {
            let waited = desk.pass(Duration::from_secs(19));
            assert!(!waited.iter().any(is_of_an_orphan), "{waited:?}");
            desk.pass(Duration::from_secs(2))
        };
        assert!(begun.iter().any(is_of_an_orphan), "{begun:?}");
    }
}

#[test]
fn revocations_of_orphans_that_fail_give_their_places_back() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    adopt(&mut desk, provider, 12);
    let mut actions = desk.log_in(provider);
    let mut asked = 0;
    for _ in 0..100 {
        let of_orphans = actions.iter().filter_map(|it| match it {
            Action::RevokeOrphan { lease_id, .. } => Some(lease_id.clone()),
            _ => None,
        });
        let lease_ids: Vec<_> = of_orphans.collect();
        actions.clear();
        for lease_id in lease_ids {
            asked += 1;
            actions.extend(desk.step(Event::OrphanRevokeFailed {
                provider,
                lease_id,
                epoch: SessionEpoch::FIRST,
                failure: Failure::Transient,
            }));
        }
        actions.extend(desk.pass(Duration::from_secs(1)));
    }
    assert!(asked > 100, "{asked} attempts in 100 seconds");
}

#[test]
fn ends_of_former_sessions_that_fail_give_their_places_back() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let former = |number: u32| format!("accessor-{number}").as_str().into();
    for number in 0..9 {
        desk.engine.adopt_former(provider, former(number), desk.now);
    }
    let mut actions = desk.log_in(provider);
    let mut asked = 0;
    for _ in 0..100 {
        let of_former = actions.iter().filter_map(|it| match it {
            Action::RevokeFormer { accessor, .. } => Some(accessor.clone()),
            _ => None,
        });
        let accessors: Vec<_> = of_former.collect();
        actions.clear();
        for accessor in accessors {
            asked += 1;
            actions.extend(desk.step(Event::FormerRevokeFailed {
                provider,
                accessor,
                epoch: SessionEpoch::FIRST,
                failure: Failure::Transient,
            }));
        }
        actions.extend(desk.pass(Duration::from_secs(1)));
    }
    assert!(asked > 100, "{asked} attempts in 100 seconds");
}

#[test]
fn a_former_session_is_ended_once_nothing_hangs_on_it_and_not_before() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.step(Event::Tick);
    let terms = SessionTerms {
        renewable: false,
        ..granted(600)
    };
    desk.step(login(provider, desk.now, terms));
    desk.fetched(slot, FIRST, lease("first", 3600));
    let mut later = desk.pass(Duration::from_secs(400));
    let second = SessionEpoch::FIRST.next();
    assert!(later.contains(&Action::Login {
        provider,
        epoch: second
    }));
    later = desk.step(Event::LoggedIn {
        provider,
        epoch: second,
        t_send: desk.now,
        terms: granted(600),
    });
    let ends = Action::RevokeSession {
        provider,
        epoch: SessionEpoch::FIRST,
    };
    later.extend(desk.pass(Duration::from_secs(100)));
    assert!(asks_for(&later, slot), "the lease moves: {later:?}");
    later.extend(desk.fetched(slot, FIRST.next(), lease("second", 3600)));
    assert!(!later.contains(&ends), "a lease hangs on it: {later:?}");
    desk.step(Event::Drained {
        slot,
        number: FIRST,
    });
    let ended = desk.step(Event::Revoked {
        slot,
        number: FIRST,
    });
    assert!(ended.contains(&ends), "{ended:?}");
}

#[test]
fn suspicion_leaves_two_of_three_issues_for_what_service_depends_on() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("1", 3600));
    desk.now = desk.now.after(Duration::from_secs(10));
    let number = FIRST;
    assert!(asks_for(
        &desk.step(Event::Suspected { slot, number }),
        slot
    ));
    let number = FIRST.next();
    desk.fetched(slot, number, lease("2", 3600));
    desk.now = desk.now.after(Duration::from_secs(10));
    let told = desk.step(Event::Suspected { slot, number });
    assert!(!asks_for(&told, slot), "{told:?}");
    let dismissed = Action::Notify(Notice::SuspicionDismissed { slot, number });
    assert!(told.contains(&dismissed), "{told:?}");
}

#[test]
fn while_nobody_is_reached_one_call_at_a_time_finds_out_and_any_answer_lets_all_out() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slots: Vec<_> = (0..4).map(|_| desk.slot(provider, Kind::Leased)).collect();
    let mut asked = slots_of(&desk.log_in(provider));
    assert_eq!(asked.len(), 4);
    let mut attempts = 0;
    while attempts < 40 {
        for slot in std::mem::take(&mut asked) {
            attempts += 1;
            let told = desk.step(unreachable(slot));
            asked.extend(slots_of(&told));
        }
        asked.extend(slots_of(&desk.pass(Duration::from_secs(1))));
        let most = if attempts < 5 { 4 } else { 1 };
        assert!(asked.len() <= most, "{asked:?} after {attempts}");
    }
    while asked.is_empty() {
        asked = slots_of(&desk.pass(Duration::from_secs(1)));
    }
    let answered = desk.fetched(asked[0], FIRST, lease("back", 3600));
    let closed = Action::Notify(Notice::CircuitClosed { provider });
    assert!(answered.contains(&closed), "{answered:?}");
    let mut out = slots_of(&answered);
    out.extend(slots_of(&desk.pass(Duration::from_secs(6))));
    assert_eq!(out.len(), slots.len() - 1, "{out:?}");
}

#[test]
fn a_dismissed_credential_is_not_forgotten_while_a_call_about_it_is_out() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 60));
    let renewed = desk.pass(Duration::from_secs(37));
    assert!(renewed.iter().any(|it| matches!(it, Action::Renew { .. })));
    desk.step(Event::Dismissed { slot });
    let number = FIRST;
    desk.step(Event::Drained { slot, number });
    let revoked = desk.step(Event::Revoked { slot, number });
    let forgets = Action::Forget { slot };
    assert!(!revoked.contains(&forgets), "{revoked:?}");
    let answered = desk.step(Event::RenewFailed {
        slot,
        number,
        epoch: SessionEpoch::FIRST,
        failure: Failure::LeaseGone,
    });
    assert!(answered.contains(&forgets), "{answered:?}");
}

#[test]
fn a_dismissed_credential_is_revoked_once_the_requests_that_use_it_have_ended() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 60));
    let revokes = |it: &Action| matches!(it, Action::Revoke { .. });
    let dismissed = desk.step(Event::Dismissed { slot });
    assert!(dismissed.contains(&Action::Withdraw { slot }));
    assert!(!dismissed.iter().any(revokes), "{dismissed:?}");
    let number = FIRST;
    let drained = desk.step(Event::Drained { slot, number });
    assert!(drained.iter().any(revokes), "{drained:?}");
}

#[test]
fn a_dismissed_provider_is_logged_out_of_last_and_another_serves_on() {
    let mut desk = Desk::new();
    let (leaving, staying) = (desk.provider(), desk.provider());
    let slot = desk.slot(leaving, Kind::Leased);
    let other = desk.slot(staying, Kind::Leased);
    desk.log_in(leaving);
    desk.log_in(staying);
    let number = FIRST;
    desk.fetched(slot, number, lease("first", 3600));
    desk.fetched(other, number, lease("other", 3600));
    let dismissed = desk.step(Event::ProviderDismissed { provider: leaving });
    assert_eq!(dismissed, [Action::Withdraw { slot }], "requests use it");
    let drained = desk.step(Event::Drained { slot, number });
    let revokes = |it: &Action| matches!(it, Action::Revoke { .. });
    assert!(drained.iter().any(revokes), "{drained:?}");
    let revoked = desk.step(Event::Revoked { slot, number });
    let (provider, epoch) = (leaving, SessionEpoch::FIRST);
    let ends = Action::RevokeSession { provider, epoch };
    assert!(revoked.contains(&ends), "{revoked:?}");
    let ended = desk.step(Event::SessionEnded { provider, epoch });
    assert_eq!(ended, [Action::ForgetProvider { provider }]);
    let later = desk.pass(Duration::from_secs(10));
    assert!(later.is_empty(), "nothing is owed: {later:?}");
    let held = desk.engine.view();
    assert!(held.iter().all(|it| it.slot == other), "{held:?}");
}

#[test]
fn a_dismissed_provider_that_was_never_reached_is_forgotten_with_its_last_attempt() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    desk.slot(provider, Kind::Leased);
    desk.step(Event::Tick);
    let told = desk.step(Event::ProviderDismissed { provider });
    let forgets = Action::ForgetProvider { provider };
    assert!(!told.contains(&forgets), "a login is under way: {told:?}");
    let failed = desk.step(Event::LoginFailed {
        provider,
        epoch: SessionEpoch::FIRST,
        failure: Failure::Unreachable,
    });
    assert!(failed.contains(&forgets), "{failed:?}");
    assert_eq!(desk.engine.wake(), BootTime::NEVER);
}

#[test]
fn f17_nothing_that_ran_out_while_the_machine_slept_is_served_when_it_wakes() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 3600));
    // It falls asleep with a renewal under way.
    let renewed = desk.pass(Duration::from_secs(2200));
    assert!(renewed.iter().any(|it| matches!(it, Action::Renew { .. })));
    let t_send = desk.now;
    desk.now = desk.now.after(Duration::from_secs(2 * 3600));
    let woke = desk.step(Event::Renewed {
        slot,
        number: FIRST,
        t_send,
        ttl: Duration::from_secs(3600),
        capped: false,
    });
    assert!(woke.contains(&Action::Withdraw { slot }), "{woke:?}");
    assert!(asks_for(&woke, slot), "{woke:?}");
    let served = desk
        .engine
        .view()
        .iter()
        .any(|it| it.stage == Stage::Active);
    assert!(!served, "{woke:?}");
}

#[test]
fn a_renewal_goes_out_before_the_issues_that_wait_with_it() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 60));
    desk.now = desk.engine.view()[0].next;
    for _ in 0..30 {
        desk.slot(provider, Kind::Leased);
    }
    let out = desk.step(Event::Tick);
    let is_call = |it: &&Action| matches!(it, Action::Renew { .. } | Action::Fetch { .. });
    let first = out.iter().find(is_call);
    assert!(matches!(first, Some(Action::Renew { .. })), "{out:?}");
}

#[test]
fn f12_a_grant_that_is_shorter_than_before_is_followed_by_a_rotation() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let slot = desk.slot(provider, Kind::Leased);
    desk.log_in(provider);
    desk.fetched(slot, FIRST, lease("first", 600));
    desk.now = desk.engine.view()[0].next;
    desk.step(Event::Tick);
    let renewed = Event::Renewed {
        slot,
        number: FIRST,
        t_send: desk.now,
        ttl: Duration::from_secs(50),
        capped: false,
    };
    desk.step(renewed);
    // Before a third of it has passed, and long before its urgent line.
    let soon = desk.pass(Duration::from_secs(16));
    assert!(asks_for(&soon, slot), "{soon:?}");
}

#[test]
fn a_value_is_read_as_soon_as_its_provider_suggests() {
    let mut desk = Desk::new();
    let provider = desk.provider();
    let hour = Duration::from_secs(3600);
    let kind = Kind::Hinted {
        poll: hour,
        max_stale: hour * 2,
    };
    let slot = desk.slot(provider, kind);
    desk.log_in(provider);
    let refresh = Duration::from_secs(5);
    let changed = true;
    desk.fetched(slot, FIRST, Terms::Hinted { refresh, changed });
    let soon = desk.pass(Duration::from_secs(7));
    assert!(asks_for(&soon, slot), "{soon:?}");
}

fn adopt(desk: &mut Desk, provider: ProviderId, count: u32) {
    let runs_out = desk.now.after(Duration::from_secs(3600));
    for number in 0..count {
        let lease_id = LeaseId::from(format!("orphan-{number}").as_str());
        desk.engine
            .adopt_orphan(provider, lease_id, runs_out, desk.now);
    }
}

fn login(provider: ProviderId, t_send: BootTime, terms: SessionTerms) -> Event {
    Event::LoggedIn {
        provider,
        epoch: SessionEpoch::FIRST,
        t_send,
        terms,
    }
}

fn unreachable(slot: SlotId) -> Event {
    Event::FetchFailed {
        slot,
        number: GenerationNumber::FIRST,
        holder: Holder::Session(SessionEpoch::FIRST),
        failure: Failure::Unreachable,
    }
}

fn slots_of(actions: &[Action]) -> Vec<SlotId> {
    let asked = actions.iter().filter_map(|it| match it {
        Action::Fetch { slot, .. } => Some(*slot),
        _ => None,
    });
    asked.collect()
}
