//! Reads the tree by the schema: gathers every fault of shape, and returns the tree without the
//! parts that have one, so that the rest of the document can be looked at further.

mod choice;
mod object;
mod scalar;

use serde_json::Value;

use crate::code::Code;
use crate::fault::Fault;
use crate::node::{Kind, Node, Span, item_span};
use crate::report::Report;
use crate::secret_scan;

/// Returns the part of the document that has the shape that `schema` describes.
pub(crate) fn decode(schema: &Value, root: &Node, report: &mut Report) -> Option<Node> {
    let at = Span::new(root.span.start, root.span.start);
    let place = Here {
        node: root,
        at,
        key: "the document",
        owner: None,
    };
    let mut decoder = Decoder { schema, report };
    decoder.value(schema, place)
}

struct Decoder<'a> {
    schema: &'a Value,
    report: &'a mut Report,
}

/// A node with what faults about it must know.
#[derive(Clone, Copy)]
struct Here<'a> {
    node: &'a Node,
    /// What a fault about the node points at.
    at: Span,
    /// The key that the node stands under.
    key: &'a str,
    /// The definition that the node is part of.
    owner: Option<&'a str>,
}

impl Here<'_> {
    /// Returns what is left of the node.
    const fn with(self, kind: Kind) -> Node {
        Node {
            kind,
            span: self.node.span,
        }
    }
}

impl<'a> Decoder<'a> {
    fn value(&mut self, schema: &'a Value, here: Here<'a>) -> Option<Node> {
        let leaf = self.choose(schema, here)?;
        let here = Here {
            owner: leaf.owner.or(here.owner),
            ..here
        };
        match &here.node.kind {
            Kind::Map(_) => self.object(leaf.schema, here),
            Kind::List(items) => self.list(leaf.schema, here, items),
            Kind::Text(_) | Kind::Bool(_) => Some(here.node.clone()),
            Kind::Number(number) => self.number(leaf.schema, here, number),
            Kind::Null => None,
        }
    }

    fn list(&mut self, schema: &'a Value, here: Here<'a>, items: &'a [Node]) -> Option<Node> {
        if items.is_empty() && schema.get("minItems").is_some() {
            self.empty(here);
            return None;
        }
        let item_schema = schema.get("items")?;
        let read = items.iter().filter_map(|node| {
            let at = item_span(node);
            self.value(item_schema, Here { node, at, ..here })
        });
        Some(here.with(Kind::List(read.collect())))
    }

    fn empty(&mut self, here: Here<'a>) {
        let message = format!("`{}` is empty", here.key);
        let help = "it must hold at least one entry";
        self.report
            .add(Fault::new(Code::Empty, here.at, message).with_help(help));
    }

    /// Reports a value of the wrong type, or what it is if it looks like a secret.
    fn wrong_type(&mut self, here: Here<'a>, expected: &str) {
        self.report.hide(here.node);
        if here.node.is_written_scalar() && self.secret(here) {
            return;
        }
        let message = format!("`{}` must be {expected}, and {}", here.key, what(here.node));
        let fault = Fault::new(Code::WrongType, here.at, message);
        self.report.add(match here.node.kind {
            Kind::Bool(_) | Kind::Number(_) if expected == "text" => {
                fault.with_help("put it in quotes")
            }
            Kind::Text(_) | Kind::List(_) | Kind::Map(_) | Kind::Null => fault,
            Kind::Bool(_) | Kind::Number(_) => fault,
        });
    }

    /// Reports a scalar whose key promises a secret; tells whether it did.
    fn secret(&mut self, here: Here<'a>) -> bool {
        let in_consumer = here.owner.is_some_and(|owner| CONSUMERS.contains(&owner));
        let fault = if in_consumer && is_consumer_key(here) {
            secret_scan::consumer_key(here.node.span)
        } else if secret_scan::names_secret(here.key) {
            secret_scan::in_document(here.node.span, "a secret value")
        } else {
            return false;
        };
        self.report.add(fault);
        true
    }
}

/// Within a consumer, what stands in a list of keys is one, and so is what is called one.
fn is_consumer_key(here: Here<'_>) -> bool {
    here.key == "keys" || secret_scan::names_consumer_key(here.key)
}

fn what(node: &Node) -> &'static str {
    match node.kind {
        Kind::Null => "has no value",
        Kind::Bool(_) => "is a truth value",
        Kind::Number(_) => "is a number",
        Kind::Text(_) => "is text",
        Kind::List(_) => "is a list",
        Kind::Map(_) => "is a mapping",
    }
}

const CONSUMERS: &[&str] = &["Consumer", "ConsumerKey"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::schema;

    /// What `decode` acts on, what `validate` checks, and what only describes.
    const UNDERSTOOD: [&str; 21] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "items",
        "maximum",
        "minItems",
        "minProperties",
        "minimum",
        "oneOf",
        "pattern",
        "properties",
        "propertyNames",
        "required",
        "title",
        "type",
    ];

    #[test]
    fn the_schema_asks_for_nothing_that_nobody_checks() {
        keywords(&schema());
    }

    fn keywords(schema: &Value) {
        let Value::Object(object) = schema else {
            return;
        };
        for (keyword, value) in object {
            assert!(UNDERSTOOD.contains(&keyword.as_str()), "{keyword}");
            match (keyword.as_str(), value) {
                ("properties" | "$defs", Value::Object(named)) => {
                    named.values().for_each(keywords);
                }
                ("oneOf" | "anyOf", Value::Array(choices)) => choices.iter().for_each(keywords),
                ("items" | "additionalProperties", value) => keywords(value),
                _ => {}
            }
        }
    }
}
