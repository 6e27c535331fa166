/// A text that is made of the fields of one generation of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What it is made of, in order; at least one field.
    pub parts: Vec<TemplatePart>,
    /// How the whole of it is encoded.
    pub encoding: Option<Encoding>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// What stands there as it is.
    Text(String),
    /// The value of a field.
    Field {
        /// The field's name.
        name: String,
        /// How its value is encoded.
        encoding: Option<Encoding>,
    },
}

/// A way to write bytes as text that goes through HTTP unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Base64 with `+`, `/` and padding.
    Base64,
    /// Base64 with `-` and `_`, without padding.
    Base64Url,
    /// Two small hexadecimal digits a byte.
    Hex,
    /// `%` and two digits for each byte but letters, digits, `-`, `.`, `_` and `~`.
    Percent,
}
