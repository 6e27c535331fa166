use memchr::memchr;

/// What matters of a header to the framing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header<'a> {
    ContentLength(&'a [u8]),
    TransferEncoding(&'a [u8]),
    Upgrade,
    Other,
}

impl<'a> Header<'a> {
    /// Reads a line of a head.
    ///
    /// # Errors
    ///
    /// When the line continues another one, or has no name that ends at its colon.
    pub(super) fn of(line: &'a [u8]) -> Result<Self, &'static str> {
        let (name, value) = split(line)?;
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        Ok(match name.len() {
            7 if is(b"upgrade") => Self::Upgrade,
            14 if is(b"content-length") => Self::ContentLength(trim(value)),
            17 if is(b"transfer-encoding") => Self::TransferEncoding(trim(value)),
            _ => Self::Other,
        })
    }
}

/// Checks the first line of a head as far as hyper does not; tells whether it is of HTTP/1.0.
///
/// # Errors
///
/// When it is empty or names no version, when the target holds a fragment, which hyper would cut off, or bytes that are no ASCII, which
/// servers decode in ways of their own.
pub(super) fn request_line(line: &[u8]) -> Result<bool, &'static str> {
    if line.is_empty() {
        return Err("more than one empty line stands before a request");
    }
    if memchr(b'#', line).is_some() {
        return Err("the target holds a fragment");
    }
    if !line.is_ascii() {
        return Err("the request line holds what is not ASCII");
    }
    if line.ends_with(b" HTTP/1.1") || line == HTTP2 {
        return Ok(false);
    }
    // hyper looks for one only when the head has ended, which the head of HTTP/0.9 never does.
    line.ends_with(b" HTTP/1.0")
        .then_some(true)
        .ok_or("the version is none of HTTP/1")
}

/// What HTTP/2 begins with. hyper knows it, and that there is no answer to it.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

/// Reads the length of a body.
///
/// # Errors
///
/// When it is anything but digits, or more than any body has.
pub(super) fn content_length(value: &[u8]) -> Result<u64, &'static str> {
    let number = digits(value, 10, 18);
    number.ok_or("the length of the body is no number")
}

/// Reads the line before a chunk.
///
/// # Errors
///
/// When the size is anything but hexadecimal digits, or something else than extensions follows it.
pub(super) fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let end = memchr(b';', line).unwrap_or(line.len());
    let (size, extensions) = line.split_at_checked(end).unwrap_or_default();
    let size = digits(size, 16, 15).ok_or("the size of a chunk is no number")?;
    for extension in extensions.split(|byte| *byte == b';').skip(1) {
        let named = extension.first().copied().is_some_and(is_token);
        if !named || !extension.iter().all(|byte| is_text(*byte)) {
            return Err("an extension of a chunk is not well formed");
        }
    }
    Ok(size)
}

/// Checks a line after the last chunk.
///
/// # Errors
///
/// When it is no header.
pub(super) fn is_trailer(line: &[u8]) -> Result<(), &'static str> {
    let (name, value) = split(line)?;
    let well_formed =
        name.iter().all(|byte| is_token(*byte)) && value.iter().all(|byte| is_text(*byte));
    well_formed.then_some(()).ok_or("a trailer is no header")
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if line.first().copied().is_some_and(is_space) {
        return Err("a line continues the header before it");
    }
    let colon = memchr(b':', line).ok_or("a header has no colon")?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    match name.last() {
        None => Err("a header has no name"),
        Some(last) if is_space(*last) => Err("a header has a space before its colon"),
        Some(_) => Ok((name, value.get(1..).unwrap_or_default())),
    }
}

/// Reads a number of up to `most` digits, leading zeros included: so few that it can't overflow.
fn digits(text: &[u8], radix: u32, most: usize) -> Option<u64> {
    if text.is_empty() || text.len() > most {
        return None;
    }
    text.iter().try_fold(0, |number: u64, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        Some(number * u64::from(radix) + u64::from(digit))
    })
}

/// Cuts off the optional white space of RFC 9110 §5.6.3, and no other: a form feed is none.
fn trim(value: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !is_space(*byte);
    let from = value.iter().position(is_kept).unwrap_or(value.len());
    let to = value
        .iter()
        .rposition(is_kept)
        .map_or(from, |last| last + 1);
    value.get(from..to).unwrap_or_default()
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Tells whether a byte may stand in a header's value.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Tells whether a byte may stand in a token of RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
