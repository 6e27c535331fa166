use std::borrow::Cow;

use crate::steps::admit::escaped_byte;

/// Decodes the path, drops its parameters and merges its slashes, as many upstreams do before they
/// look at it.
pub(super) fn normal_path(path: &str) -> Cow<'_, str> {
    if !path.contains(['%', ';']) && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut normal = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let mut byte = byte;
        if byte == b'%'
            && let Some(escaped) = escaped_byte(after)
        {
            byte = escaped;
            rest = after.get(2..).unwrap_or_default();
        }
        if byte == b';' {
            let end = rest.iter().position(|byte| *byte == b'/');
            rest = end.and_then(|end| rest.get(end..)).unwrap_or_default();
            continue;
        }
        let merged = byte == b'/' && normal.last() == Some(&b'/');
        if !merged {
            normal.push(byte);
        }
    }
    // Only compared with others of its kind: bytes that are no text may be replaced in all of them.
    Cow::Owned(String::from_utf8_lossy(&normal).into_owned())
}

/// Decodes a name or value of a query, as a form has it.
pub(super) fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        if byte == b'%'
            && let Some(escaped) = escaped_byte(after)
        {
            rest = after.get(2..).unwrap_or_default();
            return Some(escaped);
        }
        Some(if byte == b'+' { b' ' } else { byte })
    })
}
