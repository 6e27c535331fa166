use std::time::{Duration, SystemTime};

use leasehold_provider::Material;
use leasehold_secret::{Expose as _, Secret};
use zeroize::Zeroizing;

use crate::NativeError;
use crate::key::FileKey;

/// Identifies one file among all that were written under the same key.
pub(crate) type FileId = [u8; 16];

/// Where a record belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) file: FileId,
    pub(crate) path: &'a str,
    pub(crate) version: u64,
}

impl Place<'_> {
    /// Returns the error for a record that does not open here.
    pub(crate) fn damaged(self) -> NativeError {
        NativeError::Damaged {
            path: self.path.to_owned(),
            version: self.version,
        }
    }
}

/// One version of a path.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) modified: SystemTime,
    /// `None` where the path has been deleted.
    pub(crate) material: Option<Material>,
}

impl Record {
    /// Encrypts a record for its place: a state byte, the seconds since 1970, then the sealed
    /// fields. `None` makes the record of a deletion.
    pub(crate) fn seal(
        key: &FileKey,
        place: Place<'_>,
        modified: SystemTime,
        material: Option<&Material>,
    ) -> Result<Vec<u8>, NativeError> {
        let state = if material.is_some() { CURRENT } else { DELETED };
        // A clock before 1970 is no reason to refuse a credential.
        let seconds = modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let plaintext = material.map(encode).transpose()?.unwrap_or_default();
        let sealed = key.seal(&context(place, state, seconds), plaintext)?;
        let mut record = vec![state];
        record.extend_from_slice(&seconds.to_be_bytes());
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    /// Decrypts the record of a place.
    ///
    /// # Errors
    ///
    /// [`NativeError::Damaged`] when it is not, byte for byte, what was sealed for this place.
    pub(crate) fn open(
        key: &FileKey,
        place: Place<'_>,
        record: &[u8],
    ) -> Result<Self, NativeError> {
        Self::try_open(key, place, record).ok_or_else(|| place.damaged())
    }

    fn try_open(key: &FileKey, place: Place<'_>, record: &[u8]) -> Option<Self> {
        let (&state, record) = record.split_first()?;
        let (seconds, sealed) = record.split_first_chunk()?;
        let seconds = u64::from_be_bytes(*seconds);
        let plaintext = key.open(&context(place, state, seconds), sealed)?;
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        let material = match state {
            CURRENT => Some(decode(&plaintext)?),
            DELETED => None,
            _ => return None,
        };
        Some(Self { modified, material })
    }
}

/// Binds everything that stands in clear to the ciphertext. The path goes last, since it is the
/// only part whose length varies.
fn context(place: Place<'_>, state: u8, seconds: u64) -> Vec<u8> {
    [
        LABEL,
        place.file.as_slice(),
        &place.version.to_be_bytes(),
        &[state],
        &seconds.to_be_bytes(),
        place.path.as_bytes(),
    ]
    .concat()
}

/// Writes the fields one after the other, each name and each value after its length.
fn encode(material: &Material) -> Result<Zeroizing<Vec<u8>>, NativeError> {
    let length = check(material)?;
    // Reserved whole, so that the buffer does not grow and leave parts of values behind.
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    for (name, value) in fields(material) {
        push(&mut out, name.as_bytes())?;
        // EXPOSE: the value is encrypted; until then it stands in a buffer that is wiped.
        push(&mut out, &value.expose())?;
    }
    Ok(out)
}

fn decode(mut rest: &[u8]) -> Option<Material> {
    let mut material = Material::default();
    while !rest.is_empty() {
        let name = pull(&mut rest)?;
        let value = pull(&mut rest)?;
        material.insert(str::from_utf8(name).ok()?, Secret::new(value));
    }
    Some(material)
}

/// Returns the length that the fields have when encoded.
fn check(material: &Material) -> Result<usize, NativeError> {
    let bad = |detail| NativeError::BadFields { detail };
    let mut length: usize = 0;
    for (name, value) in fields(material) {
        if name.is_empty() {
            return Err(bad("a field has no name"));
        }
        // An empty value is a slip of the hand, and would go out as an empty header.
        if value.is_empty() {
            return Err(bad("a field has no value"));
        }
        // EXPOSE: only the length of the value is looked at.
        let value = value.expose().len();
        length = length.saturating_add(2 * PREFIX_LEN + name.len() + value);
    }
    match length {
        0 => Err(bad("it has no fields")),
        1..=LARGEST => Ok(length),
        _ => Err(bad("its fields are larger than 1 MiB together")),
    }
}

fn fields(material: &Material) -> impl Iterator<Item = (&str, &Secret)> {
    material
        .names()
        .filter_map(|name| Some((name, material.field(name)?)))
}

fn push(out: &mut Vec<u8>, part: &[u8]) -> Result<(), NativeError> {
    let length = u32::try_from(part.len())
        .ok()
        .ok_or(NativeError::BadFields {
            detail: "a field is too large",
        })?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part);
    Ok(())
}

fn pull<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<PREFIX_LEN>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (part, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    Some(part)
}

const LABEL: &[u8] = b"leasehold native 1 record\0";
const CURRENT: u8 = 1;
const DELETED: u8 = 2;
const PREFIX_LEN: usize = 4;
const LARGEST: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place {
        file: [7; 16],
        path: "payments/api",
        version: 3,
    };

    fn key() -> FileKey {
        let dir = tempfile::tempdir().expect("a temporary directory");
        FileKey::load_or_create(&dir.path().join("key")).expect("a key")
    }

    fn material(fields: &[(&str, &[u8])]) -> Material {
        let mut material = Material::default();
        for (name, value) in fields {
            material.insert(*name, Secret::new(*value));
        }
        material
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let key = key();
        let fields = material(&[("password", b"\x00\xff\n"), ("username", b"orders")]);
        let sealed = Record::seal(&key, HERE, at(1_700_000_000), Some(&fields)).expect("sealed");
        let record = Record::open(&key, HERE, &sealed).expect("opened");
        assert_eq!(record.modified, at(1_700_000_000));
        let fields = record.material.expect("not deleted");
        assert_eq!(fields.names().collect::<Vec<_>>(), ["password", "username"]);
        let password = fields.field("password").expect("the field");
        // EXPOSE: a test looks at its own value.
        assert_eq!(&*password.expose(), b"\x00\xff\n");
    }

    #[test]
    fn a_record_opens_in_its_own_place_only() {
        let key = key();
        let fields = material(&[("key", b"canary")]);
        let sealed = Record::seal(&key, HERE, at(1), Some(&fields)).expect("sealed");
        let elsewhere = [
            Place {
                file: [8; 16],
                ..HERE
            },
            Place {
                path: "payments/apis",
                ..HERE
            },
            Place { version: 2, ..HERE },
        ];
        for place in elsewhere {
            let error = Record::open(&key, place, &sealed).expect_err("another place");
            assert_eq!(
                error.to_string(),
                format!("record {} version {} is damaged", place.path, place.version)
            );
        }
    }

    #[test]
    fn no_byte_of_a_record_can_be_changed_or_cut_off() {
        let key = key();
        let fields = material(&[("key", b"canary")]);
        for fields in [Some(&fields), None] {
            let sealed = Record::seal(&key, HERE, at(1), fields).expect("sealed");
            for byte in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[byte] ^= 3;
                Record::open(&key, HERE, &changed).expect_err("a changed byte");
                Record::open(&key, HERE, &sealed[..byte]).expect_err("a part of the record");
            }
        }
    }

    #[test]
    fn fields_that_would_not_make_a_credential_are_refused() {
        let large = vec![b'x'; LARGEST];
        for fields in [
            material(&[]),
            material(&[("", b"value")]),
            material(&[("key", b"")]),
            material(&[("key", &large)]),
        ] {
            assert!(matches!(
                Record::seal(&key(), HERE, at(1), Some(&fields)),
                Err(NativeError::BadFields { .. })
            ));
        }
    }

    #[test]
    fn a_plaintext_that_does_not_add_up_is_not_decoded() {
        for text in [
            &b"\0\0\0\x09ab"[..],
            b"\0\0\0",
            b"\0\0\0\x01a",
            b"\0\0\0\x01\xff\0\0\0\0",
        ] {
            assert!(decode(text).is_none(), "{text:?}");
        }
    }
}
