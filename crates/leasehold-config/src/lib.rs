//! The configuration document: as written, then validated, with diagnostics.
