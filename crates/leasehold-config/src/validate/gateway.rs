//! The parts of the document about the gateway itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::InstanceName;

use super::Check;
use crate::code::Code;
use crate::document::{
    AccessRecordDocument, AccessRecordTarget, AdminDocument, LedgerDocument, ShutdownDocument,
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

    pub(super) fn access_record(&self, record: Option<AccessRecordDocument>) -> AccessRecord {
        let to = match record.and_then(|record| record.to) {
            None | Some(AccessRecordTarget::Stdout) => RecordTarget::Stdout,
            Some(AccessRecordTarget::File(path)) => RecordTarget::File(self.path(path)),
        };
        AccessRecord { to }
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
