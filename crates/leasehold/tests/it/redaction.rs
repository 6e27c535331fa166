//! What may hold a credential can't be printed: no type that has room for one derives `Debug`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

#[test]
fn nothing_that_may_hold_a_credential_derives_debug() -> Result<()> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("beside the others")?;
    let mut found = Vec::new();
    let mut looked_at = 0;
    for room in ROOMS {
        for file in sources(&crates.join(room).join("src"))? {
            let source = fs::read_to_string(&file)?;
            for (name, body) in printable(&source) {
                looked_at += 1;
                if HOLDERS.iter().any(|it| mentions(&body, it)) && !is_excepted(&name) {
                    found.push(format!("{name} in {}", file.display()));
                }
            }
        }
    }
    ensure!(looked_at > 100, "{looked_at} types were looked at");
    ensure!(found.is_empty(), "write `Debug` by hand for {found:#?}");
    Ok(())
}

#[test]
fn the_search_sees_what_would_print_a_credential() {
    let source = "\
        #[derive(Clone, Debug)]\n\
        #[expect(dead_code)]\n\
        pub(crate) struct Bad {\n    head: Parts, // a head\n}\n\
        #[derive(Debug)]\n\
        struct Short(Uri);\n\
        #[derive(Clone)]\n\
        struct Silent { head: Parts }\n\
        #[derive(Debug)]\n\
        enum Fine {\n    /// Of a Uri.\n    A,\n}\n";
    let bad: Vec<_> = printable(source)
        .into_iter()
        .filter(|(_, body)| HOLDERS.iter().any(|it| mentions(body, it)))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(bad, ["Bad", "Short"]);
}

/// Returns names and bodies of the types that derive `Debug`.
fn printable(source: &str) -> Vec<(String, String)> {
    let mut types = Vec::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let derives = line.trim().strip_prefix("#[derive(");
        if !derives.is_some_and(|it| mentions(it, "Debug")) {
            continue;
        }
        let mut item = String::new();
        let mut depth = 0_usize;
        for line in lines.by_ref() {
            let code = line.split("//").next().unwrap_or_default();
            if code.trim_start().starts_with("#[") {
                continue;
            }
            item.push_str(code);
            item.push('\n');
            depth += code.matches(['{', '(']).count();
            depth = depth.saturating_sub(code.matches(['}', ')']).count());
            if depth == 0 && code.trim_end().ends_with(['}', ';']) {
                break;
            }
        }
        let words: Vec<_> = item
            .split(|it: char| !it.is_alphanumeric() && it != '_')
            .collect();
        let at = words.iter().position(|it| ["struct", "enum"].contains(it));
        if let Some(name) = at.and_then(|at| words.get(at + 1)) {
            types.push(((*name).to_owned(), item));
        }
    }
    types
}

/// Tells whether a word stands there by itself.
fn mentions(text: &str, word: &str) -> bool {
    text.split(|it: char| !it.is_alphanumeric() && it != '_')
        .any(|it| it == word)
}

fn is_excepted(name: &str) -> bool {
    EXCEPTED.iter().any(|(it, _)| *it == name)
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Those that see plaintext, or a request after it was placed.
const ROOMS: [&str; 7] = [
    "leasehold-secret",
    "leasehold-provider",
    "leasehold-provider-native",
    "leasehold-provider-oauth",
    "leasehold-provider-vault",
    "leasehold-inject",
    "leasehold-proxy",
];
/// What a credential may be in and be printed from. A `HeaderValue` is not among them: where it is one it is
/// marked sensitive, and prints as that.
const HOLDERS: [&str; 10] = [
    "Parts",
    "Request",
    "Response",
    "Uri",
    "PathAndQuery",
    "HeaderMap",
    "Bytes",
    "BytesMut",
    "Zeroizing",
    "Exposed",
];
/// Those that never see one, and why.
const EXCEPTED: [(&str, &str); 4] = [
    (
        "Settings",
        "headers that all calls to Vault have: the namespace",
    ),
    (
        "Content",
        "answers of our own; an upstream's are hidden by `Seal`",
    ),
    ("Wait", "its variant has the name only"),
    ("CheckError", "its variant has the name only"),
];
