//! The parts of the document about the gateway itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::InstanceName;

use super::Check;
use crate::code::Code;
use crate::document::{
    AccessRecordDocument, AccessRecordTarget, AdminDocument, LedgerDocument, RecordWord,
    ShutdownDocument, SinkDocument, SyslogDocument,
};
use crate::node::Place;
use crate::snapshot::{AccessRecord, Admin, Ledger, RecordTarget, Shutdown, Workers};
use crate::words::{self, NAME_HELP};

impl Check<'_> {
    pub(super) fn instance(&mut self, name: Option<String>, root: Place<'_>) -> InstanceName {
        let place = root.field("instance");
        let name = name.unwrap_or_default();
        // One that is absent was reported with the shape of the document.
        if place.node().text().is_some() && !words::is_name(&name) {
            self.report.hide_unless_name(place.node());
            self.fault(Code::BadName, place, "this is not a name", NAME_HELP);
        }
        InstanceName::from(name.as_str())
    }

    pub(super) fn admin(&mut self, admin: Option<AdminDocument>, root: Place<'_>) -> Admin {
        let place = root.field("admin");
        let AdminDocument { address, socket } = admin.unwrap_or_default();
        let address = address.and_then(|text| self.address(&text, place.field("address")));
        Admin {
            address: address.unwrap_or(DEFAULT_ADMIN),
            socket: socket.map(|path| self.socket(path, place.field("socket"))),
        }
    }

    /// Reads where a Unix socket is made; the system takes no longer path than it has room for.
    pub(super) fn socket(&mut self, written: PathBuf, place: Place<'_>) -> PathBuf {
        let path = self.path(written);
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            let message = format!(
                "the path of a socket has {MAX_SOCKET_PATH} bytes at most, the directory of the \
                 document included"
            );
            let help = "choose a shorter one, like `/run/leasehold/admin.sock`";
            self.fault(Code::BadPath, place, message, help);
        }
        path
    }

    pub(super) fn ledger(&self, ledger: Option<LedgerDocument>) -> Option<Ledger> {
        let LedgerDocument { file } = ledger?;
        Some(Ledger {
            file: self.path(file),
        })
    }

    pub(super) fn access_record(
        &mut self,
        record: Option<AccessRecordDocument>,
        root: Place<'_>,
    ) -> AccessRecord {
        let place = root.field("access_record").field("to");
        let to = match record.and_then(|record| record.to) {
            None | Some(AccessRecordTarget::Word(RecordWord::Stdout)) => RecordTarget::Stdout,
            Some(AccessRecordTarget::Sink(sink)) => self.sink(sink, place),
        };
        AccessRecord { to }
    }

    fn sink(&mut self, sink: SinkDocument, place: Place<'_>) -> RecordTarget {
        match (sink.file, sink.syslog) {
            (Some(file), None) => RecordTarget::File(self.path(file)),
            (None, Some(syslog)) => self.syslog(syslog, place.field("syslog")),
            (Some(_), Some(_)) | (None, None) => {
                let message = "access records go to exactly one of `file` and `syslog`";
                self.fault(Code::BadCombination, place, message, "");
                RecordTarget::Stdout
            }
        }
    }

    fn syslog(&mut self, syslog: SyslogDocument, place: Place<'_>) -> RecordTarget {
        match (syslog.unix, syslog.tcp) {
            (Some(socket), None) => RecordTarget::SyslogUnix(self.path(socket)),
            (None, Some(server)) => {
                self.host_and_port(&server, place.field("tcp"));
                RecordTarget::SyslogTcp(server)
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = "a syslog server is at exactly one of `unix` and `tcp`";
                self.fault(Code::BadCombination, place, message, "");
                RecordTarget::Stdout
            }
        }
    }

    fn host_and_port(&mut self, server: &str, place: Place<'_>) {
        let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            let message = "this is not a host and a port";
            let help = "write it like `logs.internal:601` or `[2001:db8::1]:601`";
            self.fault(Code::BadAddress, place, message, help);
        }
    }

    pub(super) fn shutdown(
        &mut self,
        written: Option<ShutdownDocument>,
        root: Place<'_>,
    ) -> Shutdown {
        let ShutdownDocument { drain, revoke } = written.unwrap_or_default();
        let place = root.field("shutdown");
        let mut span = |written: Option<_>, default, name| {
            self.duration(written.as_ref(), default, Duration::ZERO, place.field(name))
        };
        Shutdown {
            drain: span(drain, DEFAULT_DRAIN, "drain"),
            revoke: span(revoke, DEFAULT_REVOKE, "revoke"),
        }
    }

    pub(super) fn consumer_key_header(
        &mut self,
        written: Option<String>,
        root: Place<'_>,
    ) -> String {
        match written {
            Some(text) => self.header_name(&text, root.field("consumer_key_header")),
            None => DEFAULT_CONSUMER_KEY_HEADER.to_owned(),
        }
    }
}

pub(super) fn workers(written: Option<usize>) -> Workers {
    written
        .and_then(NonZeroUsize::new)
        .map_or(Workers::PerCore, Workers::Count)
}

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// What `sockaddr_un` holds on Linux, without the zero at its end.
const MAX_SOCKET_PATH: usize = 107;
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
const DEFAULT_REVOKE: Duration = Duration::from_secs(10);
const DEFAULT_CONSUMER_KEY_HEADER: &str = "x-api-key";
