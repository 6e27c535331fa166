use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use leasehold_model::{
    Fingerprint, IssuerName, LeaseId, Provenance, ProviderName, ReasonCode, RequestId,
};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use crate::{AccessRecord, ShownCredential, TraceId};

/// Adds the record to the buffer as one JSON object on a line of its own.
///
/// Every line has every key, so that a reader can tell an absent value from an unknown key; but for the
/// two that say what hardly ever happens, `reflected` and `other_credentials`.
///
/// # Errors
///
/// When the record can't be written as JSON; the buffer is then as it was.
pub(crate) fn append(record: &AccessRecord, buffer: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = buffer.len();
    let result = serde_json::to_writer(&mut *buffer, &Line::of(record));
    match result {
        Ok(()) => buffer.push(b'\n'),
        Err(_) => buffer.truncate(start),
    }
    result
}

/// The keys and their order, which readers outside depend on.
#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    listener: &'a str,
    client: Option<SocketAddr>,
    method: &'a str,
    path: &'a str,
    consumer: Option<&'a str>,
    authenticated_by: Option<&'static str>,
    issuer: Option<&'a IssuerName>,
    token_id: Option<&'a str>,
    route: Option<&'a str>,
    upstream: Option<&'a str>,
    endpoint: Option<&'a str>,
    status: Option<u16>,
    reason: Option<ReasonCode>,
    limit: Option<&'a str>,
    credential: Option<&'a str>,
    generation: Option<u64>,
    retried_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reflected: Option<&'static str>,
    provider: Option<&'a ProviderName>,
    provider_request_id: Option<&'a RequestId>,
    lease_id: Option<&'a LeaseId>,
    version: Option<u64>,
    fingerprint: Option<Fingerprint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_credentials: Vec<Other<'a>>,
    gateway_us: u64,
    upstream_us: Option<u64>,
    request_bytes: u64,
    response_bytes: u64,
    trace_id: TraceId,
}

impl<'a> Line<'a> {
    fn of(record: &'a AccessRecord) -> Self {
        let provenance: Option<&Provenance> = record.provenance.as_ref();
        Self {
            time: Timestamp(record.time),
            listener: record.listener.as_str(),
            client: record.client,
            method: &record.method,
            path: &record.path,
            consumer: record.consumer.as_ref().map(|name| name.as_str()),
            authenticated_by: record.authenticated_by,
            issuer: record.issuer.as_ref(),
            token_id: record.token_id.as_deref(),
            route: record.route.as_ref().map(|name| name.as_str()),
            upstream: record.upstream.as_ref().map(|name| name.as_str()),
            endpoint: record.endpoint.as_deref(),
            status: record.status,
            reason: record.reason,
            limit: record.limit.as_ref().map(|name| name.as_str()),
            credential: record.credential.as_ref().map(|name| name.as_str()),
            generation: record.generation.map(|number| number.get()),
            retried_after: record.retried_after.map(|number| number.get()),
            reflected: record.reflected,
            provider: provenance.map(|it| &it.provider),
            provider_request_id: provenance.and_then(|it| it.request_id.as_ref()),
            lease_id: provenance.and_then(|it| it.lease_id.as_ref()),
            version: provenance.and_then(|it| it.version),
            fingerprint: provenance.map(|it| it.fingerprint),
            other_credentials: record.other_credentials.iter().map(Other::of).collect(),
            gateway_us: micros(record.gateway_time),
            upstream_us: record.upstream_time.map(micros),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
            trace_id: record.trace_id,
        }
    }
}

/// A credential beside the first, with the same keys as that has.
#[derive(Serialize)]
struct Other<'a> {
    credential: &'a str,
    generation: Option<u64>,
    retried_after: Option<u64>,
    provider: Option<&'a ProviderName>,
    provider_request_id: Option<&'a RequestId>,
    lease_id: Option<&'a LeaseId>,
    version: Option<u64>,
    fingerprint: Option<Fingerprint>,
}

impl<'a> Other<'a> {
    fn of(shown: &'a ShownCredential) -> Self {
        let provenance = shown.provenance.as_ref();
        Self {
            credential: shown.credential.as_str(),
            generation: shown.generation.map(|number| number.get()),
            retried_after: shown.retried_after.map(|number| number.get()),
            provider: provenance.map(|it| &it.provider),
            provider_request_id: provenance.and_then(|it| it.request_id.as_ref()),
            lease_id: provenance.and_then(|it| it.lease_id.as_ref()),
            version: provenance.and_then(|it| it.version),
            fingerprint: provenance.map(|it| it.fingerprint),
        }
    }
}

/// A time in RFC 3339, in UTC, with six digits of a second.
struct Timestamp(SystemTime);

impl Timestamp {
    /// Returns it as text: not by way of a formatter, which takes several times as long.
    fn text(&self) -> [u8; LENGTH] {
        let since_epoch = self.0.duration_since(SystemTime::UNIX_EPOCH);
        // A clock before 1970 or past the year 9999 is broken: no better date can be told.
        let time = i128::try_from(since_epoch.unwrap_or_default().as_nanos())
            .ok()
            .and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second, micro) = time.to_hms_micro();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (place, number) in [
            (0..4, year.unsigned_abs()),
            (5..7, u8::from(month).into()),
            (8..10, day.into()),
            (11..13, hour.into()),
            (14..16, minute.into()),
            (17..19, second.into()),
            (20..26, micro),
        ] {
            write_digits(number, text.get_mut(place).unwrap_or_default());
        }
        text
    }
}

/// Writes a number in as many digits as there is room for.
fn write_digits(number: u32, room: &mut [u8]) {
    let mut rest = number;
    for place in room.iter_mut().rev() {
        // Less than ten.
        *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

const LENGTH: usize = "0000-00-00T00:00:00.000000Z".len();

#[cfg(test)]
mod tests {
    use leasehold_model::GenerationNumber;

    use super::*;

    #[test]
    fn a_line_holds_what_joins_it_with_the_providers_log() {
        let mut record = empty();
        record.client = Some(([192, 0, 2, 1], 50_000).into());
        record.consumer = Some("checkout".into());
        record.status = Some(200);
        record.credential = Some("orders-db".into());
        record.generation = Some(GenerationNumber::FIRST.next());
        record.retried_after = Some(GenerationNumber::FIRST);
        record.provenance = Some(Provenance {
            provider: "vault".into(),
            request_id: Some("r-1".into()),
            lease_id: Some("database/creds/orders/l-1".into()),
            version: None,
            fingerprint: Fingerprint::new([0xab; 16]),
        });
        record.gateway_time = Duration::from_nanos(21_999);
        record.upstream_time = Some(Duration::from_millis(3));
        assert_eq!(
            text(&record),
            concat!(
                r#"{"time":"2025-01-02T03:04:05.000678Z","listener":"public","client":"192.0.2.1:50000","method":"GET","path":"/a","#,
                r#""consumer":"checkout","authenticated_by":null,"issuer":null,"token_id":null,"route":null,"upstream":null,"endpoint":null,"status":200,"#,
                r#""reason":null,"limit":null,"credential":"orders-db","generation":2,"retried_after":1,"provider":"vault","#,
                r#""provider_request_id":"r-1","lease_id":"database/creds/orders/l-1","version":null,"#,
                r#""fingerprint":"abababababababababababababababab","gateway_us":21,"upstream_us":3000,"#,
                r#""request_bytes":0,"response_bytes":0,"#,
                r#""trace_id":"00000000000000000000000000000001"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_shown_beside_the_first_is_named_in_the_same_line() {
        let mut record = empty();
        assert!(!text(&record).contains("other_credentials"));
        record.credential = Some("certificate".into());
        let mut other = ShownCredential::named("key".into());
        other.generation = Some(GenerationNumber::FIRST);
        record.other_credentials = vec![other, ShownCredential::named("missing".into())];
        let json: serde_json::Value = serde_json::from_str(&text(&record)).expect("JSON");
        let others = &json["other_credentials"];
        assert_eq!(others[0]["credential"], "key");
        assert_eq!(others[0]["generation"], 1);
        assert_eq!(others[1]["credential"], "missing");
        assert!(others[1]["generation"].is_null());
        assert_eq!(json["credential"], "certificate");
    }

    #[test]
    fn what_a_consumer_sends_can_not_break_the_line() {
        let mut record = empty();
        record.path = "/a\n{\"forged\":1}\u{2028}\"".to_owned();
        let text = text(&record);
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["path"], record.path);
    }

    #[test]
    fn a_time_that_can_not_be_told_is_the_epoch() {
        let mut record = empty();
        for time in [
            SystemTime::UNIX_EPOCH - Duration::from_secs(1),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40),
        ] {
            record.time = time;
            assert!(text(&record).contains("1970-01-01T00:00:00.000000Z"));
        }
    }

    fn empty() -> AccessRecord {
        // 2025-01-02T03:04:05 UTC, and 678 µs.
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_735_787_045_000_678);
        let trace_id = TraceId::new(1).expect("not zero");
        AccessRecord::begin(time, "public".into(), "GET", "/a", trace_id)
    }

    fn text(record: &AccessRecord) -> String {
        let mut buffer = Vec::new();
        append(record, &mut buffer).expect("a line");
        String::from_utf8(buffer).expect("UTF-8")
    }
}
