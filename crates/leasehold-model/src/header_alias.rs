/// Tells whether a server behind us may take the header `sent` for the header `meant`.
///
/// Servers that hand headers to programs as variables (CGI and its heirs) write letters in capitals
/// and put `_` for `-`, some for every character that is neither letter nor digit. To them
/// `X_Api-Key` and `X.Api.Key` are `X-Api-Key`, so what is removed under one name must be removed
/// under all of them.
#[must_use]
pub fn is_header_alias(sent: &str, meant: &str) -> bool {
    let is_alike = |(sent, meant)| sent == meant || variable(sent) == variable(meant);
    sent.len() == meant.len() && sent.bytes().zip(meant.bytes()).all(is_alike)
}

/// Returns the character that stands for `byte` in a variable's name.
const fn variable(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_uppercase()
    } else {
        b'_'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_punctuation_do_not_tell_names_apart() {
        for sent in [
            "X-Api-Key",
            "x-api-key",
            "X_API_KEY",
            "x_Api-key",
            "x.api~key",
        ] {
            assert!(is_header_alias(sent, "x-api-key"), "{sent}");
        }
    }

    #[test]
    fn other_names_stay_other_names() {
        for sent in [
            "x-api-keys",
            "xapikey",
            "x-api-ke",
            "x-api-kez",
            "x--api-key",
            "",
        ] {
            assert!(!is_header_alias(sent, "x-api-key"), "{sent}");
        }
    }
}
