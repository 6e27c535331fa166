use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use leasehold_model::ListenerName;

use super::{Check, in_order};
use crate::code::Code;
use crate::document::ListenerDocument;
use crate::node::Place;
use crate::snapshot::listener::Listener;

impl Check<'_> {
    pub(super) fn listeners(
        &mut self,
        listeners: BTreeMap<String, ListenerDocument>,
        admin: SocketAddr,
        root: Place<'_>,
    ) -> Vec<Listener> {
        let mut taken = HashSet::from([admin]);
        let mut read = Vec::new();
        for (name, listener) in in_order(listeners, root.field("listeners")) {
            let place = root.field("listeners").field(&name).field("address");
            let Some(address) = self.address(&listener.address, place) else {
                continue;
            };
            // Port 0 is another port each time.
            if address.port() != 0 && !taken.insert(address) {
                let message = "another listener has this address already";
                self.fault(
                    Code::DuplicateAddress,
                    place,
                    message,
                    "choose another port",
                );
            }
            read.push(Listener {
                name: ListenerName::from(name.as_str()),
                address,
            });
        }
        read
    }
}
