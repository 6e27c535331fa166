use leasehold_ledger::{AnchorEnd, Event, IntentId, IntentState, LeaseState, Ledger, Totals};
use leasehold_model::InstanceName;

use crate::lab::{
    Lab, anchor, anchor_ended, at, change, intent, issued, open, renewed, revoked, session,
    session_ended,
};

#[tokio::test]
async fn what_one_life_leaves_the_next_one_is_told_by_provider() {
    let lab = Lab::new();
    let (ledger, former) = lab.open();
    assert!(former.is_empty(), "{former:?}");
    for it in [
        session("s1"),
        anchor("a1"),
        intent(1, "a1"),
        issued(1, "db/creds/1"),
        intent(2, "a1"),
    ] {
        ledger.write(it).await.expect("written");
    }
    let mut elsewhere = session("s2");
    elsewhere.provider = "other".into();
    ledger.write(elsewhere).await.expect("written");
    let first = ledger.incarnation();
    ledger.close().expect("closed");

    let (ledger, former) = lab.open();
    assert_ne!(ledger.incarnation(), first);
    let vault = &former.providers["vault"];
    assert_eq!(vault.sessions[0].accessor.as_str(), "s1");
    assert_eq!(vault.sessions[0].deadline, at(1000));
    assert_eq!(vault.anchors[0].accessor.as_str(), "a1");
    let [lease] = vault.leases.as_slice() else {
        panic!("want one lease: {vault:?}");
    };
    assert_eq!(lease.lease_id.as_str(), "db/creds/1");
    assert_eq!(lease.credential.as_str(), "orders");
    assert_eq!(
        lease.consumer.as_ref().expect("a consumer").as_str(),
        "shop"
    );
    assert_eq!(lease.holder.as_str(), "a1");
    assert_eq!((lease.deadline, lease.state), (at(50), LeaseState::Held));
    assert_eq!(lease.incarnation, first);
    let [intent] = vault.intents.as_slice() else {
        panic!("want one intent: {vault:?}");
    };
    assert_eq!((intent.id, intent.state), (IntentId(2), IntentState::Open));
    assert_eq!(former.providers["other"].count(), 1);
}

#[tokio::test]
async fn what_former_lives_left_is_ended_by_the_same_events_and_counted() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    for it in [
        session("s1"),
        anchor("a1"),
        anchor("a2"),
        intent(1, "a1"),
        intent(2, "a1"),
        intent(3, "a1"),
        intent(4, "a2"),
        issued(1, "l1"),
        issued(2, "l2"),
    ] {
        ledger.note(it);
    }
    drop(ledger);
    let (ledger, _) = lab.open();
    for it in [
        revoked("l1"),
        change(Event::LeaseExpiryClaimed {
            lease_id: "l2".into(),
        }),
        anchor_ended("a1", AnchorEnd::Revoked),
        change(Event::HolderEnded {
            holder: "a1".into(),
        }),
        anchor_ended("a2", AnchorEnd::Lost),
        session_ended("s1"),
        revoked("never heard of"),
    ] {
        ledger.note(it);
    }
    ledger.close().expect("closed");
    let contents = Ledger::inspect(lab.file()).expect("contents");
    let vault = &contents.providers["vault"];
    let left: Vec<_> = vault.intents.iter().map(|it| it.id).collect();
    assert_eq!((vault.count(), left), (1, vec![IntentId(4)]));
    assert_eq!(
        vault.totals,
        Totals {
            leases_revoked: 1,
            leases_expiry_claimed: 1,
            intents_failed: 0,
            intents_collected: 1,
            anchors_revoked: 1,
            anchors_lost: 1,
            sessions_ended: 1,
            unmatched: 1,
        }
    );
}

#[tokio::test]
async fn a_lease_shows_its_last_deadline_and_state() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    for id in 1..=3 {
        ledger.note(intent(id, "a1"));
        ledger.note(issued(id, &format!("l{id}")));
    }
    ledger.note(renewed("l1", 70));
    ledger.note(renewed("l1", 90));
    ledger.note(change(Event::LeaseRetired {
        lease_id: "l2".into(),
    }));
    ledger.note(change(Event::LeaseIrrevocable {
        lease_id: "l3".into(),
    }));
    ledger.note(intent(4, "a1"));
    ledger.note(change(Event::IntentFailed { id: IntentId(4) }));
    ledger.note(intent(5, "a1"));
    ledger.note(change(Event::IntentMaybeLeaked { id: IntentId(5) }));
    ledger.close().expect("closed");
    let contents = Ledger::inspect(lab.file()).expect("contents");
    let vault = &contents.providers["vault"];
    let leases = vault.leases.iter();
    let leases: Vec<_> = leases
        .map(|it| (it.lease_id.as_str(), it.deadline, it.state))
        .collect();
    assert_eq!(
        leases,
        [
            ("l1", at(90), LeaseState::Held),
            ("l2", at(50), LeaseState::Retired),
            ("l3", at(50), LeaseState::Irrevocable),
        ]
    );
    let intents = vault.intents.iter();
    let intents: Vec<_> = intents.map(|it| (it.id, it.state)).collect();
    assert_eq!(intents, [(IntentId(5), IntentState::MaybeLeaked)]);
    assert_eq!(vault.totals.intents_failed, 1);
}

#[tokio::test]
async fn a_note_reaches_the_disk_without_anybody_waiting_and_before_what_is_written_after_it() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    ledger.note(intent(1, "a1"));
    ledger.write(issued(1, "l1")).await.expect("written");
    let left = lab.dir().join("what a kill would leave");
    std::fs::copy(lab.file(), &left).expect("copied");
    let contents = Ledger::inspect(&left).expect("contents");
    let vault = &contents.providers["vault"];
    assert_eq!((vault.intents.len(), vault.leases.len()), (0, 1));

    // Nothing is written after this one, so that only its own time can bring it there.
    ledger.note(revoked("l1"));
    loop {
        std::fs::copy(lab.file(), &left).expect("copied");
        // A copy taken in the midst of a commit is of no moment that there was.
        let Ok(contents) = Ledger::inspect(&left) else {
            continue;
        };
        if contents.providers["vault"].leases.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_writes_at_once_are_all_made() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    let writes: Vec<_> = (0..500).map(|id| ledger.write(intent(id, "a1"))).collect();
    for write in writes {
        write.await.expect("written");
    }
    drop(ledger);
    let contents = Ledger::inspect(lab.file()).expect("contents");
    assert_eq!(contents.providers["vault"].intents.len(), 500);
}

#[tokio::test]
async fn a_closed_ledger_says_so() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    ledger.close().expect("closed");
    ledger.close().expect("a second time changes nothing");
    let error = ledger.write(session("s1")).await.expect_err("closed");
    let file = lab.file();
    assert_eq!(
        error.to_string(),
        format!("ledger {} is closed", file.display())
    );
    ledger.note(session("s1"));
    assert_eq!(ledger.health().unwritten, 1);
}

#[test]
fn a_ledger_of_another_instance_is_refused_by_name() {
    let lab = Lab::new();
    drop(lab.open());
    let error = Ledger::open(lab.file(), &InstanceName::from("core")).expect_err("another's");
    let text = error.to_string();
    assert!(
        text.contains("belongs to instance edge and not to core"),
        "{text}"
    );
    open(&lab.file()).expect("its own can still open it");
}

#[test]
fn lives_that_left_nothing_are_forgotten() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    ledger.note(session("s1"));
    let first = ledger.incarnation();
    drop(ledger);
    for _ in 0..3 {
        drop(lab.open());
    }
    let contents = Ledger::inspect(lab.file()).expect("contents");
    let lives: Vec<_> = contents.incarnations.iter().map(|it| it.id).collect();
    assert_eq!(
        (lives.len(), lives[0]),
        (2, first),
        "the one with a session, and the last"
    );
}
