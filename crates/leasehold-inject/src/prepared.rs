use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{UnknownInjection, strip};

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
    /// Returns the header that an injection places the credential in.
    ///
    /// # Errors
    ///
    /// When the generation was not prepared for this injection.
    pub fn header(&self, index: InjectionIndex) -> Result<&HeaderName, UnknownInjection> {
        Ok(&self.place(index)?.name)
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
        let place = self.place(index)?;
        strip(&place.name, headers);
        // Both clones count a reference: the value's bytes exist once a generation.
        headers.insert(place.name.clone(), place.value.clone());
        Ok(())
    }

    fn place(&self, index: InjectionIndex) -> Result<&Place, UnknownInjection> {
        self.places.get(index.0).ok_or(UnknownInjection(index))
    }
}

/// A header with its ready value, which is marked sensitive: `http` prints it as `Sensitive`.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}
