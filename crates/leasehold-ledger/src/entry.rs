use leasehold_model::{InstanceName, ProviderName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::record::{Anchor, Incarnation, IncarnationId, Intent, Lease, Session, Totals};

/// One entry of the file.
///
/// A value says all of itself, its key included, and carries a checksum and the number of the change
/// that wrote it. So it can be trusted, and be told from its own earlier states, wherever in a
/// damaged file it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    About(About),
    Incarnation(Incarnation),
    Session(Session),
    Anchor(Anchor),
    Intent(Intent),
    Lease(Lease),
    Totals(ProviderTotals),
}

/// What the file is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    /// Whose it is; nobody's where a repair could not tell.
    pub(crate) instance: Option<InstanceName>,
    /// The number of the last change in it.
    pub(crate) applied: u64,
}

/// The totals of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderTotals {
    pub(crate) provider: ProviderName,
    pub(crate) totals: Totals,
}

/// Why a value is no entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was written by a version with another format.
    Format(u8),
    /// It is not what was written.
    Damaged(&'static str),
}

impl Entry {
    /// Encodes the entry as change number `seq` leaves it.
    pub(crate) fn encode(&self, seq: u64) -> Result<Vec<u8>, serde_json::Error> {
        let body = match self {
            Self::About(it) => serde_json::to_vec(it),
            Self::Incarnation(it) => serde_json::to_vec(it),
            Self::Session(it) => serde_json::to_vec(it),
            Self::Anchor(it) => serde_json::to_vec(it),
            Self::Intent(it) => serde_json::to_vec(it),
            Self::Lease(it) => serde_json::to_vec(it),
            Self::Totals(it) => serde_json::to_vec(it),
        }?;
        let kind = self.kind();
        let length = u32::try_from(body.len()).map_err(serde::ser::Error::custom)?;
        let mut value = Vec::with_capacity(HEAD + body.len());
        value.extend_from_slice(MAGIC);
        value.push(FORMAT);
        value.push(kind);
        value.extend_from_slice(&seq.to_be_bytes());
        value.extend_from_slice(&length.to_be_bytes());
        value.extend_from_slice(&checksum(kind, seq, &body).to_be_bytes());
        value.extend_from_slice(&body);
        Ok(value)
    }

    /// Decodes the entry at the start of `bytes`; returns it, its change number and its length.
    pub(crate) fn decode_prefix(bytes: &[u8]) -> Result<(Self, u64, usize), Fault> {
        let (head, rest) = split::<HEAD>(bytes)?;
        let (magic, head) = split::<3>(head)?;
        if magic != MAGIC {
            return Err(Fault::Damaged("it does not begin as an entry does"));
        }
        let (&[format, kind], head) = split::<2>(head)?;
        if format != FORMAT {
            return Err(Fault::Format(format));
        }
        let (seq, head) = split::<8>(head)?;
        let (length, head) = split::<4>(head)?;
        let (sum, _) = split::<4>(head)?;
        let seq = u64::from_be_bytes(*seq);
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let body = rest.get(..length).ok_or(CUT)?;
        if checksum(kind, seq, body) != u32::from_be_bytes(*sum) {
            return Err(Fault::Damaged("its checksum is another"));
        }
        Ok((Self::parse(kind, body)?, seq, HEAD + length))
    }

    /// Decodes what stands under a key.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(Self, u64), Fault> {
        let (entry, seq, length) = Self::decode_prefix(value)?;
        if length != value.len() {
            return Err(Fault::Damaged("it is longer than it says"));
        }
        if entry.key() != key {
            return Err(Fault::Damaged("it stands under another entry's key"));
        }
        Ok((entry, seq))
    }

    /// Returns the key that the entry stands under.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self {
            Self::About(_) => vec![ABOUT],
            Self::Incarnation(it) => [&[INCARNATION], it.id.bytes().as_slice()].concat(),
            Self::Session(it) => session_key(&it.provider, it.accessor.as_str()),
            Self::Anchor(it) => anchor_key(&it.provider, it.accessor.as_str()),
            Self::Intent(it) => intent_key(&it.provider, it.incarnation, it.id.0),
            Self::Lease(it) => lease_key(&it.provider, it.lease_id.as_str()),
            Self::Totals(it) => totals_key(&it.provider),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::About(_) => ABOUT,
            Self::Incarnation(_) => INCARNATION,
            Self::Session(_) => SESSION,
            Self::Anchor(_) => ANCHOR,
            Self::Intent(_) => INTENT,
            Self::Lease(_) => LEASE,
            Self::Totals(_) => TOTALS,
        }
    }

    fn parse(kind: u8, body: &[u8]) -> Result<Self, Fault> {
        match kind {
            ABOUT => parse(body).map(Self::About),
            INCARNATION => parse(body).map(Self::Incarnation),
            SESSION => parse(body).map(Self::Session),
            ANCHOR => parse(body).map(Self::Anchor),
            INTENT => parse(body).map(Self::Intent),
            LEASE => parse(body).map(Self::Lease),
            TOTALS => parse(body).map(Self::Totals),
            _ => Err(Fault::Damaged("it is of no known kind")),
        }
    }
}

/// Returns the key of what the file is.
pub(crate) fn about_key() -> Vec<u8> {
    vec![ABOUT]
}

/// Returns the key of a session.
pub(crate) fn session_key(provider: &ProviderName, accessor: &str) -> Vec<u8> {
    at_provider(SESSION, provider, accessor.as_bytes())
}

/// Returns the key of an anchor.
pub(crate) fn anchor_key(provider: &ProviderName, accessor: &str) -> Vec<u8> {
    at_provider(ANCHOR, provider, accessor.as_bytes())
}

/// Returns the key of an intent.
pub(crate) fn intent_key(provider: &ProviderName, incarnation: IncarnationId, id: u64) -> Vec<u8> {
    let tail = [incarnation.bytes().as_slice(), &id.to_be_bytes()].concat();
    at_provider(INTENT, provider, &tail)
}

/// Returns what the keys of all intents at a provider begin with.
pub(crate) fn intents_prefix(provider: &ProviderName) -> Vec<u8> {
    at_provider(INTENT, provider, b"")
}

/// Returns the key of a lease.
pub(crate) fn lease_key(provider: &ProviderName, lease_id: &str) -> Vec<u8> {
    at_provider(LEASE, provider, lease_id.as_bytes())
}

/// Returns the key of a provider's totals.
pub(crate) fn totals_key(provider: &ProviderName) -> Vec<u8> {
    at_provider(TOTALS, provider, b"")
}

/// The length stands before the name, so that no provider's name is the beginning of another key.
fn at_provider(kind: u8, provider: &ProviderName, tail: &[u8]) -> Vec<u8> {
    let name = provider.as_str().as_bytes();
    // No name in a configuration comes near this; a longer one would only sort elsewhere.
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [&[kind], length.to_be_bytes().as_slice(), name, tail].concat()
}

fn checksum(kind: u8, seq: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&seq.to_be_bytes());
    hasher.update(body);
    hasher.finalize()
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Fault> {
    bytes.split_first_chunk().ok_or(CUT)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|_parse| Fault::Damaged("its content makes no sense"))
}

/// What each value begins with; a scan of a damaged file looks for it.
pub(crate) const MAGIC: &[u8; 3] = b"LHL";
/// The format that this version writes, and the one that it knows.
pub(crate) const FORMAT: u8 = 1;
const HEAD: usize = 3 + 1 + 1 + 8 + 4 + 4;
const CUT: Fault = Fault::Damaged("it is cut short");

const ABOUT: u8 = b'f';
const INCARNATION: u8 = b'n';
const SESSION: u8 = b's';
const ANCHOR: u8 = b'a';
const INTENT: u8 = b'i';
const LEASE: u8 = b'l';
const TOTALS: u8 = b't';

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use leasehold_model::GenerationNumber;

    use super::*;
    use crate::IntentId;
    use crate::record::{IntentState, LeaseState};

    fn lease() -> Entry {
        Entry::Lease(Lease {
            provider: "vault".into(),
            incarnation: IncarnationId::new([7; 16]),
            lease_id: "database/creds/app/abc".into(),
            credential: "orders".into(),
            consumer: Some("shop".into()),
            generation: GenerationNumber::FIRST,
            holder: "acc-1".into(),
            deadline: UNIX_EPOCH + Duration::from_millis(1_764_000_000_123),
            state: LeaseState::Held,
        })
    }

    #[test]
    fn what_this_version_writes_is_what_a_later_one_must_read() {
        let body = "{\"provider\":\"vault\",\"incarnation\":\"07070707070707070707070707070707\",\
            \"lease_id\":\"database/creds/app/abc\",\"credential\":\"orders\",\"consumer\":\"shop\",\
            \"generation\":1,\"holder\":\"acc-1\",\"deadline\":1764000000123,\"state\":\"held\"}";
        let mut golden = b"LHL\x01l\0\0\0\0\0\0\0\x2a\0\0\0\xd9".to_vec();
        golden.extend_from_slice(&LEASE_CHECKSUM.to_be_bytes());
        golden.extend_from_slice(body.as_bytes());
        let value = lease().encode(42).expect("encoded");
        assert_eq!(
            String::from_utf8_lossy(&value),
            String::from_utf8_lossy(&golden)
        );
        assert_eq!(value, golden);
        let key = b"l\0\x05vaultdatabase/creds/app/abc";
        assert_eq!(Entry::decode(key, &golden), Ok((lease(), 42)));
    }

    #[test]
    fn every_kind_is_written_as_it_always_was() {
        let provider = ProviderName::from("v");
        let incarnation = IncarnationId::new([0xab; 16]);
        let hex = "abababababababababababababababab";
        let at = UNIX_EPOCH + Duration::from_millis(5);
        let epoch = leasehold_model::SessionEpoch::FIRST;
        let accessor = leasehold_model::Accessor::from("acc");
        let entries = [
            (
                Entry::About(About { instance: Some("edge".into()), applied: 9 }),
                r#"{"instance":"edge","applied":9}"#.to_owned(),
            ),
            (
                Entry::Incarnation(Incarnation { id: incarnation, started_at: at }),
                format!(r#"{{"id":"{hex}","started_at":5}}"#),
            ),
            (
                Entry::Session(Session {
                    provider: provider.clone(),
                    incarnation,
                    epoch,
                    accessor: accessor.clone(),
                    logged_in_at: at,
                    deadline: at,
                }),
                format!(r#"{{"provider":"v","incarnation":"{hex}","epoch":1,"accessor":"acc","logged_in_at":5,"deadline":5}}"#),
            ),
            (
                Entry::Anchor(Anchor {
                    provider: provider.clone(),
                    incarnation,
                    epoch,
                    accessor: accessor.clone(),
                    deadline: at,
                }),
                format!(r#"{{"provider":"v","incarnation":"{hex}","epoch":1,"accessor":"acc","deadline":5}}"#),
            ),
            (
                Entry::Intent(Intent {
                    provider: provider.clone(),
                    incarnation,
                    id: IntentId(3),
                    credential: "c".into(),
                    consumer: None,
                    generation: GenerationNumber::FIRST,
                    holder: accessor,
                    at,
                    state: IntentState::MaybeLeaked,
                }),
                format!(r#"{{"provider":"v","incarnation":"{hex}","id":3,"credential":"c","consumer":null,"generation":1,"holder":"acc","at":5,"state":"maybe_leaked"}}"#),
            ),
            (
                Entry::Totals(ProviderTotals {
                    provider,
                    totals: Totals { leases_revoked: 2, ..Totals::default() },
                }),
                r#"{"provider":"v","totals":{"leases_revoked":2,"leases_expiry_claimed":0,"intents_failed":0,"intents_collected":0,"anchors_revoked":0,"anchors_lost":0,"sessions_ended":0,"unmatched":0}}"#.to_owned(),
            ),
        ];
        for (entry, body) in entries {
            let value = entry.encode(1).expect("encoded");
            assert_eq!(String::from_utf8_lossy(&value[HEAD..]), body);
            assert_eq!(Entry::decode(&entry.key(), &value), Ok((entry, 1)));
        }
    }

    #[test]
    fn any_byte_changed_is_noticed() {
        let value = lease().encode(42).expect("encoded");
        let key = lease().key();
        for at in 0..value.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut changed = value.clone();
                changed[at] ^= mask;
                Entry::decode(&key, &changed).expect_err("noticed");
            }
            Entry::decode(&key, &value[..at]).expect_err("noticed");
        }
    }

    #[test]
    fn a_later_format_is_told_as_such() {
        let mut value = lease().encode(42).expect("encoded");
        value[3] = 2;
        assert_eq!(Entry::decode(&lease().key(), &value), Err(Fault::Format(2)));
    }

    /// Computed by another implementation of CRC-32 (zlib's).
    const LEASE_CHECKSUM: u32 = 0xfe6f_d819;
}
