//! What operators ask for, and what they are told.

use std::time::Duration;

use leasehold_broker::{ControlError, End, LeaseState, RevocationOutcome, RotationOutcome, Target};
use leasehold_lease::Kind;
use leasehold_model::{CredentialName, Failure, Holder, LeaseId, SessionEpoch};
use leasehold_provider::Source;

use crate::fake::{FakeProvider, Operation};
use crate::lab::{Lab, consumer};

#[tokio::test(start_paused = true)]
async fn the_list_tells_what_is_held_and_until_when() {
    let mut lab = Lab::new(FakeProvider::granting(600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let generation = lab.ready(&handle).await;
    let list = lab.control.list().await.expect("the broker runs");
    let [line] = list.as_slice() else {
        panic!("{list:?}");
    };
    assert_eq!(line.provider.as_str(), "fake");
    assert_eq!(line.credential.as_str(), "tested");
    assert_eq!(line.consumer, None);
    assert_eq!(line.generation, generation.number());
    assert_eq!(line.state, LeaseState::Active);
    assert_eq!(line.lease_id, Some(LeaseId::from("lease-1")));
    assert_eq!(line.fingerprint, Some(generation.provenance().fingerprint));
    assert_eq!(line.holder, Some(Holder::Session(SessionEpoch::FIRST)));
    assert_eq!(line.granted, Some(Duration::from_secs(600)));
    let usable_for = line.usable_for.expect("an end");
    assert!(
        (590..=600).contains(&usable_for.as_secs()),
        "{usable_for:?}"
    );
    let holder_lasts = line.holder_lasts.expect("an end");
    assert!(
        (3500..=3600).contains(&holder_lasts.as_secs()),
        "{holder_lasts:?}"
    );
    let next = line.next.expect("a renewal");
    assert!((190..=360).contains(&next.as_secs()), "{next:?}");
    assert!(!line.suspect);
    drop(generation);
    let control = lab.control.clone();
    assert_eq!(lab.stop().await, End::default());
    assert_eq!(control.list().await, Err(ControlError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_answered_once_the_successor_serves() {
    let mut lab = Lab::new(FakeProvider::granting(600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let first = lab.ready(&handle).await.number();
    let name = CredentialName::from("tested");
    let rotations = lab.control.rotate(&name, None).await.expect("accepted");
    let [rotation] = rotations.as_slice() else {
        panic!("{rotations:?}");
    };
    assert_eq!(rotation.outcome, RotationOutcome::Rotated);
    assert_eq!(rotation.former, Some(first));
    assert_eq!(rotation.lease_id, Some(LeaseId::from("lease-2")));
    assert!(rotation.took >= Duration::from_millis(20), "{rotation:?}");
    let served = handle.current(lab.now()).expect("served").number();
    assert_eq!(rotation.generation, Some(served));
    assert!(served > first);
    lab.until(|it| it.provider.revoked() == ["lease-1"]).await;
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_brings_nothing_says_why() {
    let mut lab = Lab::new(FakeProvider::granting(0, false));
    let source = Source::Versioned {
        mount: "kv".to_owned(),
        path: "tested".to_owned(),
    };
    let kind = Kind::Versioned {
        poll: Duration::from_secs(3600),
        max_stale: Duration::from_secs(36_000),
    };
    let handle = lab.declare("tested", source, kind);
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    let name = CredentialName::from("tested");
    let rotations = lab.control.rotate(&name, None).await.expect("accepted");
    assert_eq!(rotations[0].outcome, RotationOutcome::Unchanged);

    lab.provider.fail_only(Operation::Fetch, Failure::Denied);
    let rotations = lab.control.rotate(&name, None).await.expect("accepted");
    assert_eq!(
        rotations[0].outcome,
        RotationOutcome::Failed(Failure::Denied)
    );

    let unknown = CredentialName::from("other");
    let refusal = lab.control.rotate(&unknown, None).await;
    assert!(matches!(
        refusal,
        Err(ControlError::UnknownCredential { .. })
    ));
    let refusal = lab.control.rotate(&name, Some(&consumer("a"))).await;
    assert!(matches!(refusal, Err(ControlError::UnknownConsumer { .. })));
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_answered_once_the_provider_confirmed_it() {
    let mut lab = Lab::new(FakeProvider::granting(600, true));
    let handle = lab.leased("tested");
    let other = lab.leased("other");
    let lab = lab.run();
    let in_use = lab.ready(&handle).await;
    drop(lab.ready(&other).await);
    let lease_id = in_use.provenance().lease_id.clone().expect("a lease");
    lab.provider.take(Duration::from_secs(2));
    let target = Target::Lease(lease_id.clone());
    let revocations = lab.control.revoke(target.clone()).await.expect("accepted");
    let [revocation] = revocations.as_slice() else {
        panic!("{revocations:?}");
    };
    assert_eq!(revocation.outcome, RevocationOutcome::Revoked);
    assert_eq!(revocation.lease_id, lease_id);
    assert_eq!(revocation.generation, in_use.number());
    assert!(revocation.took >= Duration::from_secs(2), "{revocation:?}");
    assert_eq!(lab.provider.revoked(), [lease_id.as_str()]);
    assert!(
        lab.ready(&handle).await.number() > in_use.number(),
        "whoever used it, another serves"
    );
    let again = lab.control.revoke(target).await;
    assert_eq!(again, Err(ControlError::UnknownLease { lease_id }));
    lab.provider.take(Duration::from_millis(20));
    drop(in_use);
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_credential_and_an_instance_are_revoked_with_all_they_hold() {
    let mut lab = Lab::anchored(FakeProvider::granting(600, true));
    let handle = lab.leased("tested");
    let other = lab.leased("other");
    let lab = lab.run();
    let in_use = lab.ready(&handle).await;
    drop(lab.ready(&other).await);
    let name = CredentialName::from("tested");
    drop(lab.control.rotate(&name, None).await.expect("accepted"));
    let target = Target::Credential(name);
    let revocations = lab.control.revoke(target).await.expect("accepted");
    let outcomes: Vec<_> = revocations.iter().map(|it| it.outcome).collect();
    assert_eq!(
        outcomes,
        [RevocationOutcome::Revoked; 2],
        "the draining one too"
    );
    drop(in_use);
    drop(lab.ready(&handle).await);
    let revocations = lab.control.revoke(Target::Instance).await;
    let revocations = revocations.expect("accepted");
    let mut names: Vec<_> = revocations
        .iter()
        .map(|it| it.credential.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["other", "tested"]);
    drop((lab.ready(&handle).await, lab.ready(&other).await));
    lab.until(|it| {
        let ended = "leasehold_anchor_events_total{provider=\"fake\",event=\"ended\"} 1";
        it.provider.anchors() == 1 && it.metrics().contains(ended)
    })
    .await;
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_revoked_is_told_each_time_and_counted() {
    let mut lab = Lab::new(FakeProvider::granting(600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    lab.provider.fail_only(Operation::Revoke, Failure::Denied);
    let target = Target::Lease(LeaseId::from("lease-1"));
    for _ in 0..2 {
        let revocations = lab.control.revoke(target.clone()).await.expect("accepted");
        assert_eq!(revocations[0].outcome, RevocationOutcome::Irrevocable);
    }
    lab.until(|it| {
        let gauge = "leasehold_leases{credential=\"tested\",state=\"irrevocable\"} 1";
        it.metrics().contains(gauge)
    })
    .await;
    lab.provider.fail_with(None);
    lab.until(|it| it.provider.revoked() == ["lease-1"]).await;
    lab.until(|it| {
        let gauge = "leasehold_leases{credential=\"tested\",state=\"irrevocable\"} 0";
        it.metrics().contains(gauge)
    })
    .await;
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_provider_for_longer_than_a_minute() {
    let mut lab = Lab::new(FakeProvider::granting(6000, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    lab.provider.take(Duration::from_secs(100));
    let target = Target::Lease(LeaseId::from("lease-1"));
    let revocations = lab.control.revoke(target).await.expect("accepted");
    assert_eq!(revocations[0].outcome, RevocationOutcome::TimedOut);
    assert_eq!(revocations[0].took.as_secs(), 60);
    lab.provider.take(Duration::from_millis(20));
    lab.until(|it| it.provider.revoked() == ["lease-1"]).await;
    drop(lab.ready(&handle).await);
    assert_eq!(lab.stop().await, End::default());
}
