use std::fmt;
use std::io;
use std::time::SystemTime;

use leasehold_model::{
    Accessor, ConsumerName, CredentialName, GenerationNumber, LeaseId, ProviderName, SessionEpoch,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::IntentId;

/// Identifies one life of an instance's process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncarnationId([u8; 16]);

impl IncarnationId {
    /// Draws an id that no other life has.
    pub(crate) fn draw() -> io::Result<Self> {
        let mut id = [0; 16];
        let drawn = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
        if drawn < id.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(id))
    }

    #[cfg(test)]
    pub(crate) const fn new(id: [u8; 16]) -> Self {
        Self(id)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for IncarnationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for IncarnationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IncarnationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).map_err(serde::de::Error::custom)?;
        Ok(Self(id))
    }
}

/// One life of an instance's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incarnation {
    /// Its id.
    pub id: IncarnationId,
    /// When it opened the ledger.
    #[serde(with = "millis")]
    pub started_at: SystemTime,
}

/// A login that has not ended, as far as the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Where it is.
    pub provider: ProviderName,
    /// Whose it is.
    pub incarnation: IncarnationId,
    /// Which login it is.
    pub epoch: SessionEpoch,
    /// Its token's accessor.
    pub accessor: Accessor,
    /// When the login was answered.
    #[serde(with = "millis")]
    pub logged_in_at: SystemTime,
    /// When its token ends at the latest.
    #[serde(with = "millis")]
    pub deadline: SystemTime,
}

/// An anchor that has not ended, as far as the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Where it is.
    pub provider: ProviderName,
    /// Whose it is.
    pub incarnation: IncarnationId,
    /// The login it belongs to.
    pub epoch: SessionEpoch,
    /// Its token's accessor.
    pub accessor: Accessor,
    /// When its token ends unless it is renewed.
    #[serde(with = "millis")]
    pub deadline: SystemTime,
}

/// A call that may have created something that nobody has the lease of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Where it was to be issued.
    pub provider: ProviderName,
    /// Who asked.
    pub incarnation: IncarnationId,
    /// Its number there.
    pub id: IntentId,
    /// The credential asked for.
    pub credential: CredentialName,
    /// The consumer that it was asked for, where it is declared for each.
    pub consumer: Option<ConsumerName>,
    /// The generation that it was to become.
    pub generation: GenerationNumber,
    /// The accessor of the anchor or session that asked.
    pub holder: Accessor,
    /// When it was written.
    #[serde(with = "millis")]
    pub at: SystemTime,
    /// What is known of its outcome.
    pub state: IntentState,
}

/// What is known of an intent's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Nothing yet; of a former incarnation: nothing ever, so that it may have leaked as well.
    Open,
    /// The provider failed after it may have issued.
    MaybeLeaked,
}

/// A lease that has not ended, as far as the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Where it is held.
    pub provider: ProviderName,
    /// Who holds it.
    pub incarnation: IncarnationId,
    /// What the provider calls it.
    pub lease_id: LeaseId,
    /// The credential it is held for.
    pub credential: CredentialName,
    /// The consumer, where the credential is declared for each.
    pub consumer: Option<ConsumerName>,
    /// The generation it is held for.
    pub generation: GenerationNumber,
    /// The accessor of the anchor or session that it dies with.
    pub holder: Accessor,
    /// When it ends unless it is renewed.
    #[serde(with = "millis")]
    pub deadline: SystemTime,
    /// What is to become of it.
    pub state: LeaseState,
}

/// What is to become of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// It is in service, or about to be.
    Held,
    /// It serves no longer and is to be revoked.
    Retired,
    /// The provider would not revoke it.
    Irrevocable,
}

/// Counts what is in the ledger no more, for one provider and since the file was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Leases whose revocation the provider confirmed.
    pub leases_revoked: u64,
    /// Leases that ran out, or were found gone, before that.
    pub leases_expiry_claimed: u64,
    /// Intents that certainly became nothing.
    pub intents_failed: u64,
    /// Intents without a known lease whose holder has ended.
    pub intents_collected: u64,
    /// Anchors whose revocation the provider confirmed.
    pub anchors_revoked: u64,
    /// Anchors that ran out or were found gone.
    pub anchors_lost: u64,
    /// Sessions that have ended.
    pub sessions_ended: u64,
    /// Events that named nothing in the ledger, and so changed nothing.
    pub unmatched: u64,
}

/// Times as milliseconds since 1970, which neither a time zone nor a leap second is a part of.
mod millis {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let since = Duration::from_millis(u64::deserialize(deserializer)?);
        UNIX_EPOCH
            .checked_add(since)
            .ok_or_else(|| serde::de::Error::custom("not a time"))
    }
}
