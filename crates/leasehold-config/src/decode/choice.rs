//! Picks, of the forms that a value may have, the one that it was meant to have.

use serde_json::Value;

use super::{Decoder, Here};
use crate::code::Code;
use crate::fault::Fault;
use crate::node::{Kind, Node};
use crate::words;

/// A schema without alternatives.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub(super) schema: &'a Value,
    /// The definition that the schema stands in, where it has a name.
    pub(super) owner: Option<&'a str>,
}

impl<'a> Decoder<'a> {
    /// Returns the form that the node has; reports a node that has none of them.
    pub(super) fn choose(&mut self, schema: &'a Value, here: Here<'a>) -> Option<Leaf<'a>> {
        let mut leaves = Vec::new();
        self.leaves(schema, None, &mut leaves);
        let wanted = type_name(here.node);
        let fitting: Vec<_> = leaves
            .iter()
            .filter(|leaf| has_type(leaf.schema, wanted))
            .collect();
        match fitting.as_slice() {
            [] => {
                self.wrong_type(here, &all_expected(&leaves));
                None
            }
            [only] if !has_word(only.schema, here.node) => {
                self.report.hide_unless_name(here.node);
                let message = format!("there is no such word for `{}`", here.key);
                let help = format!("it must be {}", all_expected(&leaves));
                self.report
                    .add(Fault::new(Code::UnknownValue, here.at, message).with_help(help));
                None
            }
            [only] => Some(**only),
            several if several.iter().all(|leaf| word_of(leaf.schema).is_some()) => {
                self.by_word(several, here)
            }
            several => self.by_kind(several, here),
        }
    }

    /// Of several words, returns the one that the node is.
    fn by_word(&mut self, leaves: &[&Leaf<'a>], here: Here<'a>) -> Option<Leaf<'a>> {
        let leaf = leaves.iter().find(|leaf| has_word(leaf.schema, here.node));
        if leaf.is_none() {
            self.report.hide_unless_name(here.node);
            let message = format!("there is no such word for `{}`", here.key);
            let words = leaves.iter().filter_map(|leaf| word_of(leaf.schema));
            let help = format!("it is one of {}", words::list(words));
            self.report
                .add(Fault::new(Code::UnknownValue, here.at, message).with_help(help));
        }
        leaf.map(|leaf| **leaf)
    }

    /// Follows references and alternatives down to the schemas that a value can have.
    fn leaves(&self, schema: &'a Value, owner: Option<&'a str>, leaves: &mut Vec<Leaf<'a>>) {
        if let Some(name) = schema.get("$ref").and_then(definition) {
            if let Some(target) = self.schema.get("$defs").and_then(|defs| defs.get(name)) {
                self.leaves(target, Some(name), leaves);
            }
            return;
        }
        let choices = schema.get("oneOf").or_else(|| schema.get("anyOf"));
        match choices.and_then(Value::as_array) {
            Some(choices) => choices
                .iter()
                .for_each(|choice| self.leaves(choice, owner, leaves)),
            None => leaves.push(Leaf { schema, owner }),
        }
    }

    /// Of several mappings, each with a `kind`, returns the one of the node's kind.
    fn by_kind(&mut self, leaves: &[&Leaf<'a>], here: Here<'a>) -> Option<Leaf<'a>> {
        let entry = here.node.get("kind");
        let written = entry.and_then(|entry| entry.value.text());
        if let Some(leaf) = leaves.iter().find(|leaf| kind_of(leaf.schema) == written) {
            return Some(**leaf);
        }
        // Without a kind there is no telling what the other fields mean.
        for entry in here.node.entries() {
            if entry.key == "kind" {
                self.report.hide_unless_name(&entry.value);
            } else {
                self.report.hide(&entry.value);
            }
        }
        let kinds: Vec<_> = leaves
            .iter()
            .filter_map(|leaf| kind_of(leaf.schema))
            .collect();
        let help = format!("it is one of {}", words::list(kinds.iter().copied()));
        self.report.add(match entry {
            None => Fault::new(Code::MissingField, here.at, "`kind` is missing").with_help(help),
            Some(entry) => {
                let nearest = written.and_then(|text| words::nearest(text, kinds.iter().copied()));
                let help = nearest.map_or(help, |kind| format!("did you mean `{kind}`?"));
                Fault::new(
                    Code::UnknownValue,
                    entry.value.span,
                    "there is no such `kind`",
                )
                .with_help(help)
            }
        });
        None
    }
}

fn definition(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix("#/$defs/")
}

fn kind_of(schema: &Value) -> Option<&str> {
    schema.pointer("/properties/kind/const")?.as_str()
}

fn has_type(schema: &Value, wanted: &str) -> bool {
    schema.get("type").and_then(Value::as_str) == Some(wanted)
}

fn word_of(schema: &Value) -> Option<&str> {
    schema.get("const")?.as_str()
}

/// Tells whether a node is the word that a schema asks for, if it asks for one.
fn has_word(schema: &Value, node: &Node) -> bool {
    let words = words_of(schema);
    words.is_empty() || node.text().is_some_and(|text| words.contains(&text))
}

/// Returns the words that a text must be one of, where it must.
fn words_of(schema: &Value) -> Vec<&str> {
    let several = schema.get("enum").and_then(Value::as_array);
    let several = several.into_iter().flatten();
    let words = several.chain(schema.get("const"));
    words.filter_map(Value::as_str).collect()
}

/// Returns the schema's word for what a node is.
fn type_name(node: &Node) -> &'static str {
    match &node.kind {
        Kind::Null => "null",
        Kind::Bool(_) => "boolean",
        Kind::Number(number) if number.is_f64() => "number",
        Kind::Number(_) => "integer",
        Kind::Text(_) => "string",
        Kind::List(_) => "array",
        Kind::Map(_) => "object",
    }
}

fn all_expected(leaves: &[Leaf<'_>]) -> String {
    let all: Vec<_> = leaves.iter().map(|leaf| expected(leaf.schema)).collect();
    all.join(" or ")
}

/// Says in an operator's words what a schema asks for.
fn expected(schema: &Value) -> String {
    match words_of(schema).as_slice() {
        [] => {}
        [word] => return format!("the word `{word}`"),
        several => return format!("one of {}", words::list(several.iter().copied())),
    }
    let words = match schema.get("type").and_then(Value::as_str) {
        Some("string") => "text",
        Some("integer") => "a whole number",
        Some("boolean") => "`true` or `false`",
        Some("array") => "a list",
        Some("object") => "a mapping",
        _ => "something else",
    };
    words.to_owned()
}
