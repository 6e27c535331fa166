//! How an upstream is spoken to and how requests are spread over it.

use std::time::Duration;

use url::Url;

use super::Check;
use crate::code::Code;
use crate::document::{
    BalanceDocument, BalanceWord, DnsDocument, EndpointDocument, HashKeyDocument, HashKeyWord,
    HealthDocument, KeepAliveDocument, OutlierDocument, ProtocolDocument, UpstreamDocument,
    UpstreamLimitsDocument, UpstreamTlsDocument, UpstreamTlsVersionDocument,
};
use crate::node::Place;
use crate::snapshot::upstream_traffic::{
    Balance, ClientFiles, HealthCheck, HostPolicy, KeepAlive, Outlier, Protocol, Traffic,
    UpstreamLimits, UpstreamTls,
};

impl Check<'_> {
    /// Takes out of an upstream what says how it is spoken to.
    pub(super) fn traffic(&mut self, written: &mut UpstreamDocument, place: Place<'_>) -> Traffic {
        Traffic {
            weights: written.endpoints.iter().map(weight).collect(),
            protocol: protocol(written.protocol),
            host: self.host_policy(written.host.as_deref(), place.field("host")),
            balance: self.balance(written.balance.take(), place.field("balance")),
            limits: limits(
                written
                    .limits
                    .as_ref()
                    .unwrap_or(&UpstreamLimitsDocument::default()),
            ),
            health: written
                .health
                .take()
                .map(|it| self.health(it, place.field("health"))),
            outlier: self.outlier(written.outlier.take(), place.field("outlier")),
            slow_start: self.duration(
                written.slow_start.as_ref(),
                Duration::ZERO,
                Duration::ZERO,
                place.field("slow_start"),
            ),
            keep_alive: self.keep_alive(written.keep_alive.take(), place.field("keep_alive")),
            dns_refresh: self.refresh(written.dns.take(), place.field("dns").field("refresh")),
            proxy: self.proxy(written.proxy.as_deref(), place.field("proxy")),
            tls: self.upstream_tls(written.tls.take(), place.field("tls").field("sni")),
        }
    }

    fn host_policy(&mut self, written: Option<&str>, place: Place<'_>) -> HostPolicy {
        match written {
            None | Some("endpoint") => HostPolicy::Endpoint,
            Some("preserve") => HostPolicy::Preserve,
            Some(host) => HostPolicy::Fixed(self.authority(host, place)),
        }
    }

    /// Checks a host name, with a port where it has one.
    fn authority(&mut self, text: &str, place: Place<'_>) -> String {
        if !is_authority(text) {
            self.report.hide_unless_name(place.node());
            let message = "this is not a host";
            let help = "write `endpoint`, `preserve` or a name like `api.internal` or \
                        `api.internal:8443`";
            self.fault(Code::BadHost, place, message, help);
        }
        text.to_owned()
    }

    fn balance(&mut self, written: Option<BalanceDocument>, place: Place<'_>) -> Balance {
        match written {
            None | Some(BalanceDocument::Word(BalanceWord::LeastRequest)) => Balance::LeastRequest,
            Some(BalanceDocument::Word(BalanceWord::RoundRobin)) => Balance::RoundRobin,
            Some(BalanceDocument::Ring(ring)) => match ring.ring_hash {
                HashKeyDocument::Word(HashKeyWord::Consumer) => Balance::ConsumerHash,
                HashKeyDocument::Word(HashKeyWord::ClientAddress) => Balance::AddressHash,
                HashKeyDocument::Header(written) => {
                    let place = place.field("ring_hash").field("header");
                    Balance::HeaderHash(self.header_name(&written.header, place))
                }
            },
        }
    }

    fn health(&mut self, written: HealthDocument, place: Place<'_>) -> HealthCheck {
        let path = place.field("path");
        if !is_target(&written.path) {
            self.report.hide_unless_name(path.node());
            let help = "it begins with `/` and holds no space and no `#`, like `/healthz`";
            self.fault(Code::BadPath, path, "this can't be asked for", help);
        }
        let (interval, timeout) = (place.field("interval"), place.field("timeout"));
        let least = LEAST;
        HealthCheck {
            interval: self.duration(written.interval.as_ref(), INTERVAL, least, interval),
            timeout: self.duration(written.timeout.as_ref(), TIMEOUT, least, timeout),
            path: written.path,
            healthy: written.healthy.unwrap_or(2),
            unhealthy: written.unhealthy.unwrap_or(3),
            status: written.status.unwrap_or(200),
        }
    }

    fn outlier(&mut self, written: Option<OutlierDocument>, place: Place<'_>) -> Outlier {
        let written = written.unwrap_or_default();
        let (ejection, longest) = (place.field("ejection"), place.field("longest"));
        Outlier {
            consecutive: written.consecutive.unwrap_or(5),
            ejection: self.duration(written.ejection.as_ref(), EJECTION, LEAST, ejection),
            longest: self.duration(written.longest.as_ref(), LONGEST_EJECTION, LEAST, longest),
        }
    }

    fn keep_alive(&mut self, written: Option<KeepAliveDocument>, place: Place<'_>) -> KeepAlive {
        let written = written.unwrap_or_default();
        KeepAlive {
            connections: written.connections.unwrap_or(256),
            idle: self.duration(
                written.idle.as_ref(),
                IDLE,
                Duration::ZERO,
                place.field("idle"),
            ),
            age: self.duration(written.age.as_ref(), AGE, LEAST, place.field("age")),
        }
    }

    fn proxy(&mut self, written: Option<&str>, place: Place<'_>) -> Option<Url> {
        let proxy = self.origin(written?, place)?;
        if proxy.scheme() != "http" {
            let help = "write it like `http://proxy:3128`";
            self.fault(
                Code::BadUrl,
                place,
                "a proxy is spoken to over plain `http`",
                help,
            );
        }
        Some(proxy)
    }

    fn refresh(&mut self, written: Option<DnsDocument>, place: Place<'_>) -> Duration {
        let written = written.and_then(|it| it.refresh);
        let refresh = self.duration(written.as_ref(), REFRESH, Duration::ZERO, place);
        if !(LEAST_REFRESH..=MOST_REFRESH).contains(&refresh) {
            let message = "this must be from 5 seconds to 5 minutes";
            self.fault(Code::OutOfRange, place, message, "");
        }
        refresh
    }

    fn upstream_tls(
        &mut self,
        written: Option<UpstreamTlsDocument>,
        sni: Place<'_>,
    ) -> UpstreamTls {
        let written = written.unwrap_or_default();
        if written
            .sni
            .as_deref()
            .is_some_and(|it| !is_authority(it) || it.contains(':'))
        {
            self.report.hide_unless_name(sni.node());
            let help = "write the name alone, like `api.internal`";
            self.fault(Code::BadHost, sni, "this is not a host name", help);
        }
        UpstreamTls {
            sni: written.sni,
            client: written.client.map(|it| ClientFiles {
                certificate: self.path(it.certificate),
                key: self.path(it.key),
            }),
            only_tls13: matches!(written.min_version, Some(UpstreamTlsVersionDocument::Tls13)),
        }
    }
}

/// Returns where an endpoint is, and what in the document says so.
pub(super) fn url<'a>(written: &'a EndpointDocument, place: Place<'a>) -> (&'a str, Place<'a>) {
    match written {
        EndpointDocument::Url(url) => (url, place),
        EndpointDocument::Weighted(weighted) => (&weighted.url, place.field("url")),
    }
}

fn weight(written: &EndpointDocument) -> u32 {
    match written {
        EndpointDocument::Url(_) => 1,
        EndpointDocument::Weighted(weighted) => weighted.weight.unwrap_or(1),
    }
}

const fn protocol(written: Option<ProtocolDocument>) -> Protocol {
    match written {
        None | Some(ProtocolDocument::Auto) => Protocol::Auto,
        Some(ProtocolDocument::Http1) => Protocol::Http1,
        Some(ProtocolDocument::Http2) => Protocol::Http2,
    }
}

fn limits(written: &UpstreamLimitsDocument) -> UpstreamLimits {
    UpstreamLimits {
        connections: written.connections.unwrap_or(4096),
        pending: written.pending.unwrap_or(1024),
        requests: written.requests.unwrap_or(8192),
    }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "1"));
    let is_host_char = |each: u8| each.is_ascii_alphanumeric() || b"-._".contains(&each);
    !host.is_empty() && host.bytes().all(is_host_char) && port.parse::<u16>().is_ok_and(|it| it > 0)
}

fn is_target(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|each| each.is_ascii_graphic() && each != b'#')
}

const LEAST: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);
const EJECTION: Duration = Duration::from_secs(30);
const LONGEST_EJECTION: Duration = Duration::from_secs(300);
const IDLE: Duration = Duration::from_secs(4);
const AGE: Duration = Duration::from_secs(3600);
const REFRESH: Duration = Duration::from_secs(30);
const LEAST_REFRESH: Duration = Duration::from_secs(5);
const MOST_REFRESH: Duration = Duration::from_secs(300);
