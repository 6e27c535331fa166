//! Credentials and providers that come and go while the broker runs.

use std::sync::Arc;
use std::time::Duration;

use leasehold_broker::{Changes, Dismissal, End, FamilyLimits, Handle};
use leasehold_lease::Kind;
use leasehold_model::Failure;

use crate::fake::FakeProvider;
use crate::lab::{Lab, Running, consumer, leased, spec};

#[tokio::test(start_paused = true)]
async fn what_comes_serves_and_what_goes_is_given_back_while_the_rest_is_left_alone() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let kept = lab.leased("kept");
    let (running, changes) = run(lab);
    let before = running.ready(&kept).await;

    let mut draft = changes.draft();
    let added = draft.credential(spec("added", leased(), Kind::Leased));
    changes.declare(draft).await.expect("taken");
    running.ready(&added).await;
    assert_eq!(running.provider.logins(), 1, "the login is shared");

    let held = added.current(running.now()).expect("served");
    dismiss(&changes, &[&added]).await;
    running.until(|it| added.current(it.now()).is_err()).await;
    assert!(running.provider.revoked().is_empty(), "a request uses it");
    drop(held);
    running
        .until(|it| it.provider.revoked() == ["lease-2"])
        .await;
    let after = kept.current(running.now()).expect("served on");
    assert!(Arc::ptr_eq(&before, &after), "the same generation");
    let metrics = running.metrics();
    assert!(metrics.contains("leasehold_credential_ready{credential=\"kept\"} 1"));
    assert!(
        !metrics.contains("ready{credential=\"added\"}"),
        "nobody is alarmed of what is not declared: {metrics}"
    );
    drop((before, after));
    assert_eq!(running.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_successor_of_the_same_name_serves_before_its_predecessor_goes() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let former = lab.leased("db");
    let (running, changes) = run(lab);
    running.ready(&former).await;
    let mut draft = changes.draft();
    let successor = draft.credential(spec("db", leased(), Kind::Leased));
    changes.declare(draft).await.expect("taken");
    running.ready(&successor).await;
    assert!(former.current(running.now()).is_ok(), "both serve");
    dismiss(&changes, &[&former]).await;
    running
        .until(|it| it.provider.revoked() == ["lease-1"])
        .await;
    assert!(
        running
            .metrics()
            .contains("leasehold_credential_ready{credential=\"db\"} 1"),
        "the gauge is the successor's"
    );
    assert_eq!(running.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_goes_is_logged_out_of_and_one_of_its_name_takes_its_place() {
    let lab_provider = Arc::new(FakeProvider::granting(3600, true));
    let clock = Arc::new(crate::fake::VirtualClock::start());
    let mut lab = Lab::of(Arc::clone(&lab_provider), clock, true);
    let former = lab.leased("db");
    let family = lab.family("own", 3, Duration::from_secs(60));
    let (running, changes) = run(lab);
    running.ready(&former).await;
    let own = family.handle(&consumer("orders")).expect("within the cap");
    running.ready(&own).await;

    let other = Arc::new(FakeProvider::granting(3600, true));
    let mut draft = changes.draft();
    draft.provider(crate::lab::PROVIDER.into(), Arc::clone(&other) as _, false);
    let successor = draft.credential(spec("db", leased(), Kind::Leased));
    let limits = FamilyLimits {
        cap: 3,
        idle: Duration::from_secs(60),
    };
    let own_successor = draft.family(spec("own", leased(), Kind::Leased), limits);
    changes.declare(draft).await.expect("taken");
    running.ready(&successor).await;
    assert_eq!(other.logins(), 1);

    let dismissal = Dismissal {
        handles: Vec::new(),
        families: Vec::new(),
        providers: vec![Arc::clone(&lab_provider) as _],
    };
    changes.dismiss(dismissal).await.expect("taken");
    running
        .until(|it| it.provider.revoked().len() == 2 && !it.provider.has_session())
        .await;
    assert_eq!(lab_provider.anchors(), 0, "anchors go too");
    assert!(
        family.handle(&consumer("late")).is_err(),
        "nobody is let in"
    );
    let own = own_successor.handle(&consumer("orders")).expect("room");
    running.ready(&own).await;
    assert_eq!(running.stop().await, End::default());
    assert!(!other.has_session());
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_names_an_unknown_provider_changes_nothing() {
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let kept = lab.leased("kept");
    let (running, changes) = run(lab);
    running.ready(&kept).await;
    let mut draft = changes.draft();
    let sound = draft.credential(spec("sound", leased(), Kind::Leased));
    let mut lost = spec("lost", leased(), Kind::Leased);
    lost.provider = "nowhere".into();
    draft.credential(lost);
    let refused = changes.declare(draft).await.expect_err("unknown");
    assert!(refused.to_string().contains("nowhere"), "{refused}");
    let waited = sound.acquired(Duration::from_secs(5)).await;
    assert!(waited.is_err(), "nothing of it was taken");
    assert_eq!(running.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_never_reached_is_let_go() {
    let provider = FakeProvider::granting(3600, true);
    provider.fail_with(Some(Failure::Denied));
    let provider = Arc::new(provider);
    let clock = Arc::new(crate::fake::VirtualClock::start());
    let mut lab = Lab::of(Arc::clone(&provider), clock, false);
    let never = lab.leased("never");
    let (running, changes) = run(lab);
    assert!(never.acquired(Duration::from_secs(5)).await.is_err());
    let dismissal = Dismissal {
        handles: vec![never],
        families: Vec::new(),
        providers: vec![Arc::clone(&provider) as _],
    };
    changes.dismiss(dismissal).await.expect("taken");
    let circuit = "leasehold_provider_circuit_open{provider=\"fake\"}";
    running.until(|it| !it.metrics().contains(circuit)).await;
    assert_eq!(running.stop().await, End::default());
}

fn run(lab: Lab) -> (Running, Changes<String>) {
    let changes = lab.broker.changes();
    (lab.run(), changes)
}

async fn dismiss(changes: &Changes<String>, handles: &[&Handle<String>]) {
    let dismissal = Dismissal {
        handles: handles.iter().map(|it| (*it).clone()).collect(),
        families: Vec::new(),
        providers: Vec::new(),
    };
    changes.dismiss(dismissal).await.expect("taken");
}
