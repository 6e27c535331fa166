use bytes::Bytes;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// The body of a request in `application/x-www-form-urlencoded`, in a buffer that is wiped.
///
/// The buffer grows by moving into a larger one, and wipes the smaller one itself.
#[derive(Default)]
pub(crate) struct Form(Zeroizing<Vec<u8>>);

impl Form {
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        self.reserve(2 + (name.len() + value.len()) * LONGEST_ESCAPE);
        if !self.0.is_empty() {
            self.0.push(b'&');
        }
        encode(name.as_bytes(), &mut self.0);
        self.0.push(b'=');
        encode(value, &mut self.0);
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }

    fn reserve(&mut self, more: usize) {
        if self.0.capacity() - self.0.len() >= more {
            return;
        }
        let mut larger = Zeroizing::new(Vec::with_capacity(self.0.len() + more));
        larger.extend_from_slice(&self.0);
        self.0 = larger;
    }
}

/// Appends a value as a form holds it; the buffer has room for three times its length.
pub(crate) fn encode(value: &[u8], to: &mut Vec<u8>) {
    for part in byte_serialize(value) {
        to.extend_from_slice(part.as_bytes());
    }
}

/// A byte takes up three at most.
pub(crate) const LONGEST_ESCAPE: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_escaped_as_in_a_form() {
        let mut form = Form::default();
        form.add("scope", b"a b");
        form.add("s", "&=+\u{a3}".as_bytes());
        assert_eq!(&*form.into_bytes(), b"scope=a+b&s=%26%3D%2B%C2%A3");
    }
}
