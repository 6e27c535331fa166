//! What becomes of a generation that an upstream refused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use leasehold_broker::End;
use leasehold_lease::Kind;
use leasehold_model::Failure;
use leasehold_provider::Source;

use crate::fake::{FakeProvider, Operation};
use crate::lab::Lab;

#[tokio::test(start_paused = true)]
async fn however_many_requests_suspect_a_generation_it_is_replaced_once() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let refused = lab.ready(&handle).await;
    let now = lab.now();
    let suspects = (0..100).map(|_| handle.suspect(refused.number(), now));
    for newer in join_all(suspects).await {
        let newer = newer.expect("a successor");
        assert!(newer.number() > refused.number());
    }
    assert_eq!(lab.provider.fetched(), 2);

    let late = handle.suspect(refused.number(), lab.now()).await;
    assert!(late.is_some(), "who comes late has the newer one at once");
    assert_eq!(lab.provider.fetched(), 2);
    drop((refused, late));
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_goes_on_where_nobody_waits_for_it() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let refused = lab.ready(&handle).await.number();
    let now = lab.now();
    let given_up = handle.suspect(refused, now);
    let shortly = Duration::from_millis(1);
    assert!(tokio::time::timeout(shortly, given_up).await.is_err());
    lab.until(|it| {
        handle
            .current(it.now())
            .is_ok_and(|it| it.number() > refused)
    })
    .await;
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_stored_value_that_is_as_it_was_is_not_replaced() {
    let mut lab = Lab::new(FakeProvider::granting(0, false));
    let source = Source::Hinted {
        path: "kv1/tested".to_owned(),
    };
    let kind = Kind::Hinted {
        poll: Duration::from_secs(3600),
        max_stale: Duration::from_secs(36_000),
    };
    let handle = lab.declare("tested", source, kind);
    let lab = lab.run();
    let refused = lab.ready(&handle).await.number();
    assert!(handle.suspect(refused, lab.now()).await.is_none());
    assert_eq!(lab.provider.fetched(), 2, "it was looked at again");
    assert!(handle.current(lab.now()).is_ok(), "and is served on");

    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.provider.put_version(2);
    let newer = handle.suspect(refused, lab.now()).await;
    assert_eq!(newer.expect("a successor").prepared(), "value-2");
    let metrics = lab.metrics();
    for outcome in ["raised\"} 2", "dismissed\"} 1"] {
        let line = format!("leasehold_suspicions_total{{credential=\"tested\",outcome=\"{outcome}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_ends_the_wait() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let refused = lab.ready(&handle).await.number();
    lab.provider.fail_only(Operation::Fetch, Failure::Transient);
    let asked = lab.now();
    assert!(handle.suspect(refused, asked).await.is_none());
    assert!(lab.now().since(asked) < Duration::from_secs(1));
    lab.provider.fail_with(None);
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_cannot_be_injected_ends_the_wait_each_time() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let refused = lab.ready(&handle).await.number();
    lab.provider.name_the_field("another");
    let asked = lab.now();
    for _ in 0..20 {
        assert!(handle.suspect(refused, lab.now()).await.is_none());
    }
    let waited = lab.now().since(asked);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_holds_nobody_up_for_long() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    let refused = lab.ready(&handle).await.number();
    lab.provider.take(Duration::from_secs(60));
    let asked = lab.now();
    assert!(handle.suspect(refused, asked).await.is_none());
    let waited = lab.now().since(asked);
    assert!(waited < Duration::from_secs(11), "{waited:?}");
    lab.provider.take(Duration::from_millis(20));
    lab.until(|it| {
        handle
            .current(it.now())
            .is_ok_and(|it| it.number() > refused)
    })
    .await;
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_always_refused_does_not_drive_the_provider() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    let provider = Arc::clone(&lab.provider);
    for _ in 0..600 {
        let refused = handle.current(lab.now()).expect("served").number();
        drop(handle.suspect(refused, lab.now()).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let fetched = provider.fetched();
    assert!((2..=4).contains(&fetched), "{fetched} in a minute");
    assert_eq!(lab.stop().await, End::default());
}
