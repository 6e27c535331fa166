use leasehold_model::{MessageAlgorithm, Signing, TemplatePart};
use leasehold_provider::Material;
use leasehold_secret::Expose as _;
use zeroize::Zeroizing;

use super::scanner::Scanner;
use crate::prepare::wanted;
use crate::template::{plain, render};
use crate::{Injection, PrepareError};

/// Makes the scanner for everything that these injections show of one generation.
pub(crate) fn scanner_of(
    injections: &[Injection],
    material: &Material,
) -> Result<Scanner, PrepareError> {
    let mut secrets = Vec::new();
    for injection in injections {
        match injection {
            Injection::Header { field, .. } => secrets.push(secret(field, material)?),
            Injection::Basic { username, password } => {
                // The pair is what is encoded as one; the user name alone is no secret.
                secrets.push(pair(username, password, material)?);
                secrets.push(secret(password, material)?);
            }
            Injection::Rendered { template, .. } => {
                for part in &template.parts {
                    if let TemplatePart::Field { name, .. } = part {
                        secrets.push(secret(name, material)?);
                    }
                }
                // What is encoded as one, and what is shown: neither needs to hold a field as it is.
                secrets.push(plain(template, material)?);
                secrets.push(render(template, material)?);
            }
            Injection::Signed(signing) => {
                // An upstream is shown neither, so a match is of a leak elsewhere; what it is shown, the
                // signature, is good for that one request and is not looked for.
                for field in signed_with(signing) {
                    if material.field(field).is_some_and(|it| !it.is_empty()) {
                        secrets.push(secret(field, material)?);
                    }
                }
            }
            // Nobody is shown the key, and what was shown is public.
            Injection::ClientCertificate { .. } | Injection::Kept(_) | Injection::Reflection(_) => {
            }
        }
    }
    Scanner::new(&secrets)
}

/// Returns the fields that requests are signed with and that whoever has them may sign with too. Keys
/// in PEM are not among them: nothing that is sent is made in their form.
fn signed_with(signing: &Signing) -> Vec<&str> {
    match signing {
        Signing::SigV4(rule) => vec![&rule.secret_key, &rule.session_token],
        Signing::Hmac(rule) => vec![&rule.key],
        Signing::Message(rule) if rule.algorithm == MessageAlgorithm::HmacSha256 => vec![&rule.key],
        Signing::Message(_) => Vec::new(),
    }
}

fn secret(field: &str, material: &Material) -> Result<Zeroizing<Vec<u8>>, PrepareError> {
    // EXPOSE: it is taken apart into an automaton that finds it in answers; the copy is wiped then.
    let value = Zeroizing::new(wanted(field, material)?.expose().to_vec());
    if value.len() < SHORTEST {
        return Err(PrepareError::TooShort {
            field: field.to_owned(),
            least: SHORTEST,
        });
    }
    Ok(value)
}

fn pair(
    username: &str,
    password: &str,
    material: &Material,
) -> Result<Zeroizing<Vec<u8>>, PrepareError> {
    let (user, pass) = (wanted(username, material)?, wanted(password, material)?);
    // EXPOSE: as above; the buffer has its full size from the start, so it leaves no smaller selves.
    let (user, pass) = (user.expose(), pass.expose());
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + pass.len()));
    pair.extend_from_slice(&user);
    pair.push(b':');
    pair.extend_from_slice(&pass);
    Ok(pair)
}

/// What is shorter would be met by chance, and answers broken off for it.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use leasehold_secret::Secret;

    use super::*;
    use crate::Form;

    #[test]
    fn a_login_is_found_as_it_is_sent_and_by_its_password() {
        let scanner =
            scanner_of(&[login()], &material("user", "correct horse")).expect("long enough");
        // As `Authorization` has it.
        let basic = b"Basic dXNlcjpjb3JyZWN0IGhvcnNl";
        assert_eq!(scanner.find(basic), Some(Form::Base64));
        assert_eq!(
            scanner.find(b"the password is correct horse."),
            Some(Form::Raw)
        );
        assert_eq!(scanner.find(b"the user is user:"), None);
        assert_eq!(scanner.find(b"<correct horse>"), Some(Form::Raw));
        assert_eq!(scanner.mask(b"<correct horse>"), b"<*************>");
    }

    #[test]
    fn what_is_too_short_to_be_looked_for_is_refused_and_not_passed_over() {
        let error = scanner_of(&[login()], &material("user", "canary!")).expect_err("seven bytes");
        assert!(matches!(error, PrepareError::TooShort { .. }), "{error}");
        let told = format!("{error} {error:?}");
        assert!(
            told.contains("password") && !told.contains("canary"),
            "{told}"
        );
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let scanner =
            scanner_of(&[login()], &material("user", "correct horse")).expect("a scanner");
        assert!(!format!("{scanner:?}").contains("correct"));
    }

    fn login() -> Injection {
        Injection::Basic {
            username: "username".to_owned(),
            password: "password".to_owned(),
        }
    }

    fn material(user: &str, password: &str) -> Material {
        let mut material = Material::default();
        material.insert("username", Secret::new(user));
        material.insert("password", Secret::new(password));
        material
    }
}
