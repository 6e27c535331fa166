//! The provider against a token endpoint that verifies what it is shown, and one that misbehaves.

mod lab;
mod methods;
mod outages;
