//! Counts the request at the limits of its route, before it takes a credential.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_limit::{Caller, Key, Permit};
use leasehold_model::{BootTime, LimitName, ReasonCode};

use crate::gateway::RouteLimits;

/// What a request has been given by its limits, and what its answer says of them.
#[derive(Debug, Default)]
pub(crate) struct Limited {
    /// Held until the answer has ended.
    permits: Vec<Permit>,
    policy: Option<HeaderValue>,
    left: Option<HeaderValue>,
    retry_after: Option<HeaderValue>,
}

impl Limited {
    /// Says in an answer what is left, instead of what the upstream says of its own limits.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        let told = [
            (RATELIMIT_POLICY, &self.policy),
            (RATELIMIT, &self.left),
            (RETRY_AFTER, &self.retry_after),
        ];
        for (name, value) in told {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    /// Returns how many requests it counts as under way.
    #[cfg(test)]
    fn permits(&self) -> usize {
        self.permits.len()
    }
}

/// Counts a request: first at the limits for how many are under way, which take nothing from it where
/// another refuses it. Returns which limit refuses it, where one does.
pub(crate) fn count(
    limits: &RouteLimits,
    caller: Caller<'_>,
    now: BootTime,
) -> (Limited, Option<(ReasonCode, LimitName)>) {
    let mut limited = Limited::default();
    for limit in &limits.concurrency {
        match limit.enter(Key::of(limit.spec().per, caller)) {
            Some(permit) => limited.permits.push(permit),
            None => {
                limited.retry_after = Some(HeaderValue::from_static("1"));
                let refused = (ReasonCode::ConcurrencyLimited, limit.spec().name.clone());
                return (limited, Some(refused));
            }
        }
    }
    let mut text = String::new();
    let mut refused = None;
    for limit in &limits.rates {
        let spec = limit.spec();
        let (left, time) = match limit.check(&Key::of(spec.per, caller), now) {
            Ok(admitted) => (admitted.left, admitted.full),
            Err(until) => {
                limited.retry_after = HeaderValue::from_str(&seconds(until.wait).to_string()).ok();
                refused = Some((ReasonCode::RateLimited, spec.name.clone()));
                (0, until.wait)
            }
        };
        if spec.headers {
            let comma = if text.is_empty() { "" } else { ", " };
            let time = seconds(time);
            text.push_str(&format!("{comma}\"{}\";r={left};t={time}", spec.name));
        }
        if refused.is_some() {
            break;
        }
    }
    if !text.is_empty() {
        limited.policy.clone_from(&limits.policy);
        limited.left = text.try_into().ok();
    }
    (limited, refused)
}

/// Rounds up: a caller that waits for that long does not come too early.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use leasehold_limit::{ConcurrencyLimit, ConcurrencySpec, Per, RateLimit, RateSpec};

    use super::*;

    #[test]
    fn a_request_that_is_refused_for_its_number_under_way_counts_at_no_rate() {
        let limits = limits();
        let now = BootTime::from_nanos(1);
        let (held, refused) = ask(&limits, now);
        assert_eq!((held.permits(), refused), (1, None));
        for _ in 0..10 {
            let (_, refused) = ask(&limits, now);
            let (reason, limit) = refused.expect("one is under way");
            assert_eq!(reason, ReasonCode::ConcurrencyLimited);
            assert_eq!(limit.as_str(), "one");
        }
        drop(held);
        assert_eq!(ask(&limits, now).1, None);
        let (limited, refused) = ask(&limits, now);
        assert_eq!(refused, Some((ReasonCode::RateLimited, "two".into())));
        let mut headers = HeaderMap::new();
        limited.mark(&mut headers);
        assert_eq!(headers[RATELIMIT], "\"two\";r=0;t=5");
        assert_eq!(headers[RETRY_AFTER], "5");
    }

    fn ask(limits: &RouteLimits, now: BootTime) -> (Limited, Option<(ReasonCode, LimitName)>) {
        let caller = Caller {
            consumer: None,
            route: &"r".into(),
            address: None,
        };
        count(limits, caller, now)
    }

    fn limits() -> RouteLimits {
        let per = Per {
            route: true,
            ..Per::default()
        };
        let two = NonZeroU32::new(2).expect("not zero");
        RouteLimits {
            rates: vec![Arc::new(RateLimit::new(RateSpec {
                name: "two".into(),
                per,
                requests: two,
                every: Duration::from_secs(10),
                burst: two,
                keys: 16,
                headers: true,
            }))],
            concurrency: vec![Arc::new(ConcurrencyLimit::new(ConcurrencySpec {
                name: "one".into(),
                per,
                requests: NonZeroU32::MIN,
            }))],
            policy: None,
        }
    }
}
