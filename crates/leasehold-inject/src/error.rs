use base64::EncodeSliceError;
use http::HeaderName;

use crate::InjectionIndex;

/// Why a generation's material can't be put where it was declared to go.
///
/// Names fields and headers, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The material lacks a field that an injection names.
    #[error(
        "the credential has no field `{field}`, its fields are: {}",
        list(present)
    )]
    MissingField {
        /// The field that was wanted.
        field: String,
        /// The fields that there are, in order.
        present: Vec<String>,
    },
    /// The field is there and empty: an empty header is no credential.
    #[error("field `{field}` of the credential is empty")]
    EmptyField {
        /// The field.
        field: String,
    },
    /// The field holds what HTTP does not carry unchanged.
    #[error("field `{field}` of the credential can't stand in a header: it {fault}")]
    Unfit {
        /// The field.
        field: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// What a template makes of the fields is what its place does not carry unchanged.
    #[error("what is rendered for `{place}` can't stand there: it {fault}")]
    UnfitText {
        /// The header or the cookie.
        place: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The prefix declared for a header holds what HTTP does not carry.
    #[error("the prefix declared for header `{header}` can't stand in a header")]
    UnfitPrefix {
        /// The header.
        header: HeaderName,
    },
    /// The field holds no certificate or key that can be used.
    #[error("field `{field}` of the credential is not what it should be in PEM")]
    NotPem {
        /// The field.
        field: String,
    },
    /// The field holds no key in the form that was declared.
    #[error("field `{field}` of the credential is not a key as `key_encoding` says it is written")]
    UnreadableKey {
        /// The field.
        field: String,
    },
    /// The key is not one of the algorithm.
    #[error("field `{field}` of the credential is no key for `{algorithm}`")]
    KeyOfOtherKind {
        /// The field.
        field: String,
        /// The algorithm.
        algorithm: &'static str,
    },
    /// The key belongs to another certificate.
    #[error("field `{key}` of the credential is not the key of its `{certificate}`")]
    KeyOfAnother {
        /// The field with the certificate.
        certificate: String,
        /// The field with the key.
        key: String,
    },
    /// The field is to be looked for in answers, and is so short that it would be met there by chance.
    #[error(
        "field `{field}` of the credential has fewer than {least} bytes, so that answers can't be looked \
         through for it: have a longer one issued, or set `reflection: off` at its routes"
    )]
    TooShort {
        /// The field.
        field: String,
        /// How many bytes it must have.
        least: usize,
    },
    /// The fields are too large to be looked for.
    #[error("the credential is too large to look through answers for it")]
    Unscannable,
    /// Basic credentials could not be encoded.
    #[error("encode basic credentials")]
    Encode(#[from] EncodeSliceError),
}

/// What is wrong with a value that can't stand in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It would end the header or be refused by the upstream; most often it is a line end that an
    /// editor added.
    #[error("holds a control character, such as a line end")]
    ControlCharacter,
    /// The upstream would cut it off and see another value.
    #[error("begins or ends with a space")]
    OuterSpace,
    /// The upstream would take what follows for the start of the password.
    #[error("is a user name with a colon")]
    Colon,
    /// Basic credentials are sent as UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The upstream would read another value, or another cookie.
    #[error("holds what a cookie can't: encode it by `encode`")]
    NotACookie,
}

/// Why a credential can't be placed in the target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The generation was not prepared for this.
    #[error(transparent)]
    Unknown(#[from] UnknownInjection),
    /// The target has no query, as that of `OPTIONS *`.
    #[error("the target of the request can't have a query")]
    NoQuery,
    /// There is no room for the credential.
    #[error("the target of the request is too long for a credential in its query")]
    TooLong,
}

/// The generation was not prepared for this injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the generation was prepared without injection {}", .0.0)]
pub struct UnknownInjection(pub InjectionIndex);

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
