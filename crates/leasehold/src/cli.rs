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
    /// Look at the Vault side of a configuration; each finding comes with the command that mends it.
    Doctor(DoctorArgs),
    /// Print the keys by which others verify the tokens of a credential, as a JSON Web Key Set.
    Jwks(JwksArgs),
    /// See, rotate and revoke what a gateway that runs holds on lease.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Have a gateway that runs read its configuration again, and put it to work whole or not at all.
    Reload(SocketArgs),
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
    /// Take over from the gateway behind this operator's socket, which ends once this one serves.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) upgrade_from: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where the lifetime of leases can't be read, issue a credential, look and revoke it.
    #[arg(long)]
    pub(crate) issue: bool,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JwksArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The credential, one that has `jwt`.
    pub(crate) credential: String,
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
pub(crate) enum LeaseCommand {
    /// List every generation that is held, with what it hangs on and how long it may be used.
    List {
        /// Only those of this credential.
        #[arg(long, value_name = "NAME")]
        credential: Option<String>,
        #[command(flatten)]
        socket: SocketArgs,
    },
    /// Show one lease.
    Show {
        /// The lease, as the list has it.
        lease_id: String,
        #[command(flatten)]
        socket: SocketArgs,
    },
    /// Have a credential replaced by a successor, and wait until that serves.
    Rotate {
        /// The credential.
        credential: String,
        /// Only for this consumer, where the credential is held for each.
        #[arg(long, value_name = "NAME")]
        consumer: Option<String>,
        #[command(flatten)]
        socket: SocketArgs,
    },
    /// End leases at once, whoever uses them, and wait for the provider's word.
    Revoke(RevokeArgs),
}

impl LeaseCommand {
    pub(crate) const fn socket(&self) -> &SocketArgs {
        match self {
            Self::List { socket, .. } | Self::Show { socket, .. } | Self::Rotate { socket, .. } => {
                socket
            }
            Self::Revoke(args) => &args.socket,
        }
    }
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["lease_id", "credential", "instance"])))]
pub(crate) struct RevokeArgs {
    /// One lease, as the list has it.
    pub(crate) lease_id: Option<String>,
    /// All leases of a credential.
    #[arg(long, value_name = "NAME")]
    pub(crate) credential: Option<String>,
    /// Of that credential, only those held for this consumer.
    #[arg(long, value_name = "NAME", requires = "credential")]
    pub(crate) consumer: Option<String>,
    /// All leases of the instance; asks for --yes.
    #[arg(long)]
    pub(crate) instance: bool,
    /// Means it.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SocketArgs {
    /// The configuration file of the gateway, which names its socket.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The gateway's socket itself.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub(crate) socket: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
