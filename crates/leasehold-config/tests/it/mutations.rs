//! The reader and the schema say the same about documents with a wrong shape.

use std::fs;

use leasehold_config::{Code, load, schema};
use serde_json::{Value, json};

use crate::documents::{SOUND, workspace};

#[test]
fn what_the_schema_refuses_the_reader_refuses() {
    let names = ["vault-anchored", "canary", "cors", "rewrite"];
    let examples = names.map(|name| {
        let path = workspace().join(format!("examples/{name}.yaml"));
        fs::read_to_string(path).expect("an example")
    });
    for text in examples.iter().map(String::as_str).chain([SOUND]) {
        let sound: Value = serde_saphyr::from_str(text).expect("YAML");
        refuse_the_same(&sound);
    }
}

fn refuse_the_same(sound: &Value) {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let mut paths = Vec::new();
    pointers(sound, "", &mut paths);
    let mut refused = 0;
    for path in &paths {
        for value in replacements() {
            let mut mutant = sound.clone();
            *mutant.pointer_mut(path).expect("a value") = value;
            let found = load("mutant", &mutant.to_string());
            if !validator.is_valid(&mutant) {
                refused += 1;
                assert!(found.is_err(), "{path}: {mutant}");
            }
            // The reader's last resort would mean that schema and types differ.
            let faults = found.err();
            let lost = faults.iter().flat_map(|faults| faults.iter()).any(|fault| {
                fault.code() == Code::WrongType && fault.message().contains("has not the shape")
            });
            assert!(!lost, "{path}: {mutant}");
        }
    }
    assert!(
        refused > 100,
        "only {refused} mutants of {} places",
        paths.len()
    );
}

fn replacements() -> [Value; 9] {
    [
        Value::Null,
        json!(true),
        json!(5),
        json!(-1.5),
        json!("text"),
        json!([]),
        json!({}),
        json!(["text", 5]),
        json!({ "field": { "x": [] } }),
    ]
}

fn pointers(value: &Value, path: &str, paths: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        let path = format!("{path}/{key}");
        pointers(value, &path, paths);
        paths.push(path);
    }
}
