//! Credentials that each consumer has one of.

use std::sync::atomic::Ordering;
use std::time::Duration;

use leasehold_broker::{FamilyLimits, Standing};
use leasehold_model::{Clock as _, SystemClock};
use leasehold_proxy::{Admission, Gateway, GatewayError, Held};
use serde_json::Value;

use crate::consumer::Message;
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, UNAUTHORIZED};
use crate::rig::{CHECKOUT_KEY, REPORTS_KEY, Rig, until};

#[test]
fn each_consumer_is_served_with_a_credential_of_its_own() {
    let (origin, seen) = Origin::answering(OK);
    let lease = family(2, Duration::from_secs(600));
    let rig = start(&lease, &origin);
    let shown = |key| -> String {
        assert_eq!(get(&rig, key).status(), "200");
        seen.next().all("x-api-key").concat()
    };
    let (checkout, reports) = (shown(CHECKOUT_KEY), shown(REPORTS_KEY));
    assert_eq!((&*checkout, &*reports), ("Key canary-1", "Key canary-2"));
    assert_eq!(shown(CHECKOUT_KEY), checkout);
    assert_eq!(lease.provider.fetched(), 2);
    let told: Vec<_> = rig.records(3).iter().map(whose).collect();
    assert_eq!(
        told,
        ["checkout lease-1", "reports lease-2", "checkout lease-1"]
    );
}

#[test]
fn at_the_cap_a_further_consumer_is_told_so_and_nobody_is_named() {
    let (origin, seen) = Origin::answering(OK);
    let lease = family(1, Duration::from_secs(600));
    let rig = start(&lease, &origin);
    assert_eq!(get(&rig, CHECKOUT_KEY).status(), "200");
    seen.next();
    let refused = get(&rig, REPORTS_KEY);
    assert_eq!(refused.status(), "503");
    assert_eq!(refused.all("content-type"), ["application/problem+json"]);
    let problem: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(problem["reason"], "credential_cap");
    assert!(!refused.text().contains("checkout"), "{problem}");
    seen.nothing();
    let record = rig.records(2).remove(1);
    assert_eq!(
        (
            &record["reason"],
            &record["consumer"],
            &record["credential"]
        ),
        (
            &"credential_cap".into(),
            &"reports".into(),
            &"api-key".into()
        )
    );
    assert_eq!(get(&rig, CHECKOUT_KEY).status(), "200");
    assert_eq!(standing(&rig), Standing::Ready);
}

#[test]
fn the_credential_of_an_idle_consumer_is_given_back_and_makes_room() {
    let (origin, _seen) = Origin::answering(OK);
    let lease = family(1, Duration::from_secs(1));
    let rig = start(&lease, &origin);
    assert_eq!(get(&rig, CHECKOUT_KEY).status(), "200");
    until("the lease to be given back", || {
        (lease.provider.revoked() == ["lease-1"]).then_some(())
    });
    until("room for another", || {
        (get(&rig, REPORTS_KEY).status() == "200").then_some(())
    });
}

#[test]
fn a_refusal_replaces_the_credential_of_that_consumer_alone() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, |it| it != "Key canary-1");
    let lease = family(2, Duration::from_secs(600));
    let rig = start(&lease, &origin);
    let next = || seen.next().all("x-api-key").concat();
    assert_eq!(get(&rig, REPORTS_KEY).status(), "200");
    assert_eq!(
        (next(), next()),
        ("Key canary-1".into(), "Key canary-2".into())
    );
    assert_eq!(get(&rig, CHECKOUT_KEY).status(), "200");
    assert_eq!(next(), "Key canary-3");
    assert_eq!(get(&rig, REPORTS_KEY).status(), "200");
    assert_eq!(next(), "Key canary-2");
}

#[test]
fn without_a_provider_the_first_request_is_refused_and_the_route_is_not_ready() {
    let (origin, seen) = Origin::answering(OK);
    let lease = family(1, Duration::from_secs(600));
    let rig = impatient(&lease, &origin);
    assert_eq!(standing(&rig), Standing::Ready, "nobody has asked yet");
    lease.provider.refuses.store(true, Ordering::SeqCst);
    let refused = get(&rig, CHECKOUT_KEY);
    assert_eq!(refused.status(), "503");
    assert!(refused.text().contains("credential_unavailable"));
    seen.nothing();
    until("the failure", || {
        (standing(&rig) != Standing::Ready).then_some(())
    });
    lease.provider.refuses.store(false, Ordering::SeqCst);
    until("a generation", || {
        (get(&rig, CHECKOUT_KEY).status() == "200").then_some(())
    });
    assert_eq!(standing(&rig), Standing::Ready);
}

#[test]
fn what_a_consumer_failed_with_who_has_left_does_not_stay() {
    let (origin, _seen) = Origin::answering(OK);
    let lease = family(1, Duration::from_secs(1));
    let rig = impatient(&lease, &origin);
    lease.provider.refuses.store(true, Ordering::SeqCst);
    assert_eq!(get(&rig, CHECKOUT_KEY).status(), "503");
    until("the failure", || {
        (standing(&rig) != Standing::Ready).then_some(())
    });
    until("the consumer to be forgotten", || {
        (standing(&rig) == Standing::Ready).then_some(())
    });
}

#[test]
fn a_route_that_is_open_to_anyone_can_not_lead_there() {
    let (origin, _seen) = Origin::answering(OK);
    let lease = family(1, Duration::from_secs(600));
    assert!(matches!(lease.used.held, Held::PerConsumer(_)));
    let built = Gateway::new(lease.setup(&origin).spec());
    assert!(matches!(built, Err(GatewayError::NobodyToIssueFor { .. })));
}

fn family(cap: usize, idle: Duration) -> Lease {
    let provider = FakeProvider::leasing(Duration::from_secs(60));
    Lease::per_consumer(provider, FamilyLimits { cap, idle })
}

fn start(lease: &Lease, origin: &Origin) -> Rig {
    setup(lease, origin).start()
}

/// Starts a gateway that does not wait for long.
fn impatient(lease: &Lease, origin: &Origin) -> Rig {
    let mut setup = setup(lease, origin);
    setup.response_timeout = Duration::from_millis(50);
    setup.connect_timeout = Duration::from_millis(50);
    setup.start()
}

fn setup(lease: &Lease, origin: &Origin) -> crate::rig::Setup {
    let mut setup = lease.setup(origin);
    setup.admission = Admission::These(["checkout".into(), "reports".into()].into());
    setup
}

fn get(rig: &Rig, key: &str) -> Message {
    let key = format!("X-Consumer-Key: {key}\r\n");
    rig.connect().get("/", &key)
}

fn standing(rig: &Rig) -> Standing {
    let routes = rig.gateway.readiness(SystemClock.boot());
    routes.first().expect("a route").standing
}

fn whose(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().expect("text").to_owned();
    format!("{} {}", text("consumer"), text("lease_id"))
}
