//! Which canary was found in which place and form.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Form, scan};
use serde_json::{Value, json};

use super::canaries::Canaries;
use super::places::{How, PLACES, Places};

/// How a canary was written where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Form(Form),
    /// Within something that was packed.
    Packed(Form),
    /// Something is packed so that nobody can look.
    Unreadable,
}

/// One canary in one place.
pub(crate) struct Found {
    pub(crate) form: Finding,
    canary: String,
    piece: String,
}

pub(crate) struct Report {
    places: Vec<(u8, Row)>,
    canaries: Vec<String>,
}

#[derive(Default)]
struct Row {
    pieces: usize,
    bytes: usize,
    found: Vec<Found>,
}

impl Report {
    /// Searches everything that was collected.
    pub(crate) fn of(places: &Places, canaries: &Canaries) -> Result<Self> {
        let mut rows = Vec::new();
        for place in &PLACES {
            let mut row = Row::default();
            for piece in places.pieces(place.number) {
                row.pieces += 1;
                row.bytes += piece.size();
                for (secret, form) in piece.search(canaries.values())? {
                    row.found.push(Found {
                        form,
                        canary: canaries.name(secret).to_owned(),
                        piece: piece.name.clone(),
                    });
                }
            }
            rows.push((place.number, row));
        }
        Ok(Self {
            places: rows,
            canaries: canaries.names().to_vec(),
        })
    }

    pub(crate) fn hits(&self) -> usize {
        self.found().count()
    }

    pub(crate) fn found(&self) -> impl Iterator<Item = (u8, &Found)> {
        let places = self.places.iter();
        places.flat_map(|(number, row)| row.found.iter().map(|it| (*number, it)))
    }

    /// Writes the report as text and as JSON, which must not hold what it is about either.
    pub(crate) fn write(&self, directory: &Path, canaries: &Canaries) -> Result<()> {
        let (text, json) = (
            self.to_string(),
            serde_json::to_string_pretty(&self.json())?,
        );
        for report in [&text, &json] {
            ensure!(
                scan(report.as_bytes(), canaries.values())?.is_empty(),
                "the report shows one"
            );
        }
        std::fs::create_dir_all(directory)?;
        for (name, content) in [("report.txt", text), ("report.json", json)] {
            let file = directory.join(name);
            std::fs::write(&file, content).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let places = PLACES
            .iter()
            .zip(&self.places)
            .map(|(place, (number, row))| {
                let (searched, what) = told(&place.how);
                let hits: Vec<_> = row.found.iter().map(Found::json).collect();
                json!({
                    "number": number, "place": place.name, "searched": searched, "what": what,
                    "pieces": row.pieces, "bytes": row.bytes,
                    "hits_by_form": counts(row), "hits": hits,
                })
            });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hits": self.hits(),
            "canaries": self.canaries,
            "places": places.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "leak check of leasehold {}: {} hits",
            env!("CARGO_PKG_VERSION"),
            self.hits()
        )?;
        writeln!(
            f,
            "{} canaries: {}\n",
            self.canaries.len(),
            self.canaries.join(", ")
        )?;
        write!(
            f,
            "{:>2}  {:<42}{:>7}{:>11}",
            "", "place", "pieces", "bytes"
        )?;
        for column in COLUMNS {
            write!(f, "{column:>9}")?;
        }
        writeln!(f)?;
        for (place, (number, row)) in PLACES.iter().zip(&self.places) {
            write!(f, "{number:>2}  {:<42}", place.name)?;
            match place.how {
                How::NotThere(reason) => write!(f, "  not there: {reason}")?,
                How::Searched(_) => {
                    write!(f, "{:>7}{:>11}", row.pieces, row.bytes)?;
                    let counts = counts(row);
                    for column in COLUMNS {
                        write!(f, "{:>9}", counts.get(column).copied().unwrap_or_default())?;
                    }
                }
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for place in &PLACES {
            if let How::Searched(what) = place.how {
                writeln!(f, "{:>2}  {what}", place.number)?;
            }
        }
        for (number, found) in self.found() {
            writeln!(
                f,
                "FOUND: {} in place {number}, {}, {}",
                found.canary,
                found.piece,
                column(found.form)
            )?;
        }
        Ok(())
    }
}

impl Found {
    fn json(&self) -> Value {
        json!({ "canary": self.canary, "piece": self.piece, "form": column(self.form) })
    }
}

fn told(how: &How) -> (bool, &'static str) {
    match how {
        How::Searched(what) => (true, what),
        How::NotThere(reason) => (false, reason),
    }
}

fn counts(row: &Row) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for found in &row.found {
        *counts.entry(column(found.form)).or_default() += 1;
    }
    counts
}

const fn column(form: Finding) -> &'static str {
    match form {
        Finding::Form(Form::Raw) => "raw",
        Finding::Form(Form::Base64) => "base64",
        Finding::Form(Form::Hex) => "hex",
        Finding::Form(Form::Percent) => "percent",
        Finding::Form(Form::Json) => "json",
        Finding::Form(Form::Utf16) => "utf-16",
        Finding::Packed(_) => "gzip",
        Finding::Unreadable => "zstd",
    }
}

const COLUMNS: [&str; 8] = [
    "raw", "base64", "hex", "percent", "json", "utf-16", "gzip", "zstd",
];
