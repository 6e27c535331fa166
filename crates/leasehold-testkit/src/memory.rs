//! What stands in the memory of a process.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::scan::{Form, scan};

/// A secret that stands in the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Which secret, by its place in the list.
    pub secret: usize,
    /// How it is written.
    pub form: Form,
    /// Where.
    pub address: u64,
    /// What the page is for, as `/proc/PID/maps` has it; empty for memory that was allocated.
    pub region: String,
}

/// Looks for secrets in everything that a process may write to: heaps, stacks, globals.
///
/// The caller must be allowed to: as root, or as the owner of the user namespace that the process was
/// started in. Another process of the same user is not, where the process is hardened.
///
/// # Errors
///
/// When the memory can't be read, or a secret is shorter than 8 bytes.
pub fn copies<S: AsRef<[u8]>>(process: u32, secrets: &[S]) -> Result<Vec<Copy>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).context("read the regions")?;
    let memory = File::open(format!("/proc/{process}/mem")).context("open the memory")?;
    let pages = File::open(format!("/proc/{process}/pagemap")).context("open the page map")?;
    let mut found = Vec::new();
    let mut read = 0;
    for region in maps.lines().filter_map(Region::writable) {
        for (start, end) in region.in_use(&pages)? {
            let mut piece = vec![0; usize::try_from(end - start)?];
            // It may have been given back in the meantime.
            if memory.read_exact_at(&mut piece, start).is_err() {
                continue;
            }
            read += piece.len();
            found.extend(scan(&piece, secrets)?.into_iter().map(|hit| Copy {
                secret: hit.secret,
                form: hit.form,
                address: start + hit.offset as u64,
                region: region.name.clone(),
            }));
        }
    }
    ensure!(read > 0, "no memory of process {process} could be read");
    Ok(found)
}

struct Region {
    start: u64,
    end: u64,
    name: String,
}

impl Region {
    /// Reads a line like `7f00-7f10 rw-p 00000000 00:00 0    [stack]`.
    fn writable(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let mode = fields.next()?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        mode.starts_with("rw").then_some(Self {
            start: address(start)?,
            end: address(end)?,
            name: fields.nth(3).unwrap_or_default().to_owned(),
        })
    }

    /// Returns its parts that there is anything in, neighbouring pages as one. Allocators reserve far more.
    fn in_use(&self, pages: &File) -> Result<Vec<(u64, u64)>> {
        let count = usize::try_from((self.end - self.start) / PAGE)?;
        let mut entries = vec![0; count * ENTRY];
        let at = self.start / PAGE * ENTRY as u64;
        // The region may have been given back in the meantime.
        let read = pages.read_at(&mut entries, at).unwrap_or_default();
        let mut parts: Vec<(u64, u64)> = Vec::new();
        entries.truncate(read);
        for (number, entry) in entries.chunks_exact(ENTRY).enumerate() {
            let flags = entry.last().copied().unwrap_or_default();
            if flags & (PRESENT | SWAPPED) == 0 {
                continue;
            }
            let start = self.start + number as u64 * PAGE;
            match parts.last_mut() {
                Some((_, end)) if *end == start => *end += PAGE,
                _ => parts.push((start, start + PAGE)),
            }
        }
        Ok(parts)
    }
}

/// As `Documentation/admin-guide/mm/pagemap.rst` of the kernel has it: 64 bits a page, in the order of the
/// machine, which is little-endian.
const ENTRY: usize = 8;
const PRESENT: u8 = 1 << 7;
const SWAPPED: u8 = 1 << 6;
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn what_this_process_holds_is_found_until_it_is_wiped() {
        // Never in one piece in the program itself.
        let secret: Vec<u8> = (0..32u8).map(|it| it.wrapping_mul(37) ^ 0x5a).collect();
        let mut held = black_box(secret.clone());
        let found = copies(std::process::id(), &[&secret]).expect("its own memory");
        let at = held.as_ptr() as u64;
        assert!(
            found
                .iter()
                .any(|it| it.address == at && it.form == Form::Raw),
            "{found:?}"
        );
        black_box(&mut held).fill(0);
        let found = copies(std::process::id(), &[&secret]).expect("its own memory");
        assert!(found.iter().all(|it| it.address != at), "{found:?}");
    }
}
