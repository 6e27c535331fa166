//! What OpenBao's audit log says of a gateway.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use leasehold_testkit::audit_entries;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The calls of everybody but root.
#[derive(Debug)]
pub(super) struct Audit {
    calls: Vec<Call>,
}

/// One entry: a call that came in, or its answer.
#[derive(Debug)]
pub(super) struct Call {
    /// In seconds since the epoch.
    pub(super) at: f64,
    pub(super) kind: Kind,
    pub(super) answered: bool,
    /// The lease of an answer that has one.
    pub(super) lease: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    LogIn,
    Token,
    Issue,
    Renew,
    Revoke,
    Read,
}

/// How many calls there were, and in the fullest second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) count: usize,
    pub(super) peak: usize,
}

// === impl Audit ===

impl Audit {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let entries = audit_entries(file)?;
        let calls = entries.iter().filter(|it| !is_roots(it));
        let mut calls = calls.map(call).collect::<Result<Vec<_>>>()?;
        calls.sort_by(|one, other| one.at.total_cmp(&other.at));
        Ok(Self { calls })
    }

    /// Returns the calls from this time on.
    pub(super) fn since(mut self, at: f64) -> Self {
        self.calls.retain(|it| it.at >= at);
        self
    }

    /// Returns when calls came in.
    pub(super) fn times(&self, kinds: &[Kind]) -> Vec<f64> {
        let calls = self.calls.iter();
        let calls = calls.filter(|it| !it.answered && kinds.contains(&it.kind));
        calls.map(|it| it.at).collect()
    }

    /// Counts calls by when they came in.
    pub(super) fn rate(&self, kinds: &[Kind]) -> Rate {
        let times = self.times(kinds);
        let within = |from: f64| {
            times
                .iter()
                .filter(move |at| (from..from + 1.0).contains(*at))
        };
        Rate {
            count: times.len(),
            peak: times
                .iter()
                .map(|from| within(*from).count())
                .max()
                .unwrap_or(0),
        }
    }

    /// Counts everything that makes OpenBao write.
    pub(super) fn writes(&self) -> Rate {
        use Kind::{Issue, LogIn, Renew, Revoke, Token};
        self.rate(&[LogIn, Token, Issue, Renew, Revoke])
    }

    /// Returns the answers that granted a lease: issues, or renewals too.
    pub(super) fn grants<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Call> {
        let calls = self.calls.iter();
        calls.filter(|it| it.answered && it.lease.is_some() && kinds.contains(&it.kind))
    }

    /// Returns how many leases were begun.
    pub(super) fn issued(&self) -> usize {
        self.grants(&[Kind::Issue]).count()
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issues, renewals) = (self.rate(&[Kind::Issue]), self.rate(&[Kind::Renew]));
        let revocations = self.rate(&[Kind::Revoke]);
        write!(
            f,
            "issues {issues}, renewals {renewals}, revocations {revocations}, logins {}, writes {}",
            self.rate(&[Kind::LogIn]),
            self.writes()
        )
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at most {} a second)", self.count, self.peak)
    }
}

/// Returns a time as RFC 3339 writes it in seconds since the epoch.
pub(super) fn seconds(text: &str) -> Result<f64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("time {text}"))?;
    let since_epoch = time - OffsetDateTime::UNIX_EPOCH;
    Ok(since_epoch.as_seconds_f64())
}

fn call(entry: &Value) -> Result<Call> {
    let at = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
    Ok(Call {
        at: seconds(at("/time").context("an entry without a time")?)?,
        kind: kind(at("/request/path").unwrap_or_default()),
        answered: at("/type") == Some("response"),
        lease: at("/response/secret/lease_id").map(str::to_owned),
    })
}

fn kind(path: &str) -> Kind {
    match path {
        "auth/approle/login" => Kind::LogIn,
        "sys/leases/renew" => Kind::Renew,
        "sys/leases/revoke" => Kind::Revoke,
        _ if path.starts_with("database/creds/") => Kind::Issue,
        _ if path.starts_with("auth/token/") => Kind::Token,
        _ => Kind::Read,
    }
}

/// The lab's own calls, to set up and to look: by root, or before there is anybody.
fn is_roots(entry: &Value) -> bool {
    let at = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
    at("/auth/display_name") == Some("root")
        || at("/request/path")
            .is_some_and(|path| path.starts_with("sys/") && !path.starts_with("sys/leases/"))
}
