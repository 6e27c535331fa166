//! Credentials that each consumer has for itself.

use std::sync::Arc;
use std::time::Duration;

use leasehold_broker::{End, FamilyFull, Standing, Unavailable};
use leasehold_model::Failure;

use crate::fake::{FakeProvider, Operation};
use crate::lab::{Lab, consumer};

#[tokio::test(start_paused = true)]
async fn each_consumer_has_a_lease_of_its_own_from_its_first_request_on() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let family = lab.family("tested", 10, HOUR);
    let lab = lab.run();
    lab.until(|it| it.provider.has_session()).await;
    assert_eq!(lab.provider.fetched(), 0, "nobody has asked yet");
    let (a, b) = (consumer("a"), consumer("b"));
    let handle = family.handle(&a).expect("a place");
    assert_eq!(handle.current(lab.now()).err(), Some(Unavailable));
    let of_a = lab.ready(&handle).await;
    let of_b = lab.ready(&family.handle(&b).expect("a place")).await;
    assert_ne!(of_a.prepared(), of_b.prepared());
    assert_eq!(of_a.consumer(), Some(&a));
    assert_eq!(of_b.consumer(), Some(&b));
    let again = lab.ready(&family.handle(&a).expect("a place")).await;
    assert!(Arc::ptr_eq(&again, &of_a), "and keeps it");
    assert_eq!(lab.provider.fetched(), 2);

    let list = lab.control.list().await.expect("the broker runs");
    let consumers: Vec<_> = list.iter().map(|it| it.consumer.clone()).collect();
    assert_eq!(consumers, [Some(a), Some(b)]);
    let metrics = lab.metrics();
    assert!(!metrics.contains("consumer=\""), "{metrics}");
    let count = "leasehold_credential_consumers{credential=\"tested\"} 2";
    assert!(metrics.contains(count), "{metrics}");
    drop((of_a, of_b, again));
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn beyond_the_cap_a_new_consumer_is_refused_and_a_known_one_is_not() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let family = lab.family("tested", 2, HOUR);
    let lab = lab.run();
    let known = family.handle(&consumer("a")).expect("a place");
    drop(family.handle(&consumer("b")).expect("a place"));
    drop(lab.ready(&known).await);
    let refused = family.handle(&consumer("c")).expect_err("no place is left");
    let credential = family.credential().clone();
    assert_eq!(refused, FamilyFull { credential, cap: 2 });
    assert!(family.handle(&consumer("a")).is_ok());
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_idle_gives_its_lease_back_and_its_place() {
    let mut lab = Lab::new(FakeProvider::granting(36_000, true));
    let family = lab.family("tested", 2, Duration::from_secs(600));
    let lab = lab.run();
    let (busy, idle) = (consumer("busy"), consumer("idle"));
    drop(lab.ready(&family.handle(&busy).expect("a place")).await);
    let of_idle = lab.ready(&family.handle(&idle).expect("a place")).await;
    let lease_of_idle = of_idle.provenance().lease_id.clone().expect("a lease");
    drop(of_idle);
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(family.handle(&busy).expect("its place"));
    }
    lab.until(|it| !it.provider.revoked().is_empty()).await;
    assert_eq!(lab.provider.revoked(), [lease_of_idle.as_str()]);
    let new = family.handle(&consumer("new")).expect("the place is free");
    drop(lab.ready(&new).await);

    let count = "leasehold_credential_consumers{credential=\"tested\"} 2";
    assert!(lab.metrics().contains(count), "{}", lab.metrics());
    assert!(family.handle(&idle).is_err(), "there are two again");
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_comes_back_gets_another_lease() {
    let mut lab = Lab::new(FakeProvider::granting(36_000, true));
    let family = lab.family("tested", 2, Duration::from_secs(60));
    let lab = lab.run();
    let name = consumer("a");
    let still_used = lab.ready(&family.handle(&name).expect("a place")).await;
    lab.until(|it| it.provider.revoked() == ["lease-1"]).await;
    let again = lab.ready(&family.handle(&name).expect("a place")).await;
    assert_eq!(again.prepared(), "value-2");
    // What is still said of the former slot is not taken for the new one, which has its number.
    drop(still_used);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.provider.revoked(), ["lease-1"]);
    assert!(
        family
            .handle(&name)
            .expect("a place")
            .current(lab.now())
            .is_ok()
    );
    drop(again);
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_let_go_once_there_is_no_hope() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let family = lab.family("tested", 2, HOUR);
    let lab = lab.run();
    lab.until(|it| it.provider.has_session()).await;
    lab.provider.fail_only(Operation::Fetch, Failure::Denied);
    let handle = family.handle(&consumer("a")).expect("a place");
    let asked = lab.now();
    assert!(handle.acquired(HOUR).await.is_err());
    assert!(lab.now().since(asked) < Duration::from_secs(1));
    let failure = Some(Failure::Denied);
    assert_eq!(
        family.standing(lab.now()),
        Standing::Unavailable { failure }
    );

    lab.provider.fail_only(Operation::Fetch, Failure::Transient);
    let other = family.handle(&consumer("b")).expect("a place");
    let limit = Duration::from_secs(3);
    let asked = lab.now();
    assert!(other.acquired(limit).await.is_err());
    assert!(
        lab.now().since(asked) >= limit,
        "what may pass is waited for"
    );
    lab.provider.fail_with(None);
    drop(lab.ready(&other).await);
    assert_eq!(family.standing(lab.now()), Standing::Ready);
    assert_eq!(lab.stop().await, End::default());
}

const HOUR: Duration = Duration::from_secs(3600);
