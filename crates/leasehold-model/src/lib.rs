//! The ids and nouns of Leasehold.
//!
//! Everything here is safe to print: no type of this room can hold a secret value, and the room
//! imports no other.

mod chain;
mod clock;
mod failure;
mod header_alias;
mod jwt;
mod name;
mod provenance;
mod reason;
mod signing;
mod template;

pub use chain::Chain;
pub use clock::{BootTime, Clock, SystemClock};
pub use failure::Failure;
pub use header_alias::is_header_alias;
pub use jwt::{ClaimPart, ClaimText, JwtAlgorithm, JwtKey, JwtTerms};
pub use name::{
    Accessor, ConsumerName, CredentialName, InstanceName, IssuerName, LeaseId, LimitName,
    ListenerName, ProviderName, RequestId, RouteName, UpstreamName,
};
pub use provenance::{
    AnchorEpoch, Fingerprint, GenerationNumber, Holder, Provenance, SessionEpoch,
};
pub use reason::ReasonCode;
pub use signing::{
    Component, Hash, HmacSigning, KeyForm, KeyId, MessageAlgorithm, MessageSigning, Payload,
    ShownPart, SigV4, SignedPart, Signing, TimeForm,
};
pub use template::{Encoding, Template, TemplatePart};
