use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares one name type a noun, so that a route can never be passed where an upstream is meant.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as written in the configuration.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self::from(text.as_str()))
            }
        }
    )+};
}

names! {
    /// Identifies a login or an anchor at its provider, where it can be looked up, renewed and revoked by
    /// it, and not used. Vault calls it so too.
    Accessor,
    /// Names the authenticated caller.
    ConsumerName,
    /// Names what an upstream is shown.
    CredentialName,
    /// Names one gateway process.
    InstanceName,
    /// Names somebody who issues tokens to consumers.
    IssuerName,
    /// Names a rule for how much callers may ask for.
    LimitName,
    /// Names an address that the gateway accepts requests on.
    ListenerName,
    /// Names a system that keeps or issues credentials.
    ProviderName,
    /// Names a rule that sends requests to an upstream.
    RouteName,
    /// Names a service that requests are forwarded to.
    UpstreamName,
    /// Identifies a lease at its provider. Not a secret: it stands in clear in the provider's own
    /// audit log.
    LeaseId,
    /// Identifies one call at the provider, in its answer and in its audit log.
    RequestId,
}
