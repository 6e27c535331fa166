//! The gateway: composition root and command line.

fn main() {}
