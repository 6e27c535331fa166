//! Follows the framing of the requests on a connection of HTTP/1.1, byte by byte, and finds what
//! RFC 9112 forbids and hyper reads leniently.
//!
//! By the time a request is there as a head and a body, it can't be seen any more that its length was
//! given twice, that a coding stood beside it, or that a line ended in a bare LF. Whoever stands before
//! or behind the gateway may have read such a request otherwise. So the bytes are looked at before hyper
//! has them, and none of a request is passed on from where it breaks a rule.
//!
//! This is no second parser: it knows lines, the two headers that frame a body, and chunks.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;

mod line;

use line::{Header, chunk_size, content_length, is_trailer, request_line};

/// What is known of a connection's framing after the bytes seen so far.
///
/// It costs no memory between requests: only a line that one read did not end is kept.
#[derive(Default)]
pub(crate) struct Framing {
    stage: Stage,
    head: Head,
    /// The beginning of a line whose end was not read yet.
    carried: Vec<u8>,
    /// How many requests have begun.
    requests: u64,
    /// How many had before the last byte that was of none, or that was the first of the next.
    behind: u64,
}

/// What is carried may be a consumer's key.
impl fmt::Debug for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framing")
            .field("stage", &self.stage)
            .field("requests", &self.requests)
            .field("behind", &self.behind)
            .finish_non_exhaustive()
    }
}

/// Where a rule was broken, and which.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where, among the bytes looked at: the first that must not be passed on.
    pub(crate) at: usize,
    pub(crate) place: Place,
    pub(crate) rule: &'static str,
}

/// The part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Head,
    Body,
}

impl Framing {
    /// Looks at the bytes that were read next.
    ///
    /// # Errors
    ///
    /// When they break a rule. Nothing that follows has a meaning then.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let place = self.stage.place();
            if matches!(self.stage, Stage::Start { .. }) {
                self.behind = self.requests;
            }
            let taken = match &mut self.stage {
                Stage::Body(left) | Stage::Chunk(left) => Ok(skip(left, rest.len())),
                Stage::ChunkEnd(ends) => end_of_chunk(ends, first),
                Stage::Start { .. } | Stage::Fields | Stage::Size | Stage::Trailers => {
                    self.line(rest)
                }
            };
            let taken = taken.map_err(|Broken { at, rule }| Fault {
                at: bytes.len() - rest.len() + at,
                place,
                rule,
            })?;
            self.pass_end();
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Tells behind which request bytes were seen, counted from one.
    pub(crate) const fn behind(&self) -> u64 {
        self.behind
    }

    /// Tells whether the last request asks to speak something else on the connection.
    pub(crate) const fn asks_for_upgrade(&self) -> bool {
        self.head.upgrade
    }

    /// Tells whether the same may come next as there.
    pub(crate) fn is_at_the_place_of(&self, other: &Self) -> bool {
        self.stage == other.stage && self.carried == other.carried
    }

    /// Leaves a part of fixed length that has come to its end.
    fn pass_end(&mut self) {
        match self.stage {
            Stage::Body(0) => self.stage = Stage::default(),
            Stage::Chunk(0) => self.stage = Stage::ChunkEnd(b"\r\n"),
            Stage::ChunkEnd([]) => self.stage = Stage::Size,
            _ => {}
        }
    }

    /// Takes one line, or keeps the beginning of one; returns how many bytes that was.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Broken> {
        let Some(end) = end_of_line(self.carried.last() == Some(&b'\r'), rest)? else {
            self.carry(rest)?;
            return Ok(rest.len());
        };
        let line = rest.get(..end).unwrap_or_default();
        let whole = if self.carried.is_empty() {
            Cow::Borrowed(line)
        } else {
            let mut carried = std::mem::take(&mut self.carried);
            carried.extend_from_slice(line);
            Cow::Owned(carried)
        };
        // What is wrong with a line is found before its LF goes on, so that hyper never has all of it.
        let text = whole.strip_suffix(b"\r").unwrap_or(&whole);
        self.take(text).map_err(|rule| Broken { at: end, rule })?;
        Ok(end + 1)
    }

    fn carry(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.carried.len() + bytes.len() > LONGEST_LINE {
            return Err(Broken {
                at: 0,
                rule: "a line is too long",
            });
        }
        self.carried.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes one line, without its end.
    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.stage = match self.stage {
            Stage::Start { skipped: false } if line.is_empty() => Stage::Start { skipped: true },
            Stage::Start { .. } => {
                self.head = Head::default();
                self.requests += 1;
                self.head.old = request_line(line)?;
                Stage::Fields
            }
            Stage::Fields if line.is_empty() => self.head.body(),
            Stage::Fields => {
                self.head.field(line)?;
                Stage::Fields
            }
            Stage::Size => match chunk_size(line)? {
                0 => Stage::Trailers,
                size => Stage::Chunk(size),
            },
            Stage::Trailers if line.is_empty() => Stage::default(),
            Stage::Trailers => {
                is_trailer(line)?;
                Stage::Trailers
            }
            // These have no lines.
            stage @ (Stage::Body(_) | Stage::Chunk(_) | Stage::ChunkEnd(_)) => stage,
        };
        Ok(())
    }
}

/// The part of a request that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A request line, or the one empty line that may stand before it.
    Start {
        skipped: bool,
    },
    Fields,
    /// So many bytes of a body.
    Body(u64),
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// What of the end of a chunk's bytes is still to come.
    ChunkEnd(&'static [u8]),
    Trailers,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Start { skipped: false }
    }
}

impl Stage {
    const fn place(self) -> Place {
        match self {
            Self::Start { .. } | Self::Fields => Place::Head,
            _ => Place::Body,
        }
    }
}

/// What a head says of what follows it.
#[derive(Debug, Default)]
struct Head {
    /// Whether the request is of HTTP/1.0.
    old: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Head {
    fn field(&mut self, line: &[u8]) -> Result<(), &'static str> {
        match Header::of(line)? {
            Header::ContentLength(value) => {
                if self.chunked || self.length.is_some() {
                    return Err("the length of the body is given twice");
                }
                self.length = Some(content_length(value)?);
            }
            Header::TransferEncoding(value) => {
                if self.chunked || self.length.is_some() {
                    return Err("the length of the body is given twice");
                }
                if self.old || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("the transfer coding is not chunked alone");
                }
                self.chunked = true;
            }
            Header::Upgrade => self.upgrade = true,
            Header::Other => {}
        }
        Ok(())
    }

    fn body(&self) -> Stage {
        match self.length {
            _ if self.chunked => Stage::Size,
            None | Some(0) => Stage::default(),
            Some(length) => Stage::Body(length),
        }
    }
}

/// As a fault, counted from where a part begins. Of a bare CR, what should have been an LF is at fault: the
/// CR may have gone on before that was read.
struct Broken {
    at: usize,
    rule: &'static str,
}

/// Finds the LF that ends a line; `None` where it is not there yet.
fn end_of_line(after_cr: bool, rest: &[u8]) -> Result<Option<usize>, Broken> {
    if after_cr {
        return match rest.first() {
            Some(b'\n') => Ok(Some(0)),
            _ => Err(BARE_CR),
        };
    }
    let Some(at) = memchr2(b'\r', b'\n', rest) else {
        return Ok(None);
    };
    match (rest.get(at), rest.get(at + 1)) {
        (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 1)),
        (Some(b'\r'), Some(_)) => Err(Broken {
            at: at + 1,
            ..BARE_CR
        }),
        _ => Err(Broken {
            at,
            rule: "a line ends in a bare LF",
        }),
    }
}

/// Takes as much of `left` as there is, and returns how much that was.
fn skip(left: &mut u64, there: usize) -> usize {
    let there = there as u64;
    let taken = there.min(*left);
    *left -= taken;
    // No more than there is, which is a `usize`.
    usize::try_from(taken).unwrap_or(usize::MAX)
}

fn end_of_chunk(ends: &mut &'static [u8], byte: u8) -> Result<usize, Broken> {
    match ends.split_first() {
        Some((expected, rest)) if *expected == byte => {
            *ends = rest;
            Ok(1)
        }
        _ => Err(Broken {
            at: 0,
            rule: "a chunk is longer than its size",
        }),
    }
}

const BARE_CR: Broken = Broken {
    at: 0,
    rule: "a line holds a bare CR",
};
/// More than hyper reads of a head. It says so in better words, and has the first say.
const LONGEST_LINE: usize = 160 * 1024;

#[cfg(test)]
mod tests;
