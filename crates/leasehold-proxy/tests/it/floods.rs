//! Floods, frame by frame.
