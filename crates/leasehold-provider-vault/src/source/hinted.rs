//! A stored value whose versions nobody counts: KV version 1.

use std::time::Duration;

use leasehold_provider::{Fetched, Holding, ProviderError};

use crate::answer;
use crate::call::Call;
use crate::client::Answer;
use crate::envelope::Fields;
use crate::refusal::{lost, misconfigured, unreadable};

/// Reads a value with the server's suggestion how soon to read it again.
pub(super) fn read(call: &Call, answer: &Answer) -> Result<Fetched, ProviderError> {
    let envelope = answer::open(call, answer)?;
    let data = envelope.data;
    let data = data.ok_or_else(|| lost(call, "the answer holds no fields"))?;
    let fields = Fields::parse(data).map_err(|error| unreadable(call, error))?;
    // Version 2 answers with two objects: the value, and what is known about its version.
    if fields.left_out == ["data", "metadata"] && fields.material.names().next().is_none() {
        let detail = "the value is one of KV version 2: declare it with kv, without `data/`";
        return Err(misconfigured(call, detail));
    }
    let holding = Holding::Hinted {
        refresh: Duration::from_secs(envelope.lease_duration),
    };
    Ok(answer::from_fields(&envelope, fields, holding))
}
