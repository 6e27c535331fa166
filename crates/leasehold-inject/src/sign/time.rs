//! Writes times as signatures have them.

use std::time::{SystemTime, UNIX_EPOCH};

use leasehold_model::TimeForm;
use time::{Date, Month, OffsetDateTime, Time};

pub(super) fn written(form: TimeForm, now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    match form {
        TimeForm::Unix => return since.as_secs().to_string(),
        TimeForm::UnixMillis => return since.as_millis().to_string(),
        TimeForm::Rfc3339 | TimeForm::Basic | TimeForm::HttpDate => {}
    }
    let at = OffsetDateTime::from(now);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    match form {
        TimeForm::Basic => {
            format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
        }
        TimeForm::HttpDate => {
            let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
            let short = |word: &str| word.chars().take(3).collect::<String>();
            let (weekday, month) = (short(&weekday), short(&month));
            format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
        }
        TimeForm::Rfc3339 | TimeForm::Unix | TimeForm::UnixMillis => {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
    }
}

/// Reads a time in the one form of RFC 9110 §5.6.7 that is sent.
#[must_use]
pub fn http_date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let (_weekday, rest) = text.split_once(", ")?;
    let words: Vec<_> = rest.split(' ').collect();
    let [day, month, year, clock, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|it| it == month)?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let date = Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    let parts: Vec<_> = clock.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else {
        return None;
    };
    let time = Time::from_hms(
        hour.parse().ok()?,
        minute.parse().ok()?,
        second.parse().ok()?,
    );
    let at = date.with_time(time.ok()?).assume_utc();
    (at.unix_timestamp() >= 0).then(|| at.into())
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

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
