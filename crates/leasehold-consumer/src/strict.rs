//! JSON objects in which no name stands twice: two readers may take different ones of the values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object without a name that stands twice at its top.
pub(crate) struct Strict(pub(crate) Map<String, Value>);

impl Strict {
    /// Reads one from bytes that hold nothing else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Returns the text of that name. `Err` where something else than text is there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, NotText> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(NotText),
        }
    }
}

/// What is there is no text.
pub(crate) struct NotText;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
                let mut read = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if read.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Strict(read))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
