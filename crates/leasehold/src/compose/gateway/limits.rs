//! How much callers may ask for, from the configuration's words to the data plane's.

use leasehold_config::{LimitPer, Snapshot};
use leasehold_limit::{ConcurrencySpec, Per, RateSpec};
use leasehold_proxy::LimitSpecs;

pub(super) fn specs(snapshot: &Snapshot) -> LimitSpecs {
    let rates = snapshot.rate_limits.iter().map(|limit| RateSpec {
        name: limit.name.clone(),
        per: per(limit.per),
        requests: limit.requests,
        every: limit.every,
        burst: limit.burst,
        keys: limit.keys,
        headers: limit.headers,
    });
    let concurrency = snapshot.concurrency_limits.iter();
    let concurrency = concurrency.map(|limit| ConcurrencySpec {
        name: limit.name.clone(),
        per: per(limit.per),
        requests: limit.requests,
    });
    LimitSpecs {
        rates: rates.collect(),
        concurrency: concurrency.collect(),
    }
}

const fn per(declared: LimitPer) -> Per {
    Per {
        consumer: declared.consumer,
        route: declared.route,
        address: declared.address,
    }
}
