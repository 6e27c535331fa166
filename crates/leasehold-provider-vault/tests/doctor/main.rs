//! What `leasehold doctor` finds at a real OpenBao: each fault is planted, found, and mended by the
//! command that the finding came with.

#[cfg(test)]
mod checks;
