//! Tokens that are signed: what says to the provider's room what is to be signed, and what watches the
//! keys of the native provider.

use std::sync::Arc;
use std::time::Duration;

use leasehold_broker::{CredentialSpec, Draft, Handle};
use leasehold_config::{Credential, Source};
use leasehold_inject::Prepared;
use leasehold_lease::Kind;
use leasehold_model::{CredentialName, JwtKey, JwtTerms};

/// What the provider is asked to sign, and with what.
pub(super) fn source(declared: &JwtKey, terms: &Arc<JwtTerms>) -> leasehold_provider::Source {
    leasehold_provider::Source::Minted {
        key: declared.clone(),
        terms: Arc::clone(terms),
        consumer: None,
    }
}

/// Has the key of a token looked at, where it is a stored value: the token is replaced as soon as the key
/// is, and serves no longer than it.
///
/// Nothing of the key is kept: what is held of it is which version there is.
pub(super) fn watch(
    credential: &Credential,
    draft: &mut Draft<Prepared>,
) -> Option<Handle<Prepared>> {
    let Source::Minted {
        key: JwtKey::Stored { path, .. },
        ..
    } = &credential.source
    else {
        return None;
    };
    Some(draft.credential(CredentialSpec {
        // No declared name has a slash, so it is nobody else's.
        name: CredentialName::from(format!("{}/key", credential.name).as_str()),
        provider: credential.provider.clone(),
        source: leasehold_provider::Source::Versioned {
            mount: String::new(),
            path: path.clone(),
        },
        kind: Kind::Versioned {
            poll: POLL,
            max_stale: MAX_STALE,
        },
        prepare: Box::new(|material| Ok(leasehold_inject::prepare(&[], material)?)),
    }))
}

/// As stored values of the native provider are looked at by default.
const POLL: Duration = Duration::from_secs(1);
const MAX_STALE: Duration = Duration::from_secs(60 * 60);
