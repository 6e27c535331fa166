//! The access record: one line for each request.
