/// Tells whether a key promises a secret value: `password`, `clientSecret`, `X-Api-Key` …
pub(crate) fn names_secret(key: &str) -> bool {
    let key = folded(key);
    WHOLE.contains(&key.as_str()) || ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Tells whether a key promises a consumer key, where a consumer is declared.
pub(crate) fn names_consumer_key(key: &str) -> bool {
    names_secret(key)
        || matches!(
            folded(key).as_str(),
            "key" | "plain" | "clear" | "plaintext"
        )
}

fn folded(key: &str) -> String {
    let letters = key.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

const WHOLE: &[&str] = &["value", "pass", "pwd", "authorization", "bearer", "cookie"];
const ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretid",
    "secretkey",
    "secretvalue",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_matter() {
        for key in [
            "password",
            "DB_PASSWORD",
            "clientSecret",
            "secret-id",
            "X-Api-Key",
            "Token",
        ] {
            assert!(names_secret(key), "{key}");
        }
        for key in [
            "key_file",
            "role_id",
            "username",
            "field",
            "token_role",
            "keys",
            "secrets",
        ] {
            assert!(!names_secret(key), "{key}");
        }
    }
}
