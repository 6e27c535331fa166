//! Checks Signature Version 4 as a service does: by making it again from what arrived.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use crate::consumer::Message;

/// Checks a request's signature by the secret key that belongs to its access key id, and what it says of
/// its body; returns the access key id and the body without what signatures add to it.
pub(crate) fn verified(
    request: &Message,
    secret_of: impl Fn(&str) -> String,
) -> Result<(String, Vec<u8>), String> {
    let shown = only(request, "authorization")?;
    let rest = shown.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("scheme")?;
    let part = |name: &str| {
        let mut parts = rest.split(", ");
        let part = parts.find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        part.ok_or_else(|| format!("no {name}"))
    };
    let (access, scope) = part("Credential")?.split_once('/').ok_or("no scope")?;
    let signature = part("Signature")?;
    let names: Vec<_> = part("SignedHeaders")?.split(';').collect();
    for name in ["host", "x-amz-date", "x-amz-content-sha256"] {
        names
            .contains(&name)
            .then_some(())
            .ok_or(format!("{name} is not signed"))?;
    }
    let key = key(&secret_of(access), scope);
    let payload = only(request, "x-amz-content-sha256")?;
    let canonical = canonical(request, &names, payload);
    let date = only(request, "x-amz-date")?;
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    if mac(&key, &text) != signature {
        return Err(format!("the signature does not hold for\n{canonical}"));
    }
    let body = match payload {
        "UNSIGNED-PAYLOAD" => request.body.clone(),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => {
            let body = parts(request, &key, &format!("{date}\n{scope}"), signature)?;
            let length = only(request, "x-amz-decoded-content-length")?;
            (length == body.len().to_string())
                .then_some(())
                .ok_or("decoded length")?;
            body
        }
        digest if digest == hash(&request.body) => request.body.clone(),
        _ => return Err("the digest is of another body".to_owned()),
    };
    Ok((access.to_owned(), body))
}

fn canonical(request: &Message, names: &[&str], payload: &str) -> String {
    let mut line = request.head.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (
        line.next().unwrap_or_default(),
        line.next().unwrap_or_default(),
    );
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<_> = query.split('&').filter(|it| !it.is_empty()).collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|it| {
            if it.contains('=') {
                (*it).to_owned()
            } else {
                format!("{it}=")
            }
        })
        .collect();
    let mut text = format!("{method}\n{path}\n{}\n", pairs.join("&"));
    for name in names {
        writeln!(text, "{name}:{}", request.all(name).join(",")).expect("text");
    }
    write!(text, "\n{}\n{payload}", names.join(";")).expect("text");
    text
}

/// Takes a body out of its signed parts.
fn parts(request: &Message, key: &[u8], scope: &str, seed: &str) -> Result<Vec<u8>, String> {
    let codings = request.all("content-encoding").join(",");
    codings
        .starts_with("aws-chunked")
        .then_some(())
        .ok_or("content-encoding")?;
    let (mut rest, mut previous, mut body) = (&request.body[..], seed.to_owned(), Vec::new());
    loop {
        let end = rest
            .windows(2)
            .position(|it| it == b"\r\n")
            .ok_or("no line")?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_told| "a line that is no text")?;
        let (size, signature) = line.split_once(";chunk-signature=").ok_or("no signature")?;
        let size = usize::from_str_radix(size, 16).map_err(|_told| "no size")?;
        let part = rest.get(end + 2..end + 2 + size).ok_or("cut off")?;
        let (empty, hash) = (hash(&[]), hash(part));
        let text = format!("AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{previous}\n{empty}\n{hash}");
        if mac(key, &text) != signature {
            return Err(format!(
                "the signature of a part of {size} bytes does not hold"
            ));
        }
        previous = signature.to_owned();
        body.extend_from_slice(part);
        rest = rest[end + 2 + size..]
            .strip_prefix(b"\r\n")
            .ok_or("no end")?;
        if size == 0 {
            let is_all = rest.is_empty();
            return if is_all {
                Ok(body)
            } else {
                Err("more follows".to_owned())
            };
        }
    }
}

fn key(secret: &str, scope: &str) -> Vec<u8> {
    let first = format!("AWS4{secret}").into_bytes();
    scope.split('/').fold(first, |key, word| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        hmac::sign(&key, word.as_bytes()).as_ref().to_vec()
    })
}

fn mac(key: &[u8], text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text");
        text
    })
}

fn only<'a>(request: &'a Message, name: &str) -> Result<&'a str, String> {
    match request.all(name)[..] {
        [value] => Ok(value),
        ref others => Err(format!("{} of {name}", others.len())),
    }
}
