use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use leasehold_config::{Injection, Source, Spot, read, schema};
use leasehold_model::Signing;

use crate::documents::workspace;

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace().join("examples")).expect("the examples");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect()
}

#[test]
fn every_example_loads() {
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for path in examples {
        if let Err(error) = read(&path) {
            panic!("{}: {:?}", path.display(), miette::Report::new(error));
        }
    }
}

#[test]
fn every_example_has_the_shape_that_the_schema_describes() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    for path in examples() {
        let text = fs::read_to_string(&path).expect("an example");
        let value: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, [""; 0], "{}", path.display());
    }
}

#[test]
fn the_examples_show_every_injection_and_every_source_that_can_be_injected() {
    let mut sources = BTreeSet::new();
    let (mut header, mut basic, mut certificate) = (0, 0, 0);
    let (mut template, mut query, mut cookie) = (0, 0, 0);
    let (mut sigv4, mut hmac, mut message) = (0, 0, 0);
    for path in examples() {
        let snapshot = read(&path).expect("an example that loads");
        for credential in &snapshot.credentials {
            sources.insert(match credential.source {
                Source::Leased { .. } => "leased",
                Source::Versioned { .. } => "versioned",
                Source::Rotating { .. } => "rotating",
                Source::Certificate { .. } => "certificate",
                Source::Hinted { .. } => "hinted",
                Source::Token { .. } => "token",
                Source::Minted { .. } => "minted",
            });
        }
        for used in snapshot
            .upstreams
            .iter()
            .flat_map(|upstream| &upstream.credentials)
        {
            match used.injection {
                Injection::Header { .. } => header += 1,
                Injection::Rendered {
                    spot: Spot::Header { .. },
                    ..
                } => template += 1,
                Injection::Rendered {
                    spot: Spot::Query(_),
                    ..
                } => query += 1,
                Injection::Rendered {
                    spot: Spot::Cookie(_),
                    ..
                } => cookie += 1,
                Injection::Basic { .. } => basic += 1,
                Injection::ClientCertificate { .. } => certificate += 1,
                Injection::Signed(Signing::SigV4(_)) => sigv4 += 1,
                Injection::Signed(Signing::Hmac(_)) => hmac += 1,
                Injection::Signed(Signing::Message(_)) => message += 1,
            }
        }
    }
    assert_eq!(sources.len(), 7, "{sources:?}");
    assert!(header > 0 && basic > 0 && certificate > 0);
    assert!(template > 0 && query > 0 && cookie > 0);
    assert!(sigv4 > 0 && hmac > 0 && message > 0);
}
