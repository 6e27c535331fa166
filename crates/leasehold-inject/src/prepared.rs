use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Identity, Scanner, UnknownInjection, strip};

/// Says which of the injections that a generation was prepared for is meant, from 0, in the order
/// that [`crate::prepare`] was given them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InjectionIndex(pub usize);

/// One generation's material as ready header values.
///
/// The values are wiped when this and the last request that points at them are dropped. `Debug`
/// shows the headers' names and no value.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) places: Vec<Place>,
}

impl Prepared {
    /// Returns the header that an injection places the credential in, where it is one.
    ///
    /// # Errors
    ///
    /// When the generation was not prepared for this injection.
    pub fn header(&self, index: InjectionIndex) -> Result<Option<&HeaderName>, UnknownInjection> {
        Ok(match self.place(index)? {
            Place::Header { name, .. } => Some(name),
            Place::Identity(_) | Place::Reflection(_) => None,
        })
    }

    /// Returns what the gateway is to prove to be at the TLS handshake, where the injection is that.
    #[must_use]
    pub fn identity(&self, index: InjectionIndex) -> Option<&Identity> {
        match self.place(index) {
            Ok(Place::Identity(identity)) => Some(identity),
            Ok(Place::Header { .. } | Place::Reflection(_)) | Err(_) => None,
        }
    }

    /// Returns what finds the generation in answers, where the injection is that.
    #[must_use]
    pub fn scanner(&self, index: InjectionIndex) -> Option<&Arc<Scanner>> {
        match self.place(index) {
            Ok(Place::Reflection(scanner)) => Some(scanner),
            Ok(Place::Header { .. } | Place::Identity(_)) | Err(_) => None,
        }
    }

    /// Strips what the consumer sent at the injection's place and puts the credential there.
    ///
    /// May be repeated on the same head, for a retry with another generation.
    ///
    /// # Errors
    ///
    /// When the generation was not prepared for this injection; the head is then as it was, and must
    /// not be sent.
    pub fn apply(
        &self,
        index: InjectionIndex,
        headers: &mut HeaderMap,
    ) -> Result<(), UnknownInjection> {
        if let Place::Header { name, value } = self.place(index)? {
            strip(name, headers);
            // Both clones count a reference: the value's bytes exist once a generation.
            headers.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Returns everything that finds the generation in answers.
    pub fn scanners(&self) -> impl Iterator<Item = &Arc<Scanner>> {
        self.places.iter().filter_map(|place| match place {
            Place::Reflection(scanner) => Some(scanner),
            Place::Header { .. } | Place::Identity(_) => None,
        })
    }

    fn place(&self, index: InjectionIndex) -> Result<&Place, UnknownInjection> {
        self.places.get(index.0).ok_or(UnknownInjection(index))
    }
}

/// Where one generation goes.
#[derive(Debug)]
pub(crate) enum Place {
    /// A header with its ready value, which is marked sensitive: `http` prints it as `Sensitive`.
    Header {
        name: HeaderName,
        value: HeaderValue,
    },
    /// The TLS handshake.
    Identity(Identity),
    /// Answers, where it must not be.
    Reflection(Arc<Scanner>),
}
