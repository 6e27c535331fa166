//! Values that are written as text and mean something else.

use std::net::SocketAddr;
use std::time::Duration;

use super::Check;
use crate::code::Code;
use crate::document::{DurationText, SizeText};
use crate::node::Place;
use crate::words;

impl Check<'_> {
    /// Reads a duration, which lies within `least` and a year.
    pub(super) fn duration(
        &mut self,
        written: Option<&DurationText>,
        default: Duration,
        least: Duration,
        place: Place<'_>,
    ) -> Duration {
        let Some(DurationText(text)) = written else {
            return default;
        };
        let Some(duration) = duration(text) else {
            self.report.hide_unless_name(place.node());
            let message = "this is not a duration";
            let help = "write a whole number and its unit, `ms`, `s`, `m` or `h`, like `30s`";
            self.fault(Code::BadDuration, place, message, help);
            return default;
        };
        if !(least..=LONGEST).contains(&duration) {
            let message = format!("this must be from {least:?} to one year");
            self.fault(Code::OutOfRange, place, message, "");
        }
        duration
    }

    /// Reads a number of bytes, of which there is at least one.
    pub(super) fn size(&mut self, written: Option<&SizeText>, place: Place<'_>) -> Option<u64> {
        let SizeText(text) = written?;
        let size = size(text).filter(|size| *size > 0);
        if size.is_none() {
            self.report.hide_unless_name(place.node());
            let message = "this is not a number of bytes";
            let help =
                "write a whole number and its unit, `B`, `KiB`, `MiB` or `GiB`, like `64KiB`";
            self.fault(Code::BadSize, place, message, help);
        }
        size
    }

    /// Reads the name of a method.
    pub(super) fn method(&mut self, text: &str, place: Place<'_>) {
        let is_method = !text.is_empty()
            && text.len() <= LONGEST_METHOD
            && text
                .bytes()
                .all(|each| each.is_ascii_uppercase() || b"-_".contains(&each));
        if !is_method || matches!(text, "CONNECT" | "TRACE" | "TRACK") {
            self.report.hide_unless_name(place.node());
            let message = "this is not a method that is forwarded";
            let help = "write it in capitals, like `GET`; CONNECT, TRACE and TRACK never go on";
            self.fault(Code::BadMethod, place, message, help);
        }
    }

    /// Reads an IP address with a port.
    pub(super) fn address(&mut self, text: &str, place: Place<'_>) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.hide_unless_address(text, place);
            let message = "this is not an IP address with a port";
            let help = "write it like `0.0.0.0:8080`, `127.0.0.1:8080` or `[::]:8080`";
            self.fault(Code::BadAddress, place, message, help);
        }
        address
    }

    fn hide_unless_address(&mut self, text: &str, place: Place<'_>) {
        let unbracketed = text.replace([':', '[', ']', '*'], "");
        if !words::may_be_shown(&unbracketed) {
            self.report.hide(place.node());
        }
    }

    /// Reads the name of a header that the gateway may set or take.
    pub(super) fn header_name(&mut self, text: &str, place: Place<'_>) -> String {
        let name = text.to_ascii_lowercase();
        let is_token = !name.is_empty() && name.bytes().all(is_token_char);
        if !is_token {
            self.report.hide_unless_name(place.node());
            let help = "a header's name is letters, digits and `-`, without a colon";
            self.fault(Code::BadHeader, place, "this is not a header's name", help);
        } else if RESERVED.contains(&name.as_str()) {
            let message = format!("the header `{name}` belongs to the connection or the gateway");
            self.fault(Code::BadHeader, place, message, "choose another header");
        }
        name
    }

    /// Checks the name of a field of a credential.
    pub(super) fn field_name(&mut self, text: &str, place: Place<'_>) {
        // A field's name is plain words; anything else may be the value in the name's place.
        if !text
            .bytes()
            .all(|each| each.is_ascii_lowercase() || each == b'_')
        {
            self.report.hide(place.node());
        }
        if !words::is_name(text) && !text.starts_with('_') {
            let message = "this is not the name of a field";
            let help = "write the name that the field has at the provider, never its value";
            self.fault(Code::BadName, place, message, help);
        }
    }
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|each: char| !each.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok().filter(|number| *number <= MOST)?;
    match unit {
        "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        _ => None,
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|each: char| !each.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok().filter(|number| *number <= MOST)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

/// Tells whether a byte may stand in a header's name (RFC 9110, `token`).
const fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
}

/// The nine digits that the schema allows.
const MOST: u64 = 999_999_999;
const LONGEST_METHOD: usize = 32;
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Headers that say something about the connection, the framing or the trace of a request, in
/// small letters: a credential in one of them would be removed on the way or break the request.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        for (text, bytes) in [
            ("7B", 7),
            ("64KiB", 65_536),
            ("10MiB", 10 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "1",
            "KiB",
            "1.5KiB",
            "1 KiB",
            "1kb",
            "1K",
            "-1B",
            "9999999999B",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1d",
            "1S",
            "9999999999s",
            "+1s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
