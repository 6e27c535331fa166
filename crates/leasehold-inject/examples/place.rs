//! Places a credential in heads, as often as it is told to, for callgrind to count instructions. The difference
//! of two runs, divided by that of their counts, is what one head costs; with `bare`, the same without placing
//! is what of it is not injection.
#![expect(
    clippy::expect_used,
    reason = "a measurement of something else has to stop"
)]

use std::hint::black_box;

use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_inject::{Injection, InjectionIndex, prepare};
use leasehold_provider::Material;
use leasehold_secret::Secret;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments
        .next()
        .map_or(0, |it| it.parse().expect("a number"));
    let bare = arguments.next().is_some_and(|it| it == "bare");
    let mut material = Material::default();
    material.insert("username", Secret::new("user"));
    material.insert("password", Secret::new("password-of-the-benchmark"));
    let basic = Injection::Basic {
        username: "username".to_owned(),
        password: "password".to_owned(),
    };
    let prepared = prepare(&[basic], &material).expect("prepared");
    let mut headers = HeaderMap::with_capacity(LINES);
    for name in [
        "host",
        "user-agent",
        "accept",
        "x-request-id",
        "traceparent",
    ] {
        headers.insert(name, HeaderValue::from_static("some"));
    }
    let place = HeaderName::from_static("authorization");
    for _ in 0..count {
        // As consumers do that send one of their own.
        headers.insert(
            place.clone(),
            HeaderValue::from_static("Bearer placeholder"),
        );
        if !bare {
            let applied = prepared.apply(InjectionIndex(0), black_box(&mut headers));
            applied.expect("prepared for it");
        }
        black_box(&headers);
    }
}

const LINES: usize = 8;
