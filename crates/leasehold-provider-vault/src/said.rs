use reqwest::StatusCode;

/// Returns what is safe to repeat of a text of the server's.
///
/// An error may quote the statement that a database refused, with the password that it was to set,
/// and nothing in it tells that part from the rest. So nothing is copied: the answer is put together
/// from the phrases of this file that occur in the text, and from the five characters of an SQL
/// state; it says how much was withheld.
pub(crate) fn repeat(text: &str) -> String {
    let known: Vec<&str> = PHRASES
        .iter()
        .copied()
        .filter(|phrase| text.contains(phrase))
        .collect();
    if let [phrase] = known.as_slice()
        && phrase.len() == text.len()
    {
        return (*phrase).to_owned();
    }
    let mut parts: Vec<String> = known.into_iter().map(str::to_owned).collect();
    parts.extend(sql_state(text).map(|state| format!("SQLSTATE {state}")));
    let length = text.len();
    if parts.is_empty() {
        return format!("text of {length} bytes withheld");
    }
    format!("{} (of {length} bytes)", parts.join(": "))
}

/// Says what was answered, as far as it is safe to repeat.
///
/// An answer without a word is mostly none of the server's: something in between gave it, or the
/// server itself, to plain HTTP where it wants TLS.
pub(crate) fn answered(status: StatusCode, errors: &[String]) -> String {
    let status = status.as_u16();
    if errors.is_empty() {
        return format!(
            "status {status} without an error of the server's: are its scheme, host and port right?"
        );
    }
    format!("status {status}: {}", repeat_all(errors))
}

/// Returns what is safe to repeat of several texts.
fn repeat_all(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| repeat(text)).collect();
    texts.join("; ")
}

fn sql_state(text: &str) -> Option<&str> {
    let (_before, after) = text.rsplit_once("(SQLSTATE ")?;
    let (state, _rest) = after.split_once(')')?;
    let plausible = state.len() == 5
        && state
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    plausible.then_some(state)
}

/// What may be repeated: the outer words first, since they are written in this order.
const PHRASES: &[&str] = &[
    "permission denied",
    "invalid token",
    "missing client token",
    "invalid role or secret ID",
    "auth methods cannot create root tokens",
    "missing role_id",
    "missing secret_id",
    "failed to validate credentials",
    "wrapping token is not valid or does not exist",
    "error validating token",
    "error validating claims",
    "token is expired",
    "no client certificate found",
    "failed to match all constraints",
    "invalid certificate or no client certificate supplied",
    "no chain matching all constraints could be found",
    "service account name not authorized",
    "namespace not authorized",
    "service account unauthorized",
    "role could not be found",
    "entry for role",
    "error making upstream request",
    "error validating",
    "source address",
    "unauthorized through CIDR restrictions",
    "lease not found",
    "lease expired",
    "invalid lease",
    "lease is not renewable",
    "lease_id must be specified",
    "batch tokens cannot be renewed",
    "batch tokens cannot be revoked",
    "batch tokens cannot create more tokens",
    "invalid accessor",
    "not allowed by this role",
    "the common_name field is required",
    "csr contains no data",
    "Field validation failed",
    "failed to renew entry",
    "failed to revoke entry",
    "could not find role",
    "unknown role",
    "past the max TTL, cannot renew",
    "exceeded the effective max_ttl",
    "TTL value is capped accordingly",
    "namespace not found",
    "no handler for route",
    "unsupported operation",
    "unsupported path",
    "Invalid path for a versioned K/V secrets engine",
    "rate limit quota exceeded",
    "Vault is sealed",
    "Vault is in standby mode",
    "local node not active but active cluster node not found",
    "internal error",
    "token had one use left",
    "unable to start transaction",
    "failed to connect",
    "connection refused",
    "connection reset",
    "no such host",
    "no route to host",
    "i/o timeout",
    "context deadline exceeded",
    "context canceled",
    "certificate",
    "password authentication failed",
    "too many clients",
    "the database system is starting up",
    "the database system is shutting down",
    "syntax error",
    "does not exist",
    "already exists",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_with_its_password_does_not_get_through() {
        let text = "1 error occurred:\n\t* failed to execute query: ERROR: syntax error at or near \
                    \"PASSWRD\": CREATE ROLE \"v-app\" WITH LOGIN PASSWRD 'canary-pw' (SQLSTATE 42601)\n\n";
        let said = repeat(text);
        assert_eq!(
            said,
            format!("syntax error: SQLSTATE 42601 (of {} bytes)", text.len())
        );
    }

    #[test]
    fn no_byte_of_an_unknown_text_is_repeated() {
        assert_eq!(repeat("canary"), "text of 6 bytes withheld");
        assert_eq!(repeat("(SQLSTATE canary)"), "text of 17 bytes withheld");
        assert_eq!(repeat("(SQLSTATE can/r)"), "text of 16 bytes withheld");
    }

    #[test]
    fn an_answer_without_a_word_says_where_to_look() {
        let said = answered(StatusCode::BAD_REQUEST, &[]);
        assert!(said.starts_with("status 400 without"), "{said}");
        assert!(said.contains("scheme"), "{said}");
        let said = answered(StatusCode::BAD_REQUEST, &["lease not found".to_owned()]);
        assert_eq!(said, "status 400: lease not found");
    }

    #[test]
    fn a_known_text_is_repeated_whole() {
        assert_eq!(repeat("lease not found"), "lease not found");
        assert_eq!(
            repeat_all(&["Vault is sealed".to_owned(), "canary".to_owned()]),
            "Vault is sealed; text of 6 bytes withheld"
        );
    }

    #[test]
    fn what_the_database_said_is_named_by_its_class() {
        let text = "failed to renew entry: resp: (*logical.Response)(nil) err: failed to renew: \
                    dial tcp 127.0.0.1:5432: connect: connection refused";
        assert_eq!(
            repeat(text),
            format!(
                "failed to renew entry: connection refused (of {} bytes)",
                text.len()
            )
        );
    }
}
