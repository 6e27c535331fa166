//! Starts real servers for tests and for the demonstration.
//!
//! Everything here listens on 127.0.0.1 only, lives in a directory of its own and is gone when its
//! owner is dropped: servers are killed, a directory is kept only where a test panicked, and its path
//! is printed. A process that dies without dropping anything leaves no server behind either. The room
//! imports no other, so that every room may use it in its tests.
//!
//! | type | what it is |
//! | --- | --- |
//! | [`Lab`] | OpenBao and PostgreSQL, configured: what most tests want |
//! | [`Cluster`] | the same with three nodes of OpenBao, any one of which may be killed |
//! | [`OpenBao`], [`Postgres`] | either server alone |
//! | [`AuditReceiver`] | what an `http` audit device of OpenBao writes to |
//! | [`Authority`] | a certificate authority, for servers and clients |
//! | [`Origin`] | an HTTP server that stands where an upstream does |
//! | [`WebServer`] | nginx, `HAProxy`, Waitress or Node.js, which write down what they see |
//! | [`WebSocketEcho`] | Python's `websockets`, which sends back what it is sent; [`websocket_conformance`] asks it |
//! | [`GatewayProcess`] | the real binary, started with a configuration |
//! | [`scan()`] | looks for secrets in whatever a test collected |
//! | [`memory::copies`] | looks for secrets in the memory of a process |

mod audit;
mod authority;
mod cluster;
mod gateway;
mod lab;
pub mod memory;
mod openbao;
pub mod origin;
mod postgres;
mod process;
mod random;
mod scan;
mod scratch;
mod tools;
pub mod wait;
mod web;
mod websocket;

pub use audit::{AuditReceiver, audit_entries};
pub use authority::{Authority, CertificateFiles};
pub use cluster::Cluster;
pub use gateway::GatewayProcess;
pub use lab::{AppRole, Lab};
pub use openbao::{Answer, OpenBao};
pub use origin::Origin;
pub use postgres::{Login, Postgres};
pub use random::{free_port, secret};
pub use scan::{Form, Hit, scan};
pub use scratch::Scratch;
pub use web::{WebServer, WebServerKind};
pub use websocket::{WebSocketEcho, websocket_conformance};
