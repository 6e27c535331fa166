//! Secrets whose form is more than a prefix and a run of characters.

use super::{is_token, run};
use crate::node::Span;

/// Finds private keys in PEM, from their first line to their last.
pub(super) fn private_keys(text: &str) -> Vec<(Span, &'static str)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("-----BEGIN ") {
        let rest = text.get(start..).unwrap_or_default();
        let title = rest.lines().next().unwrap_or_default();
        if title.contains("PRIVATE KEY") {
            let end = rest.find("-----END ").map_or(rest.len(), |at| {
                let last = rest.get(at..).unwrap_or_default();
                at.saturating_add(run(last, |each| each != '\n' && each != '"'))
            });
            let span = Span::new(start, start.saturating_add(end));
            found.push((span, "a private key"));
        }
    }
    found
}

/// Finds what stands before the `@` in the authority of a URL.
pub(super) fn user_infos(text: &str) -> Vec<(Span, &'static str)> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let start = at.saturating_add(mark.len());
        let rest = text.get(start..).unwrap_or_default();
        let authority = rest.get(..run(rest, is_authority)).unwrap_or_default();
        if let Some(end) = authority.rfind('@') {
            let span = Span::new(start, start.saturating_add(end));
            found.push((span, "the user name or password of a URL"));
        }
    }
    found
}

/// Recognises the tokens of Vault before 1.10 and of OpenBao: `s.`, `b.` or `r.` and 24 or more.
pub(super) fn old_vault_token(rest: &str) -> Option<(usize, &'static str)> {
    let body = ["s.", "b.", "r."]
        .into_iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let len = run(body, is_token);
    let token = body.get(..len)?;
    let drawn = token
        .bytes()
        .any(|each| each.is_ascii_digit() || each.is_ascii_uppercase());
    let whole = !body.get(len..)?.starts_with('.');
    (len >= 24 && drawn && whole).then_some((len.saturating_add(2), "a Vault token"))
}

/// Recognises a JSON Web Token: two or three parts in base64url, the first a JSON object.
pub(super) fn jwt(rest: &str) -> Option<(usize, &'static str)> {
    let len = run(rest, |each| is_token(each) || each == '.');
    let mut parts = rest.get(..len)?.split('.');
    let header = parts.next()?;
    let claims = parts.next()?;
    let matches = header.starts_with("eyJ") && header.len() >= 10 && claims.len() >= 10;
    matches.then_some((len, "a JSON Web Token"))
}

/// Recognises the value of an `Authorization` header; its word alone is none.
pub(super) fn authorization(rest: &str) -> Option<(usize, &'static str)> {
    let scheme = rest.get(..run(rest, is_token))?;
    if !["bearer", "basic"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return None;
    }
    let body = rest.get(scheme.len()..)?.strip_prefix(' ')?;
    let len = run(body, |each| is_token(each) || "+/=.~".contains(each));
    let drawn = body.get(..len)?.bytes().any(|each| each.is_ascii_digit());
    let whole = scheme.len().saturating_add(1).saturating_add(len);
    (len >= 12 && drawn).then_some((whole, "the value of an authorization header"))
}

fn is_authority(each: char) -> bool {
    !each.is_whitespace() && !"/?#\"',]}".contains(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut<'a>(text: &'a str, found: &[(Span, &str)]) -> Vec<&'a str> {
        let cut = found
            .iter()
            .map(|(span, _)| text.get(span.start..span.end).unwrap());
        cut.collect()
    }

    #[test]
    fn a_private_key_is_found_to_its_last_line_or_to_the_end() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\n  MIIE\n  -----END RSA PRIVATE KEY-----";
        let text = format!("a: |\n  {key}\nb: c\n");
        assert_eq!(cut(&text, &private_keys(&text)), [key]);
        let open = "-----BEGIN PRIVATE KEY-----\nMIIE";
        assert_eq!(cut(open, &private_keys(open)), [open]);
        assert_eq!(private_keys("-----BEGIN CERTIFICATE-----\nMIIE"), []);
    }

    #[test]
    fn a_url_may_not_carry_a_password() {
        for (text, info) in [
            ("a: https://user:pa@ss@host/", "user:pa@ss"),
            ("a: [\"redis://:pw@host\"]", ":pw"),
        ] {
            assert_eq!(cut(text, &user_infos(text)), [info], "{text}");
        }
        assert_eq!(user_infos("a: http://host/path@2 b: http://[::1]:80"), []);
    }

    #[test]
    fn an_authorization_value_is_a_scheme_with_something_behind_it() {
        for value in ["Bearer abcdef123456", "basic dXNlcjpwYXNzd29yZDE="] {
            let whole = Some((value.len(), "the value of an authorization header"));
            assert_eq!(authorization(value), whole);
        }
        for value in ["Bearer ", "Bearer authentication", "Bearer x1"] {
            assert_eq!(authorization(value), None, "{value}");
        }
    }
}
