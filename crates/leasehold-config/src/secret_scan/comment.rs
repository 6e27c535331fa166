use super::key::names_secret;
use crate::node::Span;

/// Finds the values of lines that were commented out, such as `# password: hunter2`.
pub(super) fn assignments(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0_usize;
    for line in text.split_inclusive('\n') {
        if let Some(at) = line.find('#').and_then(|hash| value_after(line, hash)) {
            let end = start.saturating_add(line.trim_end().len());
            spans.push(Span::new(start.saturating_add(at), end));
        }
        start = start.saturating_add(line.len());
    }
    spans
}

/// Returns where the value begins that stands behind a secret's name, after `hash`.
fn value_after(line: &str, hash: usize) -> Option<usize> {
    let comment = line.get(hash..)?;
    comment.match_indices([':', '=']).find_map(|(at, mark)| {
        let name = comment.get(..at)?.trim_end().trim_end_matches(['"', '\'']);
        let word = name.rsplit(|each: char| !is_word(each)).next()?;
        let value = hash.saturating_add(at).saturating_add(mark.len());
        names_secret(word).then_some(value)
    })
}

const fn is_word(each: char) -> bool {
    each.is_ascii_alphanumeric() || matches!(each, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let spans = assignments(text);
        spans
            .iter()
            .map(|span| text.get(span.start..span.end).unwrap())
            .collect()
    }

    #[test]
    fn a_password_that_was_commented_out_is_found() {
        assert_eq!(
            found("a: b # c\n  # \"db_password\": 'x y'\n#token = z\r\n"),
            [" 'x y'", " z"]
        );
    }

    #[test]
    fn prose_is_no_assignment() {
        assert_eq!(
            found("# see the manual: chapter 2\n# the password\n"),
            [""; 0]
        );
    }
}
