//! The one module that knows which YAML library reads the document.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, Options, Spanned};

use crate::node::{Entry, Kind, Node, Span};

/// Why a text is not YAML that we read.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
    pub(crate) span: Span,
}

/// Reads one YAML document into a tree in which each node knows its place.
pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    let root: Spanned<Kind> = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| broken(&error, text))?;
    Ok(node(root))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: MAX_DEPTH,
        },
        // Repeated keys must reach the tree: they are reported with all other faults.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // The library's own snippets would show what our reports mask.
        with_snippet: false,
    }
}

/// Says what is wrong in words of our own, or in the parser's where these are fixed phrases:
/// everything else the library says may quote the document.
fn broken(error: &Error, text: &str) -> Broken {
    // What went wrong within an alias went wrong all the same.
    if let Error::AliasError { error, .. } = error.without_snippet() {
        return broken(error, text);
    }
    let at = error
        .location()
        .map_or(0, |location| offset(location, text));
    let span = Span::new(at, at);
    let (message, help) = match error.without_snippet() {
        Error::ExternalMessage { msg, .. } => {
            return Broken {
                message: format!("this is not YAML: {msg}"),
                help: None,
                span,
            };
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => (
            "the document is too large, too deep, or grows too much through its aliases",
            Some("write it out without aliases, or make it smaller"),
        ),
        Error::MultipleDocuments { .. } => (
            "a second document begins here",
            Some("keep one document in a file: remove the `---` line"),
        ),
        Error::MergeKeyNotAllowed { .. } => (
            "merge keys (`<<`) are not read",
            Some("write the fields out"),
        ),
        Error::UnknownAnchor { .. } => ("this alias refers to no anchor above it", None),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("this alias stands inside its own anchor", None)
        }
        Error::UnsupportedTag { .. } => (
            "tags are not read",
            Some("remove the word that begins with `!`"),
        ),
        Error::Eof { .. } => ("the document is empty", None),
        _ => ("this is not YAML that Leasehold reads", None),
    };
    Broken {
        message: message.to_owned(),
        help,
        span,
    }
}

fn node(spanned: Spanned<Kind>) -> Node {
    Node {
        kind: spanned.value,
        // Where the bytes stand, also for an alias: it is they that must be masked.
        span: span(spanned.defined),
    }
}

fn span(location: Location) -> Span {
    let span = location.span();
    let start = span.byte_offset().and_then(|at| usize::try_from(at).ok());
    let len = span.byte_len().and_then(|len| usize::try_from(len).ok());
    let start = start.unwrap_or_default();
    Span::new(start, start.saturating_add(len.unwrap_or_default()))
}

/// Counts where an error stands: the parser's own errors know line and column only.
fn offset(location: Location, text: &str) -> usize {
    let line = usize::try_from(location.line()).unwrap_or(1);
    let column = usize::try_from(location.column()).unwrap_or(1);
    let mut lines = text.split_inclusive('\n');
    let above = lines.by_ref().take(line.saturating_sub(1));
    let start = above.map(str::len).sum();
    let characters = lines.next().unwrap_or_default().chars();
    characters
        .take(column.saturating_sub(1))
        .map(char::len_utf8)
        .fold(start, usize::saturating_add)
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        let number = serde_json::Number::from_f64(value);
        Ok(number.map_or_else(|| Kind::Text(value.to_string()), Kind::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Kind>>()? {
            items.push(node(item));
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            entries.push(Entry {
                key_span: span(key.defined),
                key: key.value,
                value: node(access.next_value()?),
            });
        }
        Ok(Kind::Map(entries))
    }
}

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 100_000;
const MAX_ALIASES: usize = 1_000;
const MAX_REPLAYED: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows where each scalar and key stands, by cutting it out of the text.
    fn cuts(text: &str) -> Vec<&str> {
        let mut spans = Vec::new();
        let root = parse(text).unwrap();
        walk(&root, &mut spans);
        spans
            .iter()
            .map(|span| text.get(span.start..span.end).unwrap())
            .collect()
    }

    fn walk(node: &Node, spans: &mut Vec<Span>) {
        for entry in node.entries() {
            spans.push(entry.key_span);
            walk(&entry.value, spans);
        }
        node.items().iter().for_each(|item| walk(item, spans));
        if node.is_written_scalar() {
            spans.push(node.span);
        }
    }

    #[test]
    fn a_span_cuts_out_exactly_what_was_written() {
        let text = "# é\na: plain text # comment\n\"b\": 'quo''ted'\nc: [1, \"two\", ü]\n";
        assert_eq!(
            cuts(text),
            [
                "a",
                "plain text",
                "\"b\"",
                "'quo''ted'",
                "c",
                "1",
                "\"two\"",
                "ü"
            ]
        );
    }
}
