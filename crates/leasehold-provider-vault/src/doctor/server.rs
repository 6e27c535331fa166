use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_model::Clock;
use serde::Deserialize;
use url::{Host, Url};

use super::visit::Server;
use super::{Finding, Report};

/// Finds addresses on which a token would cross a network in clear.
pub(super) fn addresses(addresses: &[Url]) -> Vec<Finding> {
    let open = addresses
        .iter()
        .filter(|it| it.scheme() == "http" && !is_loopback(it));
    let found = open.map(|address| {
        let host = address.host_str().unwrap_or_default();
        Finding::error(
            "transport",
            format!("logins and credentials cross the network to {host} in clear"),
        )
        .mended_by(format!("# in the document: address: https://{host}:8200"))
    });
    found.collect()
}

/// Asks how the server is. Returns the name of its program, or nothing where it can't be asked more.
pub(super) async fn health(
    server: &Server,
    clock: &dyn Clock,
    report: &mut Report,
) -> Option<&'static str> {
    let before = clock.wall();
    let health: Result<Health, String> = server.read_plain("sys/health").await;
    let after = clock.wall();
    let health = match health {
        Ok(health) => health,
        Err(reason) => {
            report.push(Finding::error(
                "server",
                format!("the server can't be asked: {reason}"),
            ));
            return None;
        }
    };
    // What only Vault tells of itself.
    let (program, name) = match health.enterprise {
        Some(_) => ("vault", "Vault"),
        None => ("bao", "OpenBao"),
    };
    let version = &health.version;
    if !health.initialized {
        let what = format!("{name} {version} is not initialised");
        report.push(Finding::error("server", what).mended_by(format!("{program} operator init")));
        return None;
    }
    if health.sealed {
        let what = format!("{name} {version} is sealed");
        report.push(Finding::error("server", what).mended_by(format!("{program} operator unseal")));
        return None;
    }
    report.push(Finding::ok(
        "server",
        format!("{name} {version} is unsealed"),
    ));
    report.push(clocks(health.server_time_utc, before, after));
    Some(program)
}

#[derive(Deserialize)]
struct Health {
    initialized: bool,
    sealed: bool,
    /// In whole seconds.
    server_time_utc: u64,
    #[serde(default)]
    version: String,
    #[serde(default)]
    enterprise: Option<bool>,
}

fn clocks(server: u64, before: SystemTime, after: SystemTime) -> Finding {
    let offset = offset(
        Duration::from_secs(server),
        since_epoch(before),
        since_epoch(after),
    );
    let check = "clock";
    if offset < TOLERATED {
        return Finding::ok(
            check,
            "the clocks agree to within a second, as far as can be told",
        );
    }
    let what = format!(
        "this machine's clock and the server's are at least {} s apart",
        offset.as_secs()
    );
    let finding = if offset < TOO_FAR {
        Finding::warning(check, what)
    } else {
        Finding::error(check, what)
    };
    finding.mended_by("timedatectl set-ntp true    # on this machine and on the server's")
}

/// Returns the least by which the clocks must differ.
///
/// The server cuts its time down to the second, at a moment between the two of ours.
fn offset(server: Duration, before: Duration, after: Duration) -> Duration {
    let behind = before.saturating_sub(server + Duration::from_secs(1));
    let ahead = server.saturating_sub(after);
    behind.max(ahead)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn is_loopback(address: &Url) -> bool {
    match address.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

const TOLERATED: Duration = Duration::from_secs(1);
const TOO_FAR: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn clocks_differ_by_no_more_than_can_be_proved() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let found = |server, before, after| clocks(server, at(before), at(after)).severity;
        assert_eq!(found(100, 100_000, 100_010), Severity::Ok);
        assert_eq!(found(100, 100_990, 102_000), Severity::Ok);
        assert_eq!(found(100, 101_900, 101_910), Severity::Ok);
        assert_eq!(found(100, 102_500, 102_510), Severity::Warning);
        assert_eq!(found(100, 98_000, 98_500), Severity::Warning);
        assert_eq!(found(100, 106_500, 106_510), Severity::Error);
        assert_eq!(found(100, 90_000, 90_010), Severity::Error);
        // A slow answer proves less.
        assert_eq!(found(100, 90_000, 99_500), Severity::Ok);
    }

    #[test]
    fn only_an_address_on_this_machine_may_go_without_tls() {
        let found = |text: &str| addresses(&[Url::parse(text).expect("a url")]).len();
        for fine in [
            "https://vault.internal:8200",
            "http://127.0.0.1:8200",
            "http://[::1]:8200",
            "http://localhost:8200",
        ] {
            assert_eq!(found(fine), 0, "{fine}");
        }
        for open in [
            "http://vault.internal:8200",
            "http://10.0.0.1:8200",
            "http://localhost.evil.example",
        ] {
            assert_eq!(found(open), 1, "{open}");
        }
    }
}
