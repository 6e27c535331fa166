use std::slice;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use leasehold_provider::Material;

use crate::cookie::{self, Cookie};
use crate::query::Query;
use crate::{Identity, Scanner, Signer, TargetError, UnknownInjection, strip};

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
    /// Returns the headers that an injection places the credential in; none where its place is elsewhere.
    ///
    /// # Errors
    ///
    /// When the generation was not prepared for this injection.
    pub fn headers(&self, index: InjectionIndex) -> Result<&[HeaderName], UnknownInjection> {
        Ok(match self.place(index)? {
            Place::Header { name, .. } => slice::from_ref(name),
            Place::Cookie(_) => slice::from_ref(&cookie::HEADER),
            Place::Signer(signer) => signer.places(),
            Place::Query(_) | Place::Identity(_) | Place::Kept(_) | Place::Reflection(_) => &[],
        })
    }

    /// Returns what the gateway is to prove to be at the TLS handshake, where the injection is that.
    #[must_use]
    pub fn identity(&self, index: InjectionIndex) -> Option<&Identity> {
        match self.place(index) {
            Ok(Place::Identity(identity)) => Some(identity),
            _ => None,
        }
    }

    /// Returns what signs each request when all else of it is settled, where the injection is that.
    #[must_use]
    pub fn signer(&self, index: InjectionIndex) -> Option<&Signer> {
        match self.place(index) {
            Ok(Place::Signer(signer)) => Some(signer),
            _ => None,
        }
    }

    /// Returns the fields that were kept for a provider, where the injection is that.
    #[must_use]
    pub fn kept(&self, index: InjectionIndex) -> Option<&Material> {
        match self.place(index) {
            Ok(Place::Kept(material)) => Some(material),
            _ => None,
        }
    }

    /// Returns what finds the generation in answers, where the injection is that.
    #[must_use]
    pub fn scanner(&self, index: InjectionIndex) -> Option<&Arc<Scanner>> {
        match self.place(index) {
            Ok(Place::Reflection(scanner)) => Some(scanner),
            _ => None,
        }
    }

    /// Strips what the consumer sent at the injection's place among the headers and puts the credential
    /// there. Where the place is elsewhere, the headers stay as they are.
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
        match self.place(index)? {
            Place::Header { name, value } => {
                strip(name, headers);
                // Both clones count a reference: the value's bytes exist once a generation.
                headers.insert(name.clone(), value.clone());
            }
            Place::Cookie(cookie) => cookie.place(headers),
            Place::Signer(signer) => signer.strip(headers),
            Place::Query(_) | Place::Identity(_) | Place::Kept(_) | Place::Reflection(_) => {}
        }
        Ok(())
    }

    /// Returns the request's target with the credential in its query, where that is its place; what the
    /// consumer sent there is stripped. May be repeated as [`Self::apply`] may.
    ///
    /// # Errors
    ///
    /// When the generation was not prepared for this injection, and when the credential does not fit
    /// in; the request must not be sent.
    pub fn target(&self, index: InjectionIndex, sent: &Uri) -> Result<Option<Uri>, TargetError> {
        match self.place(index)? {
            Place::Query(query) => query.place(sent).map(Some),
            Place::Signer(signer) => signer.target(sent),
            _ => Ok(None),
        }
    }

    /// Returns everything that finds the generation in answers.
    pub fn scanners(&self) -> impl Iterator<Item = &Arc<Scanner>> {
        self.places.iter().filter_map(|place| match place {
            Place::Reflection(scanner) => Some(scanner),
            _ => None,
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
    /// A cookie.
    Cookie(Cookie),
    /// The query of the target.
    Query(Query),
    /// The TLS handshake.
    Identity(Identity),
    /// Headers that each request has its own of.
    Signer(Box<Signer>),
    /// Calls of the provider that asks with it.
    Kept(Material),
    /// Answers, where it must not be.
    Reflection(Arc<Scanner>),
}
