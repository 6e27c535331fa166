use std::fmt;

use serde::{Serialize, Serializer};

/// The id of a trace, as W3C Trace Context defines it: 16 bytes, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// Makes an id of a random number; `None` for zero, which stands for no id.
    #[must_use]
    pub const fn new(number: u128) -> Option<Self> {
        match number {
            0 => None,
            number => Some(Self(number)),
        }
    }

    /// Reads an id as it stands in a `traceparent` header: 32 hex digits in lower case, not all zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let well_formed = text.len() == 32 && text.bytes().all(digit);
        if !well_formed {
            return None;
        }
        u128::from_str_radix(text, 16).ok().and_then(Self::new)
    }

    /// Returns the id as a number.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }

    /// Returns the 63 bits of it that samplers go by.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(crate) const fn random(self) -> u64 {
        (self.0 as u64) >> 1
    }
}

impl TraceId {
    /// Returns the id's 32 hex digits.
    #[must_use]
    pub fn digits(&self) -> [u8; 32] {
        // Each request writes its id twice: not by way of a formatter, which takes several times as long.
        let bytes = self.0.to_be_bytes();
        std::array::from_fn(|place| {
            let byte = bytes.get(place / 2).copied().unwrap_or_default();
            let half = if place % 2 == 0 {
                byte >> 4
            } else {
                byte & 0xf
            };
            digit(half)
        })
    }
}

/// Returns the digit of a number below 16.
const fn digit(number: u8) -> u8 {
    match number {
        0..=9 => b'0' + number,
        _ => b'a' + (number - 10),
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_it_was_read() {
        let text = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(
            TraceId::parse(text).map(|id| id.to_string()).as_deref(),
            Some(text)
        );
        let small = TraceId::new(1).map(|id| id.to_string());
        assert_eq!(small.as_deref(), Some("00000000000000000000000000000001"));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "00000000000000000000000000000000",
            "0AF7651916CD43DD8448EB211C80319C",
            "0af7651916cd43dd8448eb211c80319",
            "+af7651916cd43dd8448eb211c80319c",
            "0af7651916cd43dd8448eb211c80319g",
        ] {
            assert_eq!(TraceId::parse(text), None, "{text}");
        }
        assert_eq!(TraceId::new(0), None);
    }
}
