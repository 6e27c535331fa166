use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_audit::{Sampling, Span, SpanId, TraceId};

/// A request's place in a W3C trace: taken from its head, or begun here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    id: TraceId,
    /// The gateway's own part of it.
    span: SpanId,
    parent: Option<SpanId>,
    flags: u8,
}

impl Trace {
    /// Takes up the trace that a head names, or begins one where it names none or names it wrongly.
    pub(crate) fn of(headers: &HeaderMap, sampling: Sampling) -> Self {
        let mut named = headers.get_all(TRACEPARENT).iter();
        match (named.next(), named.next()) {
            (Some(one), None) => one
                .to_str()
                .ok()
                .and_then(parse)
                .unwrap_or_else(|| Self::begin(sampling)),
            _ => Self::begin(sampling),
        }
    }

    /// Begins a trace.
    pub(crate) fn begin(sampling: Sampling) -> Self {
        let id = random_id();
        let flags = if sampling.takes(id) { SAMPLED } else { 0 };
        Self {
            id,
            span: random_span(),
            parent: None,
            flags: flags | RANDOM,
        }
    }

    /// Returns the trace's id.
    pub(crate) const fn id(&self) -> TraceId {
        self.id
    }

    /// Returns the gateway's place in it.
    pub(crate) const fn span(&self) -> Span {
        Span {
            id: self.span,
            parent: self.parent,
            sampled: self.flags & SAMPLED != 0,
        }
    }

    /// Writes the header's value: not by way of a formatter, since each request does this.
    fn text(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (_version, rest) = text.split_at_mut(3);
        let (id, rest) = rest.split_at_mut(33);
        let (of_parent, flags) = rest.split_at_mut(17);
        for (place, digit) in id.iter_mut().zip(self.id.digits()) {
            *place = digit;
        }
        write_hex(&self.span.number().to_be_bytes(), of_parent);
        write_hex(&[self.flags], flags);
        text
    }

    /// Names the trace in the head that goes on, with the gateway as the parent.
    pub(crate) fn pass_on(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_bytes(&self.text()) {
            headers.insert(TRACEPARENT, value);
        }
        if self.parent.is_none() {
            // What vendors noted belongs to a trace that could not be read.
            headers.remove(TRACESTATE);
        }
    }
}

/// Writes bytes as hexadecimal digits, as many as there is room for.
fn write_hex(bytes: &[u8], room: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(room.chunks_exact_mut(2)) {
        let halves = [byte >> 4, byte & 0xf];
        for (half, place) in halves.into_iter().zip(pair) {
            *place = if half < 10 {
                b'0' + half
            } else {
                b'a' + half - 10
            };
        }
    }
}

/// Reads a `traceparent` as W3C Trace Context has it: of a version that is not known, only the
/// beginning that all versions share.
fn parse(text: &str) -> Option<Trace> {
    let version = hex_byte(text.get(..2)?)?;
    let (fields, rest) = text.get(2..)?.split_at_checked(LENGTH - 2)?;
    let longer = version != 0 && rest.starts_with('-');
    if version == 0xff || !(rest.is_empty() || longer) {
        return None;
    }
    let mut parts = fields.split('-');
    // What the fields begin with: a dash, and nothing before it.
    parts.next().filter(|it| it.is_empty())?;
    let id = TraceId::parse(parts.next()?)?;
    let parent = parts.next().filter(|it| it.len() == 16)?;
    let parent = SpanId::new(hex(parent)?)?;
    let flags = hex_byte(parts.next()?)?;
    if parts.next().is_some() {
        return None;
    }
    Some(Trace {
        id,
        span: random_span(),
        parent: Some(parent),
        flags: flags & (SAMPLED | RANDOM),
    })
}

fn hex_byte(text: &str) -> Option<u8> {
    let value = (text.len() == 2).then(|| hex(text))??;
    u8::try_from(value).ok()
}

/// Reads hexadecimal digits in lower case, which are the only ones allowed.
fn hex(text: &str) -> Option<u64> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let well_formed = text.bytes().all(digit);
    well_formed.then(|| u64::from_str_radix(text, 16).ok())?
}

fn random_id() -> TraceId {
    loop {
        // Zero stands for no id: one draw in 2^128 is made again.
        if let Some(id) = TraceId::new(fastrand::u128(..)) {
            return id;
        }
    }
}

fn random_span() -> SpanId {
    loop {
        if let Some(id) = SpanId::new(fastrand::u64(..)) {
            return id;
        }
    }
}

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The length of version 00, and the least length of the others.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_up_and_passed_on_with_a_new_parent() {
        let mut headers = head(&[("traceparent", PARENT), ("tracestate", "v=1")]);
        let trace = Trace::of(&headers, Sampling::ALL);
        assert_eq!(trace.id().to_string(), ID);
        trace.pass_on(&mut headers);
        let passed = headers[&TRACEPARENT].to_str().expect("text");
        let read = parse(passed).expect("well formed");
        let span = trace.span();
        assert_eq!((read.id(), read.parent), (trace.id(), Some(span.id)));
        assert_eq!(span.parent.map(SpanId::number), Some(0xb7ad_6b71_6920_3331));
        assert!(span.sampled && Some(span.id) != span.parent);
        assert!(passed.ends_with("-01"));
        assert_eq!(headers[&TRACESTATE], "v=1");
    }

    #[test]
    fn a_trace_that_can_not_be_read_is_begun_anew_without_its_state() {
        let mut headers = head(&[("traceparent", "00-1-2-01"), ("tracestate", "v=1")]);
        let trace = Trace::of(&headers, Sampling::ALL);
        trace.pass_on(&mut headers);
        assert!(
            headers[&TRACEPARENT]
                .to_str()
                .is_ok_and(|it| parse(it).is_some())
        );
        assert!(!headers.contains_key(&TRACESTATE));
    }

    #[test]
    fn the_caller_says_whether_its_trace_is_kept_and_the_share_whether_others_are() {
        let kept = head(&[("traceparent", PARENT)]);
        let other = head(&[("traceparent", &PARENT.replace("-01", "-00"))]);
        let few = Sampling::one_in(std::num::NonZeroU32::MAX);
        assert!(Trace::of(&kept, few).span().sampled);
        assert!(!Trace::of(&other, Sampling::ALL).span().sampled);
        assert!((0..10).any(|_| !Trace::of(&HeaderMap::new(), few).span().sampled));
        assert!(Trace::of(&HeaderMap::new(), Sampling::ALL).span().sampled);
    }

    #[test]
    fn a_trace_named_twice_is_begun_anew() {
        let headers = head(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_ne!(Trace::of(&headers, Sampling::ALL).id().to_string(), ID);
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let later = PARENT.replacen("00", "cc", 1);
        for (text, flags) in [
            (PARENT.to_owned(), Some(1)),
            (format!("{later}-more"), Some(1)),
            (later.clone(), Some(1)),
            (format!("{later}more"), None),
            (format!("{PARENT}-more"), None),
            (PARENT.replacen("00", "ff", 1), None),
            (PARENT.replace("-01", "-ff"), Some(3)),
            (PARENT.replace("-01", "-0g"), None),
            (PARENT.to_uppercase(), None),
            (PARENT.replace(ID, "00000000000000000000000000000000"), None),
            (PARENT.replace("b7ad6b7169203331", "0000000000000000"), None),
            (PARENT.replace('-', "_"), None),
            (PARENT.replace("-01", "-0"), None),
            (String::new(), None),
        ] {
            assert_eq!(parse(&text).map(|it| it.flags), flags, "{text}");
        }
    }

    fn head(sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
}
