use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use leasehold_limit::{ConcurrencyLimit, ConcurrencySpec, RateLimit, RateSpec};
use leasehold_model::{BootTime, LimitName, RouteName};

use super::error::GatewayError;
use super::spec::RouteSpec;

/// How much callers may ask for, where routes name it.
#[derive(Clone, Debug, Default)]
pub struct LimitSpecs {
    /// In a time.
    pub rates: Vec<RateSpec>,
    /// At a time.
    pub concurrency: Vec<ConcurrencySpec>,
}

/// The limits of a gateway. One that is declared as before goes on with what it has counted.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) rates: Vec<Arc<RateLimit>>,
    pub(crate) concurrency: Vec<Arc<ConcurrencyLimit>>,
}

impl Limits {
    pub(super) fn build(specs: LimitSpecs, former: Option<&Self>) -> Self {
        let rate = |spec: RateSpec| {
            let mut former = former.iter().flat_map(|it| &it.rates);
            let same = former.find(|it| *it.spec() == spec).cloned();
            same.unwrap_or_else(|| Arc::new(RateLimit::new(spec)))
        };
        let concurrency = |spec: ConcurrencySpec| {
            let mut former = former.iter().flat_map(|it| &it.concurrency);
            let same = former.find(|it| *it.spec() == spec).cloned();
            same.unwrap_or_else(|| Arc::new(ConcurrencyLimit::new(spec)))
        };
        Self {
            rates: specs.rates.into_iter().map(rate).collect(),
            concurrency: specs.concurrency.into_iter().map(concurrency).collect(),
        }
    }

    /// Forgets what has no use any more.
    pub(crate) fn tidy(&self, now: BootTime) {
        for limit in &self.rates {
            limit.tidy(now);
        }
    }

    /// Finds the limits that a route names.
    pub(super) fn of(&self, route: &RouteSpec) -> Result<RouteLimits, GatewayError> {
        let unknown = |limit: &LimitName| unknown(&route.name, limit);
        let rates = route.rate.iter().map(|name| {
            let found = self.rates.iter().find(|it| it.spec().name == *name);
            found.cloned().ok_or_else(|| unknown(name))
        });
        let concurrency = route.concurrency.iter().map(|name| {
            let found = self.concurrency.iter().find(|it| it.spec().name == *name);
            found.cloned().ok_or_else(|| unknown(name))
        });
        let rates = rates.collect::<Result<Vec<_>, _>>()?;
        Ok(RouteLimits {
            policy: policy(&rates),
            rates,
            concurrency: concurrency.collect::<Result<_, _>>()?,
        })
    }
}

/// The limits that the requests of a route count at.
#[derive(Debug, Default)]
pub(crate) struct RouteLimits {
    pub(crate) rates: Vec<Arc<RateLimit>>,
    pub(crate) concurrency: Vec<Arc<ConcurrencyLimit>>,
    /// What answers say of them, where they do.
    pub(crate) policy: Option<HeaderValue>,
}

impl RouteLimits {
    pub(crate) const fn is_empty(&self) -> bool {
        self.rates.is_empty() && self.concurrency.is_empty()
    }
}

/// Writes what `RateLimit-Policy` says of the limits that are told of. A window that is no whole number of
/// seconds can't be said.
fn policy(rates: &[Arc<RateLimit>]) -> Option<HeaderValue> {
    let mut text = String::new();
    for spec in rates.iter().map(|it| it.spec()).filter(|spec| spec.headers) {
        let comma = if text.is_empty() { "" } else { ", " };
        text.push_str(&format!("{comma}\"{}\";q={}", spec.name, spec.requests));
        if spec.every == Duration::from_secs(spec.every.as_secs()) {
            text.push_str(&format!(";w={}", spec.every.as_secs()));
        }
    }
    // The configuration lets in no name that would have to be escaped.
    (!text.is_empty()).then(|| text.try_into().ok()).flatten()
}

fn unknown(route: &RouteName, limit: &LimitName) -> GatewayError {
    GatewayError::UnknownLimit {
        route: route.clone(),
        limit: limit.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use leasehold_limit::{Caller, Key, Per};

    use super::*;

    #[test]
    fn a_limit_that_stays_as_it_was_goes_on_with_what_it_has_counted() {
        let now = BootTime::from_nanos(1);
        let first = Limits::build(specs(1), None);
        let permit = first.concurrency[0].enter(key());
        assert!(permit.is_some());
        first.rates[0].check(&key(), now).expect("the first");
        let same = Limits::build(specs(1), Some(&first));
        drop(first);
        assert!(same.rates[0].check(&key(), now).is_err());
        assert!(same.concurrency[0].enter(key()).is_none());
        let other = Limits::build(specs(2), Some(&same));
        assert!(other.rates[0].check(&key(), now).is_ok());
        assert!(other.concurrency[0].enter(key()).is_some());
    }

    #[test]
    fn the_policy_tells_of_whole_seconds_only() {
        let told = |every| {
            let mut specs = specs(7);
            specs.rates[0].every = every;
            let limits = Limits::build(specs, None);
            policy(&limits.rates).expect("a policy")
        };
        assert_eq!(told(Duration::from_secs(60)), "\"l\";q=7;w=60");
        assert_eq!(told(Duration::from_millis(1500)), "\"l\";q=7");
    }

    fn specs(requests: u32) -> LimitSpecs {
        let requests = NonZeroU32::new(requests).expect("not zero");
        let (name, per) = (LimitName::from("l"), Per::default());
        LimitSpecs {
            rates: vec![RateSpec {
                name: name.clone(),
                per,
                requests,
                every: Duration::from_secs(1),
                burst: requests,
                keys: 16,
                headers: true,
            }],
            concurrency: vec![ConcurrencySpec {
                name,
                per,
                requests,
            }],
        }
    }

    fn key() -> Key {
        let caller = Caller {
            consumer: None,
            route: &"r".into(),
            address: None,
        };
        Key::of(Per::default(), caller)
    }
}
