use leasehold_model::ConsumerName;

/// Somebody who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The name in access records.
    pub name: ConsumerName,
    /// The SHA-256 of each key; none belongs to two consumers.
    pub keys: Vec<[u8; 32]>,
}
