//! The encrypted file provider, for development and non-sensitive credentials.
