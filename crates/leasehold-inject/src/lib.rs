//! Places a credential in the head of an outgoing request.
