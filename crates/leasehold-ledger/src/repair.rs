use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use leasehold_model::{Clock as _, SystemClock};

use crate::entry::{About, Entry, about_key};
use crate::file::LedgerFile;
use crate::ledger::{encoded, read_copy};
use crate::salvage::{Salvage, Unreadable};
use crate::{Contents, LedgerError, publish};

/// What a repair found and did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where the damaged file is now; `None` where nothing was wrong and nothing was done.
    pub damaged: Option<PathBuf>,
    /// What is in the ledger now.
    pub contents: Contents,
    /// How many sessions, anchors, intents and leases that is.
    pub entries: usize,
    /// How many of them were found loose in the damaged file: they may be leases that were ended
    /// already, which the gateway finds out.
    pub loose: usize,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Makes a damaged ledger into one that can be opened, with every entry of it that can be read.
///
/// The damaged file stays beside it as `FILE.damaged-SECONDS`. A ledger that is sound, or was only
/// not closed, is left as it is.
///
/// # Errors
///
/// [`LedgerError::Missing`] and [`LedgerError::Busy`], and when the new file can't be written: the
/// damaged one is in its place then.
pub fn repair(path: impl AsRef<Path>) -> Result<Report, LedgerError> {
    let path = path.as_ref();
    let file = LedgerFile::lock(path)?;
    let bytes = file.bytes()?;
    if let Ok(contents) = read_copy(path, &bytes) {
        return Ok(Report {
            damaged: None,
            entries: contents.entries(),
            contents,
            loose: 0,
            unreadable: Vec::new(),
        });
    }
    let mut salvage = Salvage::of(path, &bytes);
    claim_nothing(&mut salvage);
    let fresh: Result<Vec<_>, _> = salvage
        .found
        .values()
        .map(|(entry, seq)| encoded(path, entry, *seq))
        .collect();
    let now = SystemClock.wall().duration_since(UNIX_EPOCH);
    let damaged = publish::replace(path, &fresh?, now.unwrap_or_default().as_secs())?;
    let (contents, _) = Contents::of(salvage.found.into_values().map(|(entry, _)| entry));
    Ok(Report {
        damaged: Some(damaged),
        entries: contents.entries(),
        contents,
        loose: salvage.loose,
        unreadable: salvage.unreadable,
    })
}

/// Makes sure that there is an entry that says whose the file is, and that counting goes on above
/// everything found.
fn claim_nothing(salvage: &mut Salvage) {
    let last = salvage.found.values().map(|(_, seq)| *seq).max();
    let last = last.unwrap_or_default();
    let mut about = match salvage.found.remove(&about_key()) {
        Some((Entry::About(about), _)) => about,
        _ => About::default(),
    };
    about.applied = about.applied.max(last);
    salvage
        .found
        .insert(about_key(), (Entry::About(about), last));
}
