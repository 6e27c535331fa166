use std::collections::{BTreeMap, HashSet};

use leasehold_model::ConsumerName;

use super::{Check, in_order};
use crate::code::Code;
use crate::document::{ConsumerDocument, ConsumerKeyDocument};
use crate::node::Place;
use crate::secret_scan::CONSUMER_KEY_HELP;
use crate::snapshot::consumer::Consumer;

impl Check<'_> {
    pub(super) fn consumers(
        &mut self,
        consumers: BTreeMap<String, ConsumerDocument>,
        root: Place<'_>,
    ) -> Vec<Consumer> {
        let section = root.field("consumers");
        let mut known = HashSet::new();
        let mut read = Vec::new();
        for (name, consumer) in in_order(consumers, section) {
            let place = section.field(&name).field("keys");
            let keys = consumer.keys.iter().enumerate();
            let keys = keys.filter_map(|(index, key)| {
                let place = place.item(index).field("sha256");
                self.digest(key, &mut known, place)
            });
            read.push(Consumer {
                keys: keys.collect(),
                name: ConsumerName::from(name.as_str()),
            });
        }
        read
    }

    /// Reads a key's digest, which no other key may have.
    fn digest(
        &mut self,
        key: &ConsumerKeyDocument,
        known: &mut HashSet<[u8; 32]>,
        place: Place<'_>,
    ) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        if hex::decode_to_slice(&key.sha256, &mut digest).is_err() {
            // Whoever mistook the field wrote the key itself.
            self.report.hide(place.node());
            let message = "this is not a SHA-256: 64 hexadecimal digits";
            self.fault(Code::BadDigest, place, message, CONSUMER_KEY_HELP);
            return None;
        }
        if !known.insert(digest) {
            let message = "this consumer key is declared already";
            let help = "a key tells who is calling, so each belongs to one consumer";
            self.fault(Code::DuplicateConsumerKey, place, message, help);
        }
        Some(digest)
    }
}
