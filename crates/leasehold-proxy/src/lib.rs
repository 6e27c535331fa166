//! The data plane: listeners, routing, forwarding.
