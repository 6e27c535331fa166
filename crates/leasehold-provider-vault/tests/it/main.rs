//! The provider against a real OpenBao with a real PostgreSQL, and against a server of few words
//! where a real one would not misbehave on demand.

mod anchors;
mod bench;
mod cluster;
mod consistency;
mod doctor;
mod facts;
mod fake;
mod leases;
mod logins;
mod minted;
mod outages;
mod sessions;
mod sources;
mod values;
