//! Takes out of a text what no report may show.

use crate::node::Span;
use crate::words;

/// Returns `text` with a `*` for each byte within `spans`, so that all places stay where they are.
pub(crate) fn spans(text: &str, mut spans: Vec<Span>) -> String {
    spans.sort();
    let mut masked = String::with_capacity(text.len());
    let mut rest = spans.iter().peekable();
    let mut covered = 0;
    for (at, character) in text.char_indices() {
        while let Some(span) = rest.next_if(|span| span.start <= at) {
            covered = covered.max(span.end);
        }
        push(&mut masked, character, at < covered);
    }
    masked
}

/// Returns `text` with all of it masked but its line ends, its brackets and the keys of its lines.
///
/// For text that could not be read as YAML: there is no telling in it what is a value.
pub(crate) fn unreadable(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let shown = shown_head(line);
        for (at, character) in line.char_indices() {
            let structure = character.is_whitespace() || STRUCTURE.contains(character);
            push(&mut masked, character, at >= shown && !structure);
        }
    }
    masked
}

/// Returns how many bytes of a line are indentation, list dashes and a key that looks like one.
fn shown_head(line: &str) -> usize {
    let content = line.trim_start_matches([' ', '-']);
    let indent = line.len().saturating_sub(content.len());
    match content.split_once(':') {
        Some((key, _)) if words::is_field_like(key) => indent.saturating_add(key.len()),
        _ => indent,
    }
}

fn push(masked: &mut String, character: char, hidden: bool) {
    if hidden && !matches!(character, '\n' | '\r') {
        masked.extend(std::iter::repeat_n('*', character.len_utf8()));
    } else {
        masked.push(character);
    }
}

const STRUCTURE: &str = ":{}[],'\"#";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_every_byte_and_line_in_its_place() {
        let text = "a: sécret\nb: two\n lines\nc: open\n";
        let masked = spans(
            text,
            vec![Span::new(14, 24), Span::new(3, 10), Span::new(5, 8)],
        );
        assert_eq!(masked, "a: *******\nb: ***\n******\nc: open\n");
        assert_eq!(masked.len(), text.len());
    }

    #[test]
    fn of_unreadable_text_only_the_structure_is_shown() {
        let text = "upstreams:\n  - pay: {key: hunter2}\n  hunter2 and: more\nhunter2\n";
        let masked = unreadable(text);
        assert_eq!(
            masked,
            "upstreams:\n  - pay: {***: *******}\n  ******* ***: ****\n*******\n"
        );
    }
}
