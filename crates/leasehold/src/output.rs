//! What a person at a terminal reads: plain sentences, errors on standard error.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use leasehold_model::Chain;

/// Prints one line to standard output.
///
/// # Errors
///
/// When nobody reads it any more: the pipe behind it is closed, say.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Prints an error with its causes, and returns the exit code for it.
pub(crate) fn fail_with(error: &dyn Error) -> ExitCode {
    fail(&Chain(error).to_string())
}

/// Prints an error, and returns the exit code for it.
pub(crate) fn fail(text: &str) -> ExitCode {
    // Where standard error is closed there is nobody left to tell; the exit code still does.
    io::stderr()
        .lock()
        .write_fmt(format_args!("leasehold: {text}\n"))
        .ok();
    ExitCode::FAILURE
}
