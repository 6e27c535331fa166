use leasehold_otlp::Telemetry;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogLevel;
use crate::output;

/// Sends the log to standard error, one JSON object a line.
///
/// Only our own rooms are heard below `warn`: a library's debug line may hold a request head. What they say
/// goes to a collector too, where `telemetry` has one for it.
pub(crate) fn start(level: LogLevel, telemetry: Option<&Telemetry>) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    let collector = telemetry.and_then(Telemetry::layer);
    let collector = collector.map(|it| it.with_filter(Targets::new().with_target(OURS, level)));
    tracing_subscriber::registry()
        .with(heard(level))
        .with(lines)
        .with(collector)
        .init();
}

/// Tells what is heard. No variable and no option has a say in it but the level, which is for our own rooms: in
/// whatever way the program is started, what a library says below `warn` is not.
fn heard(level: Level) -> Targets {
    Targets::new()
        .with_default(Level::WARN.min(level))
        .with_target(OURS, level)
}

/// Sends what happens to leases to standard output, in words, for somebody who watches.
#[cfg(feature = "demo")]
pub(crate) fn start_for_people() {
    let leases = Targets::new()
        .with_default(Level::WARN)
        .with_target("leasehold_broker", Level::DEBUG);
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stdout);
    tracing_subscriber::registry()
        .with(leases)
        .with(lines)
        .init();
}

/// Has a panic told by its place and never by its message, which may hold anything.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(place, "a task of the gateway panicked");
        } else {
            output::fail(&format!("a fault of the program at {place:?}"));
        }
    }));
}

/// What the targets of our rooms begin with.
const OURS: &str = "leasehold";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_has_libraries_heard_that_see_heads() {
        let levels = [
            Level::ERROR,
            Level::WARN,
            Level::INFO,
            Level::DEBUG,
            Level::TRACE,
        ];
        for level in levels {
            let heard = heard(level);
            assert_eq!(
                heard.would_enable("leasehold_proxy", &Level::DEBUG),
                level >= Level::DEBUG
            );
            for library in LIBRARIES {
                for finer in [Level::INFO, Level::DEBUG, Level::TRACE] {
                    assert!(!heard.would_enable(library, &finer), "{library} {finer}");
                }
            }
        }
    }

    const LIBRARIES: [&str; 12] = [
        "hyper::proto::h1::io",
        "hyper_util::client::legacy",
        "h2::codec::framed_read",
        "h2::hpack::decoder",
        "rustls::client::hs",
        "tokio_rustls",
        "reqwest::connect",
        "tower::buffer",
        "aws_lc_rs",
        "redb",
        "log",
        "leaseh",
    ];
}
