//! The admin listener over real sockets.

#[cfg(test)]
mod listener;
