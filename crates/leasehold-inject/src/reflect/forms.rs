use std::fmt::{self, Write as _};

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use base64::engine::{Config, Engine, GeneralPurpose};
use zeroize::Zeroizing;

/// What a secret can look like in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As it is.
    Raw,
    /// In base64 of RFC 4648, in either alphabet and at whatever offset.
    Base64,
    /// In hexadecimal.
    Hex,
    /// Percent-encoded, as in URLs and forms.
    Percent,
    /// With the escapes of JSON strings.
    Json,
    /// With the character references of HTML and XML.
    Html,
    /// In UTF-16, either way around.
    Utf16,
}

impl Form {
    /// Returns the word that logs use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Percent => "percent",
            Self::Json => "json",
            Self::Html => "html",
            Self::Utf16 => "utf16",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text to look for.
pub(super) type Pattern = (Form, Zeroizing<Vec<u8>>);

/// Returns everything that a secret can look like, each once.
pub(super) fn forms(secret: &[u8]) -> Vec<Pattern> {
    let mut forms = Forms(Vec::new());
    forms.add(Form::Raw, secret.to_vec());
    for offset in 0..3 {
        forms.add(Form::Base64, base64_at(&STANDARD_NO_PAD, secret, offset));
        forms.add(Form::Base64, base64_at(&URL_SAFE_NO_PAD, secret, offset));
    }
    forms.add(
        Form::Hex,
        each(secret, |text, byte| write!(text, "{byte:02x}")),
    );
    forms.add(
        Form::Hex,
        each(secret, |text, byte| write!(text, "{byte:02X}")),
    );
    forms.percent(secret);
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.text(text);
    }
    forms.0
}

struct Forms(Vec<Pattern>);

impl Forms {
    fn add(&mut self, form: Form, text: impl Into<Vec<u8>>) {
        let text = Zeroizing::new(text.into());
        if self.0.iter().all(|(_, known)| *known != text) {
            self.0.push((form, text));
        }
    }

    fn percent(&mut self, secret: &[u8]) {
        let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let upper = each(secret, |text, byte| {
            if kept(byte) {
                text.write_char(byte.into())
            } else {
                write!(text, "%{byte:02X}")
            }
        });
        let lower = each(secret, |text, byte| {
            if kept(byte) {
                text.write_char(byte.into())
            } else {
                write!(text, "%{byte:02x}")
            }
        });
        // As the forms of browsers are sent.
        let form = each(secret, |text, byte| match byte {
            b' ' => text.write_char('+'),
            b'*' => text.write_char('*'),
            byte if kept(byte) && byte != b'~' => text.write_char(byte.into()),
            byte => write!(text, "%{byte:02X}"),
        });
        let all = each(secret, |text, byte| write!(text, "%{byte:02X}"));
        for text in [upper, lower, form, all] {
            self.add(Form::Percent, text);
        }
    }

    fn text(&mut self, text: &str) {
        // What must be escaped, and what some libraries escape beyond that.
        for (slash, html, unicode) in [
            (false, false, false),
            (true, false, false),
            (false, true, false),
            (false, false, true),
            (true, false, true),
        ] {
            self.add(Form::Json, json(text, slash, html, unicode));
        }
        for quotes in [
            ("&quot;", "&#39;"),
            ("&#34;", "&#39;"),
            ("&quot;", "&#x27;"),
            ("&quot;", "'"),
            ("\"", "'"),
        ] {
            self.add(Form::Html, html(text, quotes));
        }
        let units: Zeroizing<Vec<u16>> = Zeroizing::new(text.encode_utf16().collect());
        self.add(
            Form::Utf16,
            units
                .iter()
                .flat_map(|it| it.to_le_bytes())
                .collect::<Vec<_>>(),
        );
        self.add(
            Form::Utf16,
            units
                .iter()
                .flat_map(|it| it.to_be_bytes())
                .collect::<Vec<_>>(),
        );
    }
}

/// Returns what base64 makes of the secret where `offset` bytes stand before it in its group of three:
/// only those characters that no neighbour has a part in.
fn base64_at(engine: &GeneralPurpose, secret: &[u8], offset: usize) -> Vec<u8> {
    debug_assert!(
        !engine.config().encode_padding(),
        "padding is no part of it"
    );
    let mut shifted = Zeroizing::new(vec![0; offset]);
    shifted.extend_from_slice(secret);
    let text = Zeroizing::new(engine.encode(&shifted).into_bytes());
    let from = (offset * 8).div_ceil(6);
    let to = shifted.len() * 8 / 6;
    text.get(from..to).unwrap_or_default().to_vec()
}

fn each(secret: &[u8], mut write: impl FnMut(&mut String, u8) -> fmt::Result) -> String {
    // Room for the longest of them: a text that grew would leave its smaller selves.
    let mut text = String::with_capacity(secret.len() * 3);
    for byte in secret {
        // Writing to a `String` does not fail.
        write(&mut text, *byte).unwrap_or_default();
    }
    text
}

fn json(text: &str, slash: bool, html: bool, unicode: bool) -> String {
    let mut escaped = String::with_capacity(text.len() * 6);
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '/' if slash => escaped.push_str("\\/"),
            '<' | '>' | '&' if html => escape(&mut escaped, character),
            character if unicode && !character.is_ascii() => escape(&mut escaped, character),
            character => escaped.push(character),
        }
    }
    escaped
}

fn escape(text: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a `String` does not fail.
        write!(text, "\\u{unit:04x}").unwrap_or_default();
    }
}

fn html(text: &str, (double, single): (&str, &str)) -> String {
    let mut escaped = String::with_capacity(text.len() * 6);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str(double),
            '\'' => escaped.push_str(single),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_at_each_offset_and_beside_any_neighbour() {
        let secret = b"s3cr3t/+value";
        let patterns = forms(secret);
        for (before, after) in (0..7).flat_map(|it| (0..4).map(move |other| (it, other))) {
            let mut text = vec![0xff; before];
            text.extend_from_slice(secret);
            text.extend(std::iter::repeat_n(0x5a, after));
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&text);
                let found = patterns.iter().any(|(form, pattern)| {
                    *form == Form::Base64 && contains(encoded.as_bytes(), pattern)
                });
                assert!(found, "{before} before, {after} after: {encoded}");
            }
        }
    }

    #[test]
    fn each_form_is_the_one_that_libraries_write() {
        let patterns = forms("a\"b\\c/<&>'\u{e9} ~*x".as_bytes());
        for (form, written) in [
            (Form::Raw, "a\"b\\c/<&>'\u{e9} ~*x"),
            (Form::Hex, "6122625c632f3c263e27c3a9207e2a78"),
            (Form::Hex, "6122625C632F3C263E27C3A9207E2A78"),
            (Form::Percent, "a%22b%5Cc%2F%3C%26%3E%27%C3%A9%20~%2Ax"),
            (Form::Percent, "a%22b%5cc%2f%3c%26%3e%27%c3%a9%20~%2ax"),
            (Form::Percent, "a%22b%5Cc%2F%3C%26%3E%27%C3%A9+%7E*x"),
            (Form::Json, "a\\\"b\\\\c/<&>'\u{e9} ~*x"),
            (Form::Json, "a\\\"b\\\\c\\/<&>'\u{e9} ~*x"),
            (Form::Json, "a\\\"b\\\\c/\\u003c\\u0026\\u003e'\u{e9} ~*x"),
            (Form::Json, "a\\\"b\\\\c/<&>'\\u00e9 ~*x"),
            (Form::Html, "a&quot;b\\c/&lt;&amp;&gt;&#39;\u{e9} ~*x"),
        ] {
            let found = patterns
                .iter()
                .any(|(known, text)| *known == form && contains(text, written.as_bytes()));
            assert!(found, "{form}: {written}");
        }
    }

    #[test]
    fn utf_16_is_looked_for_either_way_around() {
        let patterns = forms(b"secret-value");
        let of = |text: &[u8]| {
            patterns
                .iter()
                .any(|(form, it)| *form == Form::Utf16 && it.as_slice() == text)
        };
        let wide: Vec<u8> = b"secret-value".iter().flat_map(|byte| [*byte, 0]).collect();
        assert!(of(&wide));
        let wide: Vec<u8> = b"secret-value".iter().flat_map(|byte| [0, *byte]).collect();
        assert!(of(&wide));
    }

    #[test]
    fn a_form_that_changes_nothing_is_not_looked_for_twice() {
        let patterns = forms(b"plain0123");
        let raw = patterns
            .iter()
            .filter(|(_, text)| text.as_slice() == b"plain0123");
        assert_eq!(raw.count(), 1);
    }

    fn contains(text: &[u8], part: &[u8]) -> bool {
        text.windows(part.len()).any(|it| it == part)
    }
}
