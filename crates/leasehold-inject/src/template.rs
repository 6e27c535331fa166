//! Renders a text from the fields of one generation.

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_model::{Encoding, Template, TemplatePart};
use leasehold_provider::Material;
use leasehold_secret::Expose as _;
use zeroize::Zeroizing;

use crate::PrepareError;
use crate::prepare::{not_empty, wanted};

pub(crate) type Text = Zeroizing<Vec<u8>>;

/// Renders all of a template from one generation.
pub(crate) fn render(template: &Template, material: &Material) -> Result<Text, PrepareError> {
    let plain = plain(template, material)?;
    match template.encoding {
        Some(encoding) => encode(encoding, &plain),
        None => Ok(plain),
    }
}

/// Renders a template but for the encoding of the whole.
pub(crate) fn plain(template: &Template, material: &Material) -> Result<Text, PrepareError> {
    let parts = template.parts.iter().map(|it| part(it, material));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    // The buffer has its full size from the start: one that grew would leave its smaller selves.
    let len = parts.iter().map(|it| it.len()).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(len));
    for part in &parts {
        text.extend_from_slice(part);
    }
    Ok(text)
}

fn part(part: &TemplatePart, material: &Material) -> Result<Text, PrepareError> {
    let (name, encoding) = match part {
        TemplatePart::Text(text) => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
        TemplatePart::Field { name, encoding } => (name, encoding),
    };
    // EXPOSE: an upstream is shown the value; each copy on the way is wiped when the text is whole.
    let value = wanted(name, material)?.expose();
    not_empty(name, &value)?;
    match encoding {
        Some(encoding) => encode(*encoding, &value),
        None => Ok(Zeroizing::new(value.to_vec())),
    }
}

/// Encodes bytes into a buffer that never grows.
pub(crate) fn encode(encoding: Encoding, plain: &[u8]) -> Result<Text, PrepareError> {
    match encoding {
        Encoding::Base64 => base64(&STANDARD, plain.len().div_ceil(3) * 4, plain),
        Encoding::Base64Url => base64(&URL_SAFE_NO_PAD, (plain.len() * 4).div_ceil(3), plain),
        Encoding::Hex => {
            let mut text = Zeroizing::new(Vec::with_capacity(plain.len() * 2));
            for byte in plain {
                text.extend(digits(*byte, b"0123456789abcdef"));
            }
            Ok(text)
        }
        Encoding::Percent => Ok(percent(plain)),
    }
}

/// Encodes bytes as they may stand in a query.
pub(crate) fn percent(plain: &[u8]) -> Text {
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() * 3));
    for byte in plain {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            text.push(b'%');
            text.extend(digits(*byte, b"0123456789ABCDEF"));
        }
    }
    text
}

fn base64(engine: &impl base64::Engine, len: usize, plain: &[u8]) -> Result<Text, PrepareError> {
    let mut text = Zeroizing::new(vec![0; len]);
    engine.encode_slice(plain, &mut text)?;
    Ok(text)
}

fn digits(byte: u8, alphabet: &[u8; 16]) -> [u8; 2] {
    let digit = |at: u8| alphabet.get(usize::from(at)).copied().unwrap_or_default();
    [digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use leasehold_secret::Secret;

    use super::*;

    #[test]
    fn fields_are_encoded_one_by_one_and_as_a_whole() {
        assert_eq!(
            rendered(&[field("id", None), text(":"), field("key", None)], None),
            "a b:k/?~"
        );
        let pair = [field("id", None), text(":"), field("key", None)];
        // As `printf 'a b:k/?~' | base64` has it.
        assert_eq!(rendered(&pair, Some(Encoding::Base64)), "YSBiOmsvP34=");
        assert_eq!(rendered(&pair, Some(Encoding::Base64Url)), "YSBiOmsvP34");
        assert_eq!(rendered(&pair, Some(Encoding::Hex)), "6120623a6b2f3f7e");
        assert_eq!(rendered(&pair, Some(Encoding::Percent)), "a%20b%3Ak%2F%3F~");
        let each = [
            field("id", Some(Encoding::Percent)),
            text("/"),
            field("key", Some(Encoding::Hex)),
        ];
        assert_eq!(rendered(&each, None), "a%20b/6b2f3f7e");
    }

    #[test]
    fn buffers_have_their_full_size_from_the_start() {
        for len in 0..50 {
            let plain = vec![0xfb; len];
            for encoding in [
                Encoding::Base64,
                Encoding::Base64Url,
                Encoding::Hex,
                Encoding::Percent,
            ] {
                let text = encode(encoding, &plain).expect("encoded");
                assert_eq!(text.len(), text.capacity(), "{encoding:?} {len}");
            }
        }
    }

    #[test]
    fn a_field_that_is_missing_or_empty_renders_nothing() {
        let template = |name| Template {
            parts: vec![field(name, None)],
            encoding: None,
        };
        assert!(matches!(
            render(&template("nothing"), &material()),
            Err(PrepareError::MissingField { .. })
        ));
        assert!(matches!(
            render(&template("empty"), &material()),
            Err(PrepareError::EmptyField { .. })
        ));
    }

    fn rendered(parts: &[TemplatePart], encoding: Option<Encoding>) -> String {
        let template = Template {
            parts: parts.to_vec(),
            encoding,
        };
        let text = render(&template, &material()).expect("rendered");
        String::from_utf8(text.to_vec()).expect("UTF-8")
    }

    fn field(name: &str, encoding: Option<Encoding>) -> TemplatePart {
        TemplatePart::Field {
            name: name.to_owned(),
            encoding,
        }
    }

    fn text(text: &str) -> TemplatePart {
        TemplatePart::Text(text.to_owned())
    }

    fn material() -> Material {
        let mut material = Material::default();
        material.insert("id", Secret::new("a b"));
        material.insert("key", Secret::new("k/?~"));
        material.insert("empty", Secret::new(""));
        material
    }
}
