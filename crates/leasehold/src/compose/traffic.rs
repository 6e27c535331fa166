//! How an upstream is spoken to, from the configuration's words to the data plane's.

use http::HeaderValue;
use leasehold_config::Traffic;
use leasehold_proxy::{
    Balance, ClientFiles, HashKey, HealthCheck, HostPolicy, KeepAlive, Outlier, Protocol, Refresh,
    TlsPolicy, TlsVersion, UpstreamLimits, UpstreamPolicy,
};

use super::{ComposeError, header_name};

pub(super) fn policy(declared: &Traffic) -> Result<UpstreamPolicy, ComposeError> {
    Ok(UpstreamPolicy {
        protocol: protocol(declared.protocol),
        host: host(&declared.host)?,
        balance: balance(&declared.balance)?,
        weights: declared.weights.clone(),
        limits: UpstreamLimits {
            connections: declared.limits.connections,
            pending: declared.limits.pending,
            requests: declared.limits.requests,
        },
        health: declared.health.as_ref().map(health),
        outlier: Outlier {
            consecutive: declared.outlier.consecutive,
            ejection: declared.outlier.ejection,
            longest: declared.outlier.longest,
        },
        slow_start: declared.slow_start,
        keep_alive: KeepAlive {
            connections: declared.keep_alive.connections,
            idle: declared.keep_alive.idle,
            age: declared.keep_alive.age,
        },
        refresh: Refresh(declared.dns_refresh),
        proxy: declared.proxy.clone(),
        tls: TlsPolicy {
            sni: declared.tls.sni.clone(),
            client: declared.tls.client.as_ref().map(|it| ClientFiles {
                certificate: it.certificate.clone(),
                key: it.key.clone(),
            }),
            minimum: if declared.tls.only_tls13 {
                TlsVersion::Tls13
            } else {
                TlsVersion::Tls12
            },
        },
    })
}

const fn protocol(declared: leasehold_config::Protocol) -> Protocol {
    match declared {
        leasehold_config::Protocol::Auto => Protocol::Auto,
        leasehold_config::Protocol::Http1 => Protocol::Http1,
        leasehold_config::Protocol::Http2 => Protocol::Http2,
    }
}

fn host(declared: &leasehold_config::HostPolicy) -> Result<HostPolicy, ComposeError> {
    Ok(match declared {
        leasehold_config::HostPolicy::Endpoint => HostPolicy::Endpoint,
        leasehold_config::HostPolicy::Preserve => HostPolicy::Preserve,
        leasehold_config::HostPolicy::Fixed(host) => {
            let value = HeaderValue::from_str(host);
            HostPolicy::Fixed(value.map_err(|_invalid| ComposeError::Host(host.clone()))?)
        }
    })
}

fn balance(declared: &leasehold_config::Balance) -> Result<Balance, ComposeError> {
    Ok(match declared {
        leasehold_config::Balance::LeastRequest => Balance::LeastRequest,
        leasehold_config::Balance::RoundRobin => Balance::RoundRobin,
        leasehold_config::Balance::ConsumerHash => Balance::RingHash(HashKey::Consumer),
        leasehold_config::Balance::AddressHash => Balance::RingHash(HashKey::Address),
        leasehold_config::Balance::HeaderHash(name) => {
            Balance::RingHash(HashKey::Header(header_name(name)?))
        }
    })
}

fn health(declared: &leasehold_config::HealthCheck) -> HealthCheck {
    HealthCheck {
        path: declared.path.clone(),
        interval: declared.interval,
        timeout: declared.timeout,
        healthy: declared.healthy,
        unhealthy: declared.unhealthy,
        status: declared.status,
    }
}
