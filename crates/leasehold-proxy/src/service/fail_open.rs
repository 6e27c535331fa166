//! Whoever leaves at whatever moment, no request goes on with half of a credential, and none for nobody.
//!
//! The future that takes a request through its steps is dropped at its first await, at its second, and so
//! on until it ends by itself. What reached the origin by then, if anything did, shows the whole credential.

mod lab;

use std::time::Duration;

use lab::{Caller, Lab, Shared};

#[test]
fn a_request_that_is_dropped_at_any_await_shows_the_whole_credential_or_never_arrives() {
    let mut lab = Lab::new(Caller::Key, Shared::Yes);
    // The connection, and the head of the answer.
    let waits = lab.sweep();
    assert!(waits >= 2 && lab.arrived > 0, "{waits} {}", lab.arrived);
    assert!(
        lab.last_answer.starts_with("HTTP/1.1 200 "),
        "{}",
        lab.last_answer
    );
}

#[test]
fn one_that_waits_for_a_credential_of_its_own_does_too() {
    let mut lab = Lab::new(Caller::Key, Shared::No);
    lab.sweep();
    assert!(
        lab.early > 0 && lab.arrived > 0,
        "{} {}",
        lab.early,
        lab.arrived
    );
}

#[test]
fn one_that_waits_for_its_issuers_keys_does_too() {
    let mut lab = Lab::new(Caller::Token, Shared::Yes);
    lab.sweep();
    assert!(
        lab.early > 0 && lab.arrived > 0,
        "{} {}",
        lab.early,
        lab.arrived
    );
}

#[test]
fn one_that_is_sent_again_with_a_newer_credential_does_too() {
    let mut lab = Lab::new(Caller::Key, Shared::Yes);
    lab.refuses_the_first = true;
    let waits = lab.sweep();
    // Those of the first time, the newer generation, and those of the second.
    assert!(waits >= 4, "{waits}");
    assert!(
        lab.last_answer.starts_with("HTTP/1.1 200 "),
        "{}",
        lab.last_answer
    );
}

#[test]
fn whoever_is_nobody_reaches_no_origin_at_whatever_await_it_leaves() {
    for caller in [Caller::Nobody, Caller::FalseKey, Caller::FalseToken] {
        let mut lab = Lab::new(caller, Shared::Yes);
        lab.sweep();
        assert_eq!(lab.arrived, 0, "{caller:?}");
    }
}

#[test]
fn one_whose_credential_never_comes_is_refused_in_time() {
    let mut lab = Lab::new(Caller::Key, Shared::No);
    lab.patience = Duration::from_millis(20);
    lab.never_fetched = true;
    lab.sweep();
    assert_eq!(lab.arrived, 0);
    assert!(
        lab.last_answer.starts_with("HTTP/1.1 503 "),
        "{}",
        lab.last_answer
    );
}
