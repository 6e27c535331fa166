use std::collections::HashSet;

use serde_json::Value;

use super::{Decoder, Here};
use crate::code::Code;
use crate::fault::Fault;
use crate::node::{Entry, Kind, Node, entry_span};
use crate::words;

impl<'a> Decoder<'a> {
    /// Reads a mapping. One that lacks a required field is left out, but for the document itself:
    /// its fields have stand-ins, so that everything else in it is still looked at.
    pub(super) fn object(&mut self, schema: &'a Value, here: Here<'a>) -> Option<Node> {
        if here.node.entries().is_empty() && schema.get("minProperties").is_some() {
            self.empty(here);
            return None;
        }
        let mut read = Vec::new();
        let mut meant = Vec::new();
        let mut above = HashSet::new();
        for entry in here.node.entries() {
            if !above.insert(entry.key.as_str()) {
                self.repeated(entry);
                continue;
            }
            let value = match field(schema, &entry.key) {
                Field::Known(schema) => self.value(schema, within(here, entry, &entry.key)),
                Field::Named(schema) => self.named(schema, here, entry),
                Field::Unknown => {
                    meant.extend(self.unknown(schema, here, entry));
                    None
                }
            };
            read.extend(value.map(|value| Entry {
                value,
                ..entry.clone()
            }));
        }
        self.missing(schema, here, &meant);
        let read = here.with(Kind::Map(read));
        let whole = required(schema).all(|field| read.get(field).is_some());
        (whole || std::ptr::eq(schema, self.schema)).then_some(read)
    }

    /// Reports a key that stands above already. The first one counts.
    fn repeated(&mut self, entry: &Entry) {
        self.report.hide(&entry.value);
        let name = words::shown(&entry.key, "a key");
        let message = format!("{name} stands twice in one mapping");
        self.report
            .add(Fault::new(Code::DuplicateKey, entry.key_span, message));
    }

    /// Reads an entry whose key is a name that the operator chose.
    fn named(&mut self, schema: &'a Value, here: Here<'a>, entry: &'a Entry) -> Option<Node> {
        if !words::is_name(&entry.key) {
            self.report.masks.push(entry.key_span);
            let fault = Fault::new(Code::BadName, entry.key_span, "this is not a name");
            self.report.add(fault.with_help(words::NAME_HELP));
        }
        // A name can promise a secret as well as a field can, and what stands under it is not made
        // harmless by being allowed.
        if secret_scalar(entry) && self.secret(within(here, entry, &entry.key)) {
            self.report.hide(&entry.value);
            return None;
        }
        let key = if words::may_be_shown(&entry.key) {
            &entry.key
        } else {
            here.key
        };
        self.value(schema, within(here, entry, key))
    }

    /// Reports a field that does not exist; returns those that need not be missed for it.
    fn unknown(&mut self, schema: &'a Value, here: Here<'a>, entry: &'a Entry) -> Vec<&'a str> {
        // Nobody knows what stands there, so nobody can say that it may be shown.
        self.report.hide(&entry.value);
        if !words::may_be_shown(&entry.key) {
            self.report.masks.push(entry.key_span);
        }
        if secret_scalar(entry) && self.secret(within(here, entry, &entry.key)) {
            return required(schema).collect();
        }
        let nearest = words::nearest(&entry.key, fields(schema));
        let nearest = nearest.filter(|meant| here.node.get(meant).is_none());
        let message = match words::may_be_shown(&entry.key) {
            true => format!("there is no field `{}` here", entry.key),
            false => "there is no such field here".to_owned(),
        };
        let help = match nearest {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the fields here are {}", words::list(fields(schema))),
        };
        self.report
            .add(Fault::new(Code::UnknownField, entry.key_span, message).with_help(help));
        nearest.into_iter().collect()
    }

    /// Reports required fields that are absent, unless another was meant to be one.
    fn missing(&mut self, schema: &'a Value, here: Here<'a>, meant: &[&str]) {
        for name in required(schema) {
            if here.node.get(name).is_some() || meant.contains(&name) {
                continue;
            }
            let fault = Fault::new(Code::MissingField, here.at, format!("`{name}` is missing"));
            let pointer = format!("/properties/{name}/description");
            let described = schema.pointer(&pointer).and_then(Value::as_str);
            self.report.add(match described {
                Some(text) => fault.with_help(text),
                None => fault,
            });
        }
    }
}

/// What a key is to a schema.
enum Field<'a> {
    Known(&'a Value),
    Named(&'a Value),
    Unknown,
}

fn field<'a>(schema: &'a Value, key: &str) -> Field<'a> {
    if let Some(known) = schema.get("properties").and_then(|all| all.get(key)) {
        return Field::Known(known);
    }
    match schema.get("additionalProperties") {
        Some(named @ Value::Object(_)) => Field::Named(named),
        _ => Field::Unknown,
    }
}

fn within<'a>(here: Here<'a>, entry: &'a Entry, key: &'a str) -> Here<'a> {
    Here {
        node: &entry.value,
        at: entry_span(entry),
        key,
        owner: here.owner,
    }
}

/// Tells whether a value is one that could be a secret: a scalar, or a list of them.
fn secret_scalar(entry: &Entry) -> bool {
    let value = &entry.value;
    value.is_written_scalar() || value.items().iter().any(|item| item.is_written_scalar())
}

fn fields(schema: &Value) -> impl Iterator<Item = &str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(|all| all.keys().map(String::as_str))
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}
