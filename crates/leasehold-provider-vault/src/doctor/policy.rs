//! What the text of a policy grants too much, as far as a glance tells.

/// Finds the rules of a policy, in HCL or JSON, that grant more than any gateway needs: sudo anywhere,
/// and changes to everything.
///
/// It reads words and no grammar: a rule is whatever stands between one path and the next.
pub(super) fn too_wide(text: &str) -> Vec<String> {
    let words = words(text);
    let mut found = Vec::new();
    let mut path: Option<&str> = None;
    for (at, word) in words.iter().enumerate() {
        let opens_a_rule = words.get(at + 1).is_some_and(|next| *next == Word::Brace);
        match word {
            Word::Quoted(text) if opens_a_rule && text != "path" => path = Some(text),
            Word::Quoted(capability) => {
                if let Some(path) = path.filter(|path| is_too_much(path, capability)) {
                    found.push(format!("{capability} on {path}"));
                }
            }
            Word::Brace => {}
        }
    }
    found
}

fn is_too_much(path: &str, capability: &str) -> bool {
    let everything = path.chars().all(|it| "*+/".contains(it)) || path == "sys/*";
    match capability {
        "sudo" | "root" => true,
        "create" | "update" | "delete" | "patch" | "write" => everything,
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Quoted(String),
    /// What a rule opens with.
    Brace,
}

/// Takes a text apart into what is quoted and the braces that open, without comments.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' => words.push(Word::Quoted(
                rest.by_ref().take_while(|it| *it != '"').collect(),
            )),
            '{' => words.push(Word::Brace),
            '#' => while rest.next().is_some_and(|it| it != '\n') {},
            '/' if rest.peek() == Some(&'/') => while rest.next().is_some_and(|it| it != '\n') {},
            '/' if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                for each in rest.by_ref().skip(1) {
                    if last == '*' && each == '/' {
                        break;
                    }
                    last = each;
                }
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_and_changes_to_everything_are_found_wherever_they_stand() {
        let text = r#"
            # path "sys/raw/*" { capabilities = ["sudo"] }
            // "sudo"
            /* path "x" { capabilities = ["sudo"] } */
            path "kv/data/*" { capabilities = ["create", "read"] }
            path "a/b/c" {
              capabilities = ["read", "sudo"]
            }
            path "+/*" { capabilities = ["update"] }
            path "sys/*" { policy = "write" }
        "#;
        assert_eq!(
            too_wide(text),
            ["sudo on a/b/c", "update on +/*", "write on sys/*"]
        );
    }

    #[test]
    fn a_policy_in_json_is_read_as_well() {
        // The brace of a rule follows its path, with a colon in between.
        let text = r#"{"path": {"x/y": {"capabilities": ["read", "sudo"]}, "*": {"capabilities": ["read"]}}}"#;
        assert_eq!(too_wide(text), ["sudo on x/y"]);
    }
}
