//! Tells who is calling.
