//! Proves that the test kit's servers are what they claim to be.

// Clippy lets helpers beside the tests unwrap only where it is told that they are tests.
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod servers;
