use std::fmt;
use std::sync::Arc;

use aho_corasick::automaton::StateID;
use bytes::Bytes;

use super::forms::Form;
use super::scanner::{Scanner, blot};

/// Looks through a body that passes in parts, wherever these are cut.
///
/// What may be the beginning of a secret is kept back until it is known to be none, or to be one. Fewer
/// than four bytes of it are not kept back: a message that merely ends like a secret begins must reach
/// its reader at once, also where the sender then waits for an answer.
pub struct Sieve {
    scanner: Arc<Scanner>,
    state: StateID,
    /// What came last, as it came: as much of it as a secret may reach back, unless none has begun.
    context: Vec<u8>,
    /// What is kept back, as it will go on.
    held: Vec<u8>,
    holds: bool,
}

/// What an upstream sent may be the credential.
impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sieve")
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}

/// What goes on of a part.
#[derive(Default)]
pub struct Sifted {
    /// May be empty. Secrets in it are masked, as far as they had not gone on before.
    pub goes_on: Bytes,
    /// The first secret that ended in the part.
    pub found: Option<Form>,
}

/// As of a [`Sieve`].
impl fmt::Debug for Sifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sifted")
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}

impl Sieve {
    /// Makes a sieve that masks what it finds.
    #[must_use]
    pub fn masking(scanner: Arc<Scanner>) -> Self {
        Self::new(scanner, true)
    }

    /// Makes a sieve that only tells what it finds: everything goes on at once and as it is.
    #[must_use]
    pub fn telling(scanner: Arc<Scanner>) -> Self {
        Self::new(scanner, false)
    }

    fn new(scanner: Arc<Scanner>, holds: bool) -> Self {
        Self {
            state: scanner.start(),
            scanner,
            context: Vec::new(),
            held: Vec::new(),
            holds,
        }
    }

    /// Takes the next part; `last` where none follows.
    pub fn push(&mut self, part: Bytes, last: bool) -> Sifted {
        let mut found = None;
        let mut secrets = Vec::new();
        let held = self.held.len().cast_signed();
        self.state = self.scanner.scan(self.state, &part, |range, form| {
            found = found.or(Some(form));
            secrets.push(range.start + held..range.end + held);
        });
        if !self.holds {
            return Sifted {
                goes_on: part,
                found,
            };
        }
        let keeps = if last { 0 } else { self.remember(&part) };
        if self.held.is_empty() && secrets.is_empty() && keeps == 0 {
            return Sifted {
                goes_on: part,
                found,
            };
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(&part);
        for range in secrets {
            blot(&mut text, range);
        }
        // What has gone on before can't be kept back any more.
        let goes_on = text.len() - keeps.min(text.len());
        self.held = text.split_off(goes_on);
        Sifted {
            goes_on: text.into(),
            found,
        }
    }

    /// Tells whether anything is kept back.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Keeps in mind what a secret may begin with; returns how many bytes are to be kept back.
    fn remember(&mut self, part: &[u8]) -> usize {
        if self.state == self.scanner.start() {
            self.context.clear();
            return 0;
        }
        let reach = self.scanner.longest().saturating_sub(1);
        let of_part = part
            .get(part.len().saturating_sub(reach)..)
            .unwrap_or_default();
        let of_context = self.context.len().saturating_sub(reach - of_part.len());
        self.context.drain(..of_context);
        self.context.extend_from_slice(of_part);
        let depth = self.scanner.depth(&self.context);
        if depth < LEAST { 0 } else { depth }
    }
}

/// The fewest bytes that are kept back.
const LEAST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "abcdabcde-s3cret";

    #[test]
    fn a_secret_is_masked_wherever_it_is_cut() {
        let text = format!("before {SECRET} between {SECRET}{SECRET} after abcdabc");
        for size in 1..text.len() {
            let mut sieve = sieve();
            let (mut passed, mut found) = (Vec::new(), 0);
            let mut parts = text.as_bytes().chunks(size).peekable();
            while let Some(part) = parts.next() {
                let last = parts.peek().is_none();
                let sifted = sieve.push(Bytes::copy_from_slice(part), last);
                passed.extend_from_slice(&sifted.goes_on);
                found += usize::from(sifted.found.is_some());
            }
            assert_eq!(passed.len(), text.len(), "{size}");
            assert!(found > 0 && sieve.is_idle());
            for (place, byte) in passed.iter().enumerate() {
                let of_a_secret = text
                    .match_indices(SECRET)
                    .find(|(start, _)| (*start..start + SECRET.len()).contains(&place));
                let shown = text.as_bytes()[place] == *byte;
                match of_a_secret {
                    None => assert!(shown, "{size}, {place}"),
                    Some((start, _)) => assert!(!shown || place < start + 3, "{size}, {place}"),
                }
            }
        }
    }

    #[test]
    fn of_a_secret_in_parts_of_one_byte_three_bytes_go_on() {
        let mut sieve = sieve();
        let mut passed = Vec::new();
        for byte in SECRET.bytes() {
            let part = Bytes::copy_from_slice(&[byte]);
            passed.extend_from_slice(&sieve.push(part, false).goes_on);
        }
        passed.extend_from_slice(&sieve.push(Bytes::new(), true).goes_on);
        assert_eq!(passed, b"abc*************");
    }

    #[test]
    fn what_only_begins_like_a_secret_goes_on_when_that_is_known() {
        let mut sieve = sieve();
        let mut push = |part: &'static str| {
            sieve
                .push(Bytes::from_static(part.as_bytes()), false)
                .goes_on
        };
        assert_eq!(push("data: abc"), "data: abc");
        assert_eq!(push("dab"), "");
        assert_eq!(push("x"), "dabx");
        assert_eq!(push("abcdabcd"), "");
        // The secret may still have begun in the middle.
        assert_eq!(push("ab"), "abcd");
        assert_eq!(sieve.push(Bytes::new(), true).goes_on, "abcdab");
        assert!(sieve.is_idle());
    }

    #[test]
    fn a_part_without_a_trace_goes_on_uncopied() {
        let mut sieve = sieve();
        let part = Bytes::from_static(b"nothing in it.");
        let sifted = sieve.push(part.clone(), false);
        assert_eq!(sifted.goes_on.as_ptr(), part.as_ptr());
    }

    #[test]
    fn one_that_only_tells_changes_nothing() {
        let scanner = Arc::new(Scanner::new(&[SECRET]).expect("a scanner"));
        let mut sieve = Sieve::telling(scanner);
        let sifted = sieve.push(Bytes::from_static(b"abcdabcde-s3c"), false);
        assert_eq!(
            (&sifted.goes_on[..], sifted.found),
            (&b"abcdabcde-s3c"[..], None)
        );
        let sifted = sieve.push(Bytes::from_static(b"ret"), false);
        assert_eq!(
            (&sifted.goes_on[..], sifted.found),
            (&b"ret"[..], Some(Form::Raw))
        );
    }

    fn sieve() -> Sieve {
        Sieve::masking(Arc::new(Scanner::new(&[SECRET]).expect("a scanner")))
    }
}
