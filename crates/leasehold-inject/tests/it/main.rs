//! What injection costs a request. A crate of its own, since it counts what the allocator is asked for.

#[cfg(test)]
mod allocations;
