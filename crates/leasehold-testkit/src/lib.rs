//! Starts real servers for tests and for the demonstration.
