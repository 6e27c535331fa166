//! Tests of the room from outside: what a document's author sees.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, which may fail by panicking"
)]

mod bound;
mod documents;
mod examples;
mod faults;
mod generated;
mod identities;
mod injections;
mod limits;
mod logins;
mod minted;
mod mutations;
mod oauth;
mod routes;
mod secrets;
mod several;
mod snapshots;
