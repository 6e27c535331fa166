//! The JSON Schema of the document, made from the structs of `document`.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

use crate::document::Document;

/// Returns the JSON Schema (draft 2020-12) of the configuration document.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Strict);
    settings
        .into_generator()
        .into_root_schema_for::<Document>()
        .to_value()
}

/// Makes the schema say what the reader does: a field that is left out is left out, not `null`,
/// and what is named by the operator is named in one way.
#[derive(Clone)]
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(object) = schema.as_object_mut() {
            refuse_null(object);
            constrain_names(object);
            tidy(object);
        }
    }
}

fn refuse_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice != &json!({ "type": "null" }));
    if let [Value::Object(only)] = choices.as_mut_slice() {
        let only = std::mem::take(only);
        schema.remove("anyOf");
        schema.extend(only);
    }
}

/// Where keys are names and not fields, they have the form of a name.
fn constrain_names(schema: &mut Map<String, Value>) {
    if matches!(schema.get("additionalProperties"), Some(Value::Object(_))) {
        schema.insert(
            "propertyNames".to_owned(),
            json!({ "pattern": NAME_PATTERN }),
        );
    }
}

/// Takes out what means something to Rust only: the width of integers and the ends of lines.
fn tidy(schema: &mut Map<String, Value>) {
    schema.remove("format");
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text
            .split("\n\n")
            .map(|paragraph| paragraph.replace('\n', " "))
            .collect::<Vec<_>>()
            .join("\n\n");
    }
}

/// The form of a name; `words::is_name` checks the same.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
