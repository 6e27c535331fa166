//! The whole gateway, as a process, against real servers.

mod bound;
mod check;
mod crash;
mod demo;
mod doctor;
mod dynamic;
mod fail_closed;
mod forms;
mod leak_check;
mod ledger;
mod logins;
mod memory;
mod minted;
mod native;
mod oauth;
mod operator;
mod redaction;
mod reflection;
mod refused;
mod reload;
mod requests;
mod static_key;
mod storm;
mod support;
mod telemetry;
mod upgrade;
