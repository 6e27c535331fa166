//! The admin listener and the operator's socket over real sockets.

#[cfg(test)]
mod listener;
#[cfg(test)]
mod operator;
