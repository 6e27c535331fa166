use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

/// How far the cluster's storage had got when it answered us, as far as it told.
///
/// A standby answers reads from its own copy, which may lag behind. A read that names what has been
/// seen already is answered from no older state. Servers that know no such index tell none and are
/// sent none.
#[derive(Debug, Default)]
pub(crate) struct LatestIndex {
    latest: Mutex<Option<Index>>,
}

// === impl LatestIndex ===

impl LatestIndex {
    /// Remembers the index that an answer tells, where it is later than what has been seen.
    ///
    /// What can't be read is not remembered: a node refuses a request with an index that it can't
    /// read, and Vault's own are of another form and are made for other clients.
    pub(crate) fn observe(&self, headers: &HeaderMap) {
        let Some(told) = headers.get(INDEX).and_then(Index::parse) else {
            return;
        };
        let mut latest = self.latest.lock();
        if latest.as_ref().is_none_or(|seen| told.supersedes(seen)) {
            *latest = Some(told);
        }
    }

    /// Forgets the index, which a node could not read.
    pub(crate) fn forget(&self) {
        *self.latest.lock() = None;
    }

    /// Returns the header that names the latest index; none where none has been told.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let latest = self.latest.lock();
        latest.as_ref().map(|index| index.header.clone())
    }
}

/// One index, and the header that told it.
#[derive(Debug)]
struct Index {
    told: Told,
    header: HeaderValue,
}

#[derive(Debug, Deserialize)]
struct Told {
    cluster: String,
    /// Told by no version yet that was seen; where it is, each namespace counts for itself.
    #[serde(default)]
    namespace: String,
    value: String,
}

// === impl Index ===

impl Index {
    fn parse(header: &HeaderValue) -> Option<Self> {
        if header.len() > LONGEST {
            return None;
        }
        let json = STANDARD.decode(header).ok()?;
        let told: Told = serde_json::from_slice(&json).ok()?;
        let complete = !told.cluster.is_empty() && !told.value.is_empty();
        complete.then(|| Self {
            told,
            header: header.clone(),
        })
    }

    /// Tells whether this index is to be named from now on instead of one seen before.
    ///
    /// Answers overtake each other, so the last is not always the latest. Where the two can't be
    /// compared (another cluster stands behind the address, the storage does not count in numbers)
    /// the last is the better guess.
    fn supersedes(&self, seen: &Self) -> bool {
        let order = self.position().zip(seen.position());
        let order = order.filter(|_| self.place() == seen.place());
        order.is_none_or(|(told, seen)| told.cmp(&seen) == Ordering::Greater)
    }

    fn place(&self) -> (&str, &str) {
        (&self.told.cluster, &self.told.namespace)
    }

    fn position(&self) -> Option<u64> {
        self.told.value.parse().ok()
    }
}

pub(crate) const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
/// Many times what an index takes: a cluster's id and a number.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(latest: &LatestIndex, header: &str) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(INDEX, header.parse().expect("a header"));
        latest.observe(&headers);
        latest.header()
    }

    fn index(cluster: &str, value: &str) -> String {
        let json = serde_json::json!({ "cluster": cluster, "value": value });
        STANDARD.encode(json.to_string())
    }

    #[test]
    fn the_greatest_index_of_a_cluster_is_kept_and_compared_as_a_number() {
        let latest = LatestIndex::default();
        assert_eq!(latest.header(), None);
        let (nine, ten) = (index("c", "9"), index("c", "10"));
        assert_eq!(told(&latest, &nine).expect("an index"), nine);
        assert_eq!(told(&latest, &ten).expect("an index"), ten);
        assert_eq!(
            told(&latest, &nine).expect("an index"),
            ten,
            "an answer that was overtaken"
        );
    }

    #[test]
    fn an_index_that_can_not_be_compared_replaces_the_one_before() {
        let latest = LatestIndex::default();
        for (cluster, value) in [("c", "100"), ("other", "1"), ("other", "0/16B3748")] {
            let header = index(cluster, value);
            assert_eq!(told(&latest, &header).expect("an index"), header);
        }
    }

    #[test]
    fn what_is_no_index_is_never_sent_back() {
        let latest = LatestIndex::default();
        let array = STANDARD.encode("[1]");
        let number = STANDARD.encode(r#"{"cluster":"c","value":9}"#);
        let long = index("c", &"9".repeat(LONGEST));
        for header in [
            "garbage",
            // The form of Vault Enterprise.
            "v1:00000000-0000-0000-0000-000000000000:42:0:c2lnbmVk",
            &array,
            &number,
            &index("", "9"),
            &index("c", ""),
            &long,
        ] {
            assert_eq!(told(&latest, header), None, "{header}");
        }
        let good = index("c", "9");
        told(&latest, &good);
        assert_eq!(told(&latest, "garbage").expect("the one before"), good);
    }
}
