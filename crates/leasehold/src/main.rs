//! The gateway: composition root and command line.

mod check;
mod cli;
mod compose;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod jwks;
mod lease;
mod ledger;
mod limits;
mod listeners;
mod logging;
mod native;
mod operations;
mod output;
mod reload;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;
use leasehold_secret::WipingAllocator;

use crate::cli::{Cli, Command};

/// Wipes every block as it is freed: secrets pass through buffers that no type of ours owns.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return output::fail("a TLS crypto provider is already installed");
    }
    let cli = Cli::parse();
    logging::quiet_panics();
    // Before anything secret is read.
    if let Err(error) = leasehold_secret::harden() {
        return output::fail_with(&error);
    }
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Schema => check::schema(),
        Command::Doctor(args) => doctor::run(&args),
        Command::Jwks(args) => jwks::run(&args),
        Command::Lease(command) => lease::run(&command),
        Command::Reload(args) => reload::run(&args),
        Command::Native(command) => native::run(command),
        Command::Ledger(command) => ledger::run(&command),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args),
    }
}
