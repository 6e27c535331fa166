use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// Looks for secrets in bytes of any kind, in each form that software writes them in.
///
/// # Errors
///
/// When a secret is shorter than 8 bytes: that would be found by chance.
pub fn scan<S: AsRef<[u8]>>(bytes: &[u8], secrets: &[S]) -> Result<Vec<Hit>> {
    let mut hits = Vec::new();
    for (index, secret) in secrets.iter().enumerate() {
        let secret = secret.as_ref();
        ensure!(secret.len() >= SHORTEST, "secret {index} is too short");
        for (form, needle) in needles(secret) {
            hits.extend(memmem::find_iter(bytes, &needle).map(|offset| Hit {
                secret: index,
                form,
                offset,
            }));
        }
    }
    Ok(hits)
}

/// One secret found in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which secret, by its place in the list.
    pub secret: usize,
    /// How it was written.
    pub form: Form,
    /// Where it begins.
    pub offset: usize,
}

/// A way to write a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Raw,
    /// In Base64, alone or within a longer text.
    Base64,
    /// In hexadecimal digits.
    Hex,
    /// With some or all of its bytes percent-encoded.
    Percent,
    /// As text of JSON, with what has to be escaped, and what may be.
    Json,
    /// In UTF-16, with either order of bytes.
    Utf16,
}

fn needles(secret: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let hex = hex::encode(secret);
    let mut needles = vec![
        (Form::Raw, secret.to_vec()),
        (Form::Hex, hex.to_uppercase().into_bytes()),
        (Form::Hex, hex.into_bytes()),
    ];
    needles.extend(base64_cores(secret).map(|core| (Form::Base64, core)));
    needles.extend(percent_forms(secret).map(|text| (Form::Percent, text)));
    if let Ok(text) = std::str::from_utf8(secret) {
        needles.extend(json_forms(text).map(|text| (Form::Json, text)));
        let units = || text.encode_utf16();
        let little = units().flat_map(u16::to_le_bytes).collect();
        let big = units().flat_map(u16::to_be_bytes).collect();
        needles.extend([(Form::Utf16, little), (Form::Utf16, big)]);
    }
    // Where forms coincide, the first one names the hit: digits alone are the same in both cases.
    let mut distinct: Vec<(Form, Vec<u8>)> = Vec::new();
    for (form, needle) in needles {
        if distinct.iter().all(|(_, known)| *known != needle) {
            distinct.push((form, needle));
        }
    }
    distinct
}

/// Returns those characters of the secret's Base64 that do not depend on what stands beside it, for
/// each of the three places in a group of three bytes where it can begin.
fn base64_cores(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let secret = secret.to_vec();
    [STANDARD_NO_PAD, URL_SAFE_NO_PAD]
        .into_iter()
        .flat_map(move |alphabet| {
            let secret = secret.clone();
            (0..3).map(move |before| {
                let mut bytes = vec![0; before];
                bytes.extend_from_slice(&secret);
                // A character holds six bits; the first whole one and the last whole one count.
                let first = (before * 8).div_ceil(6);
                let end = bytes.len() * 8 / 6;
                let text = alphabet.encode(&bytes).into_bytes();
                text.into_iter().skip(first).take(end - first).collect()
            })
        })
}

fn percent_forms(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |keep: bool, upper: bool| {
        let mut text = String::new();
        for &byte in secret {
            match (keep && unreserved(byte), upper) {
                (true, _) => text.push(char::from(byte)),
                (false, true) => text.push_str(&format!("%{byte:02X}")),
                (false, false) => text.push_str(&format!("%{byte:02x}")),
            }
        }
        text.into_bytes()
    };
    [
        encode(true, true),
        encode(true, false),
        encode(false, true),
        encode(false, false),
    ]
    .into_iter()
}

/// Returns the text within quotation marks: as most write it, with the slash escaped too, with all that HTML
/// might read, and with every character by its number.
fn json_forms(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let plain = serde_json::Value::from(text).to_string();
    let within = plain.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let plain = within.unwrap_or(&plain).to_owned();
    let slashes = plain.replace('/', "\\/");
    let mut html = plain.clone();
    for (character, number) in [('<', "003c"), ('>', "003e"), ('&', "0026"), ('\'', "0027")] {
        html = html.replace(character, &format!("\\u{number}"));
    }
    let all = |upper: bool| {
        let number = |unit: u16| {
            let digits = if upper {
                format!("{unit:04X}")
            } else {
                format!("{unit:04x}")
            };
            format!("\\u{digits}")
        };
        text.encode_utf16().map(number).collect::<String>()
    };
    [plain, slashes, html, all(false), all(true)]
        .into_iter()
        .map(String::into_bytes)
}

const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const SECRET: &str = "p@ss/w0rd?>~canary\u{fc}";

    fn forms(text: &str) -> Vec<Form> {
        let hits = scan(text.as_bytes(), &[SECRET]).expect("long enough");
        hits.iter().map(|hit| hit.form).collect()
    }

    #[test]
    fn the_secret_itself_is_found_where_it_stands() {
        let text = format!("before {SECRET} after {SECRET}");
        let hits = scan(text.as_bytes(), &["another-secret", SECRET]).expect("long enough");
        let offsets: Vec<_> = hits.iter().map(|hit| (hit.secret, hit.offset)).collect();
        assert_eq!(offsets, [(1, 7), (1, 34)]);
    }

    #[test]
    fn base64_is_found_at_each_offset_and_in_both_alphabets() {
        for before in ["", "u", "us", "use", "user:"] {
            for after in ["", "x", "xy", ":more"] {
                let text = format!("{before}{SECRET}{after}");
                assert_eq!(forms(&STANDARD.encode(&text)), [Form::Base64], "{text}");
                assert_eq!(forms(&URL_SAFE.encode(&text)), [Form::Base64], "{text}");
            }
        }
    }

    #[test]
    fn hex_and_percent_are_found_in_both_cases() {
        assert_eq!(forms(&hex::encode(SECRET)), [Form::Hex]);
        assert_eq!(forms(&hex::encode_upper(SECRET)), [Form::Hex]);
        assert_eq!(forms("p%40ss%2Fw0rd%3F%3E~canary%C3%BC"), [Form::Percent]);
        assert_eq!(forms("p%40ss%2fw0rd%3f%3e~canary%c3%bc"), [Form::Percent]);
        let every: String = SECRET.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(forms(&every), [Form::Percent]);
    }

    #[test]
    fn json_and_utf16_are_found_however_they_are_written() {
        let secret = "a\"b\\c/<d>&canary\"";
        let found = |text: &[u8]| {
            let hits = scan(text, &[secret]).expect("long enough");
            hits.iter().map(|hit| hit.form).collect::<Vec<_>>()
        };
        let plain = serde_json::json!({ "k": format!("x{secret}y") }).to_string();
        assert_eq!(found(plain.as_bytes()), [Form::Json]);
        let slashes = plain.replace('/', "\\/");
        assert_eq!(found(slashes.as_bytes()), [Form::Json]);
        let html = plain
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026");
        assert_eq!(found(html.as_bytes()), [Form::Json]);
        let units = secret.encode_utf16().map(|it| format!("\\u{it:04x}"));
        assert_eq!(found(units.collect::<String>().as_bytes()), [Form::Json]);
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = secret.encode_utf16().flat_map(order).collect();
            assert_eq!(found(&bytes), [Form::Utf16]);
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(forms("p@ss/w0rd?>~canarx").is_empty());
        assert!(scan(b"", &["short"]).is_err());
    }
}
