//! The recorder as the data plane uses it.

#[cfg(test)]
mod recorder;
