use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An API gateway that owns no upstream secret: it holds each one on lease.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway until it is told to stop by SIGTERM, SIGINT or SIGQUIT.
    Serve(ServeArgs),
    /// Check a configuration file and show every fault in it.
    Check(CheckArgs),
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Manage the encrypted file of a native provider.
    #[command(subcommand)]
    Native(NativeCommand),
    /// Look at or repair the list of what a gateway holds at its providers.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Show the gateway at work with servers of its own; Ctrl-C stops it and leaves nothing behind.
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// How much to log; the log goes to standard error, one JSON object a line.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: LogLevel,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    /// What went wrong.
    Error,
    /// And what may go wrong soon.
    Warn,
    /// And what happens to credentials.
    Info,
    /// And each renewal.
    Debug,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NativeCommand {
    /// Store a new version of a credential; its value is read from standard input.
    ///
    /// The file and its key are created where they do not exist.
    Put {
        #[command(flatten)]
        file: NativeFile,
        /// The path of the credential, such as payments/api.
        path: String,
        /// The name of the field that the value belongs to.
        #[arg(
            long,
            value_name = "NAME",
            default_value = "value",
            conflicts_with = "json"
        )]
        field: String,
        /// Read a JSON object of several fields, all text, instead of one value.
        #[arg(long)]
        json: bool,
    },
    /// List paths and versions; values are never shown.
    List {
        #[command(flatten)]
        file: NativeFile,
    },
    /// Delete a credential. The gateway stops using it once it is too stale.
    Delete {
        #[command(flatten)]
        file: NativeFile,
        /// The path of the credential.
        path: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NativeFile {
    /// The encrypted file.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The file with its key, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Show what is held; the gateway must be stopped.
    Show {
        /// The ledger.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Make a damaged ledger usable with all that can be read of it; the gateway must be stopped.
    ///
    /// The damaged file stays beside it.
    Repair {
        /// The ledger.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Use a real OpenBao and PostgreSQL: database users are issued, renewed, rotated and revoked.
    #[arg(long)]
    pub(crate) openbao: bool,
    /// Stop by itself after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}
