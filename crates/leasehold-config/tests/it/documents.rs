//! What the tests share: a sound document, and reports as text.

use std::path::{Path, PathBuf};

use leasehold_config::{Faults, load};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// A document with every section.
pub(crate) const SOUND: &str = r#"instance: edge-1
listeners:
  public: { address: "127.0.0.1:8080" }
providers:
  vault:
    kind: vault
    address: https://vault:8200
    auth: { approle: { role_id: role-1, secret_id: { file: secret-id } } }
  native: { kind: native, file: native.db, key_file: native.key }
credentials:
  payments-key: { from: { provider: vault, kv: kv/payments/api, field: key } }
  orders-db: { from: { provider: vault, lease: database/creds/orders } }
  local-key: { from: { provider: native, path: local, field: key } }
upstreams:
  payments: { endpoints: ["https://payments"], credential: payments-key, inject: { header: X-Api-Key } }
  orders: { endpoints: ["http://orders:80"], credential: orders-db, inject: { basic: { username: username, password: password } } }
consumers:
  checkout: { keys: [{ sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 }] }
routes:
  - { match: { host: API.example.com, path: /payments/ }, upstream: payments, consumers: [checkout] }
  - { upstream: orders, consumers: anyone }
"#;

/// Returns the sound document with one part replaced.
pub(crate) fn with(part: &str, replacement: &str) -> String {
    assert_eq!(SOUND.matches(part).count(), 1, "one {part:?} to replace");
    SOUND.replace(part, replacement)
}

/// Returns the codes of a document's faults, without their common beginning, and their lines.
pub(crate) fn faults_of(text: &str) -> Vec<(usize, &'static str)> {
    match load("leasehold.yaml", text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .iter()
            .map(|fault| {
                let code = fault.code().as_str();
                (fault.line(), code.trim_start_matches("leasehold::config::"))
            })
            .collect(),
    }
}

/// Returns a document's report as the terminal shows it.
pub(crate) fn report(text: &str) -> String {
    let faults = load("leasehold.yaml", text).expect_err("a document with faults");
    rendered(&faults)
}

pub(crate) fn rendered(faults: &Faults) -> String {
    let mut report = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut report, faults)
        .expect("a report");
    report
}

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
