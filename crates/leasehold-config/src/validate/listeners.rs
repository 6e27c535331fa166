use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use leasehold_model::ListenerName;

use super::{Check, in_order};
use crate::code::Code;
use crate::document::{
    CertificateDocument, ClientTlsDocument, LimitsDocument, ListenerDocument, ListenerTlsDocument,
    TlsVersionWord,
};
use crate::node::Place;
use crate::snapshot::listener::{
    CertificateFiles, ClientTls, Limits, Listener, ListenerAddress, ListenerTls,
};

impl Check<'_> {
    pub(super) fn listeners(
        &mut self,
        listeners: BTreeMap<String, ListenerDocument>,
        admin: SocketAddr,
        root: Place<'_>,
    ) -> Vec<Listener> {
        let mut taken = Taken {
            ports: HashSet::from([admin]),
            files: HashSet::new(),
        };
        let mut read = Vec::new();
        for (name, listener) in in_order(listeners, root.field("listeners")) {
            let place = root.field("listeners").field(&name);
            let address = self.listener_address(&listener, place);
            let Some(address) = address else {
                continue;
            };
            if !taken.insert(&address) {
                let message = "another listener has this address already";
                let place = place.field("address");
                self.fault(Code::DuplicateAddress, place, message, "choose another one");
            }
            read.push(Listener {
                name: ListenerName::from(name.as_str()),
                proxy_protocol: self.proxy_protocol(&listener, &address, place),
                address,
                http2: listener.http2.unwrap_or(listener.tls.is_some()),
                tls: listener
                    .tls
                    .and_then(|tls| self.listener_tls(tls, &name, place)),
                limits: self.limits(listener.limits.unwrap_or_default(), place),
            });
        }
        read
    }

    fn listener_address(
        &mut self,
        listener: &ListenerDocument,
        place: Place<'_>,
    ) -> Option<ListenerAddress> {
        let mode = self.mode(listener.mode.as_deref(), place.field("mode"));
        let text = &listener.address;
        let Some(path) = text.strip_prefix("unix:") else {
            if listener.mode.is_some() {
                let message = "only a Unix socket has a `mode`";
                self.fault(
                    Code::BadCombination,
                    place.field("mode"),
                    message,
                    "leave it out",
                );
            }
            let address = self.address(text, place.field("address"))?;
            return Some(ListenerAddress::Tcp(address));
        };
        if path.is_empty() {
            let help = "write it like `unix:/run/leasehold/public.sock`";
            let message = "this names no socket";
            self.fault(Code::BadAddress, place.field("address"), message, help);
            return None;
        }
        let path = self.socket(PathBuf::from(path), place.field("address"));
        Some(ListenerAddress::Unix { path, mode })
    }

    fn mode(&mut self, written: Option<&str>, place: Place<'_>) -> u32 {
        let Some(text) = written else {
            return DEFAULT_MODE;
        };
        let octal = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        match mode {
            Some(mode) if mode <= 0o777 && mode & 0o600 == 0o600 => mode,
            _ => {
                let message = "this is not the mode of a socket";
                let help =
                    "write three octal digits that let the owner read and write, like \"0660\"";
                self.fault(Code::OutOfRange, place, message, help);
                DEFAULT_MODE
            }
        }
    }

    /// Reads who may say whom a connection comes from.
    fn proxy_protocol(
        &mut self,
        listener: &ListenerDocument,
        address: &ListenerAddress,
        place: Place<'_>,
    ) -> Option<Vec<IpNet>> {
        let spoken = listener.proxy_protocol.unwrap_or(false);
        let at_trusted = place.field("trusted");
        let is_unix = matches!(address, ListenerAddress::Unix { .. });
        match &listener.trusted {
            Some(_) if !spoken => {
                let message = "`trusted` says nothing without `proxy_protocol: true`";
                self.fault(Code::BadCombination, at_trusted, message, "");
                None
            }
            None if spoken && !is_unix => {
                let message = "`proxy_protocol` needs `trusted`: whoever may send a PROXY header can \
                               give itself any address";
                let help = "name the balancers' networks, like `trusted: [10.0.0.0/8]`";
                let place = place.field("proxy_protocol");
                self.fault(Code::BadCombination, place, message, help);
                None
            }
            Some(networks) => {
                let networks = networks.iter().enumerate();
                let networks =
                    networks.map(|(number, text)| self.network(text, at_trusted.item(number)));
                Some(networks.collect::<Vec<_>>().into_iter().flatten().collect())
            }
            None => spoken.then(Vec::new),
        }
    }

    fn network(&mut self, text: &str, place: Place<'_>) -> Option<IpNet> {
        let network = text.parse().ok();
        if network.is_none() {
            self.report.hide_unless_name(place.node());
            let message = "this is not a network";
            let help = "write it like `10.0.0.0/8`, `192.0.2.7/32` or `fd00::/8`";
            self.fault(Code::BadAddress, place, message, help);
        }
        network
    }

    fn listener_tls(
        &mut self,
        written: ListenerTlsDocument,
        listener: &str,
        place: Place<'_>,
    ) -> Option<ListenerTls> {
        let place = place.field("tls");
        let one = (written.certificate, written.key);
        let certificates = match (one, written.certificates) {
            ((Some(certificate), Some(key)), None) => {
                vec![self.certificate_files(CertificateDocument { certificate, key })]
            }
            ((None, None), Some(several)) => {
                let several = several.into_iter();
                several.map(|it| self.certificate_files(it)).collect()
            }
            // What it lacks may be what had a fault of its own.
            _ if !self.is_whole(&["listeners", listener, "tls"], place) => return None,
            _ => {
                let message = "the listener's TLS needs `certificate` and `key`, or `certificates`";
                let help = "write `tls: { certificate: tls.crt, key: tls.key }`";
                self.fault(Code::BadCombination, place, message, help);
                return None;
            }
        };
        Some(ListenerTls {
            certificates,
            tls12: !matches!(written.min_version, Some(TlsVersionWord::Tls13)),
            client: written.client.map(|client| self.client_tls(client)),
        })
    }

    fn certificate_files(&self, written: CertificateDocument) -> CertificateFiles {
        CertificateFiles {
            certificate: self.path(written.certificate),
            key: self.path(written.key),
        }
    }

    fn client_tls(&self, written: ClientTlsDocument) -> ClientTls {
        let ClientTlsDocument { ca, crl, required } = written;
        let crls = crl.unwrap_or_default().into_iter();
        ClientTls {
            ca: self.path(ca),
            crls: crls.map(|path| self.path(path)).collect(),
            required: required.unwrap_or(true),
        }
    }

    fn limits(&mut self, written: LimitsDocument, place: Place<'_>) -> Limits {
        let place = place.field("limits");
        let mut span = |written: Option<_>, default, name| {
            let default = Duration::from_secs(default);
            self.duration(written.as_ref(), default, LEAST_TIMEOUT, place.field(name))
        };
        Limits {
            connections: written.connections.unwrap_or(10_000),
            requests: written.requests_per_connection.unwrap_or(100_000),
            headers: written.headers.unwrap_or(100),
            head_size: written.head_size.unwrap_or(64 * 1024),
            head_timeout: span(written.head_timeout, 10, "head_timeout"),
            // Longer than the minute that balancers keep a connection idle.
            idle_timeout: span(written.idle_timeout, 75, "idle_timeout"),
            body_timeout: span(written.body_timeout, 60, "body_timeout"),
            minimum_rate: written.minimum_rate.unwrap_or(240),
            rate_grace: span(written.rate_grace, 60, "rate_grace"),
            body_size: written.body_size.unwrap_or(1 << 30),
            streams: written.concurrent_streams.unwrap_or(100),
            stream_window: written.stream_window.unwrap_or(64 * 1024),
            connection_window: written.connection_window.unwrap_or(1024 * 1024),
        }
    }
}

/// The addresses that listeners have.
struct Taken {
    ports: HashSet<SocketAddr>,
    files: HashSet<PathBuf>,
}

impl Taken {
    fn insert(&mut self, address: &ListenerAddress) -> bool {
        match address {
            // Port 0 is another port each time.
            ListenerAddress::Tcp(address) => address.port() == 0 || self.ports.insert(*address),
            ListenerAddress::Unix { path, .. } => self.files.insert(path.clone()),
        }
    }
}

const DEFAULT_MODE: u32 = 0o660;
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
