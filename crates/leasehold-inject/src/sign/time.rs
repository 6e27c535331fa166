//! Writes times as signatures have them.

use std::time::{SystemTime, UNIX_EPOCH};

use leasehold_model::TimeForm;
use time::OffsetDateTime;

pub(super) fn written(form: TimeForm, now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = OffsetDateTime::from(now);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    match form {
        TimeForm::Unix => since.as_secs().to_string(),
        TimeForm::UnixMillis => since.as_millis().to_string(),
        TimeForm::HttpDate => httpdate::fmt_http_date(now),
        TimeForm::Basic => {
            format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
        }
        TimeForm::Rfc3339 => {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
    }
}

/// Reads a time in the one form of RFC 9110 §5.6.7 that is sent.
#[must_use]
pub fn http_date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let at = httpdate::parse_http_date(text).ok()?;
    // The older forms, and days that a month has not, are written otherwise.
    let written = httpdate::fmt_http_date(at);
    (written.get(WEEKDAY..) == text.get(WEEKDAY..)).then_some(at)
}

/// Where the day stands behind the weekday, which nothing depends on.
const WEEKDAY: usize = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_in_each_form() {
        // The example of RFC 9110, section 5.6.7.
        let at = UNIX_EPOCH + Duration::from_millis(784_111_777_250);
        for (form, text) in [
            (TimeForm::Unix, "784111777"),
            (TimeForm::UnixMillis, "784111777250"),
            (TimeForm::Rfc3339, "1994-11-06T08:49:37Z"),
            (TimeForm::Basic, "19941106T084937Z"),
            (TimeForm::HttpDate, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert_eq!(written(form, at), text, "{form:?}");
        }
    }

    #[test]
    fn a_date_is_read_as_it_is_written_and_nothing_else_is() {
        for seconds in [0, 784_111_777, 951_782_399, 951_782_400, 4_102_444_799] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            let text = written(TimeForm::HttpDate, at);
            assert_eq!(http_date(text.as_bytes()), Some(at), "{text}");
        }
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1931 08:49:37 GMT",
            "Sun, 06 Nov 999999999999 08:49:37 GMT",
            "784111777",
        ] {
            assert_eq!(http_date(text.as_bytes()), None, "{text}");
        }
        assert_eq!(http_date(&[0xff]), None);
    }
}
