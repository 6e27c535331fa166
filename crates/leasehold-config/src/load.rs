use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use miette::Diagnostic;
use serde::Deserialize as _;
use serde_json::Value;
use thiserror::Error;

use crate::code::Code;
use crate::decode::decode;
use crate::document::Document;
use crate::fault::{Fault, Faults};
use crate::mask;
use crate::node::{Node, Span};
use crate::report::Report;
use crate::schema::schema;
use crate::secret_scan;
use crate::snapshot::Snapshot;
use crate::validate::validate;
use crate::yaml;

/// Why a configuration file gave no snapshot.
#[derive(Debug, Error, Diagnostic)]
pub enum LoadError {
    /// The file could not be read.
    #[error("read the configuration from {}", path.display())]
    #[diagnostic(code(leasehold::config::unreadable))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The document has faults.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Faults(#[from] Faults),
}

/// Reads and validates the document in `path`.
///
/// Paths in the document are taken from the directory that it stands in.
///
/// # Errors
///
/// Returns [`LoadError::Unreadable`] where the file can't be read, and otherwise every fault of
/// the document at once.
pub fn read(path: &Path) -> Result<Snapshot, LoadError> {
    let bytes = read_limited(path).map_err(|source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let name = path.display().to_string();
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    match String::from_utf8(bytes) {
        Ok(text) => Ok(load_from(base, &name, &text)?),
        Err(error) => {
            Err(not_utf8(&name, error.as_bytes(), error.utf8_error().valid_up_to()).into())
        }
    }
}

/// Validates the document `text`, which reports call `name`. Paths in it stay as written.
///
/// # Errors
///
/// Returns every fault of the document at once.
pub fn load(name: &str, text: &str) -> Result<Snapshot, Faults> {
    load_from(Path::new(""), name, text)
}

fn load_from(base: &Path, name: &str, text: &str) -> Result<Snapshot, Faults> {
    if text.len() > MAX_BYTES {
        return Err(too_large(name));
    }
    let findings = secret_scan::scan(text);
    let mut report = Report {
        faults: findings.faults,
        masks: findings.masks,
    };
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(broken) => {
            let fault = Fault::new(Code::Yaml, broken.span, broken.message);
            report.add(broken.help.into_iter().fold(fault, Fault::with_help));
            let masked = mask::spans(&mask::unreadable(text), report.masks);
            return Err(Faults::new(name, text, masked, report.faults));
        }
    };
    let snapshot = understand(base, &root, &mut report);
    match snapshot {
        Some(snapshot) if report.faults.is_empty() => Ok(snapshot),
        _ => {
            let masked = mask::spans(text, report.masks);
            Err(Faults::new(name, text, masked, report.faults))
        }
    }
}

/// Goes from the tree to the snapshot; reports what stands in the way.
fn understand(base: &Path, root: &Node, report: &mut Report) -> Option<Snapshot> {
    let sound = decode(&SCHEMA, root, report)?;
    match Document::deserialize(sound.to_value()) {
        Ok(document) => Some(validate(document, base, root, &sound, report)),
        // The schema is made from the document's types, so what has the schema's shape is one of
        // them. Where the two ever differ, a refusal without details is right: the error of serde
        // may quote the document.
        Err(_) => {
            let message = "the document has not the shape of a configuration";
            report.add(Fault::new(Code::WrongType, root.span, message));
            None
        }
    }
}

/// Reads no more than what shows that a file is too large.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(name: &str) -> Faults {
    let message = format!("the document is larger than {MAX_BYTES} bytes");
    let fault = Fault::new(Code::TooLarge, Span::new(0, 0), message);
    // The text is not kept: nobody has looked for secrets in it.
    Faults::new(name, "", String::new(), vec![fault])
}

fn not_utf8(name: &str, bytes: &[u8], valid: usize) -> Faults {
    let readable = bytes.get(..valid).unwrap_or_default();
    let text = String::from_utf8_lossy(readable);
    let fault = Fault::new(
        Code::NotUtf8,
        Span::new(valid, valid),
        "the document is not text in UTF-8 from here on",
    );
    let masked = mask::spans(&mask::unreadable(&text), secret_scan::scan(&text).masks);
    Faults::new(name, &text, masked, vec![fault])
}

static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// The largest document that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
