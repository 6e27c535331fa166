use std::fmt;
use std::ops::Range;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

use super::forms::{Form, Pattern, forms};
use crate::PrepareError;

/// Finds the secrets of one generation, in every form that an answer may show them in.
///
/// It is an automaton that the secrets were taken apart into: no secret stands in it as a text. Its memory
/// is wiped with the rest of the generation.
pub struct Scanner {
    automaton: NFA,
    start: StateID,
    forms: Vec<Form>,
    longest: usize,
}

impl Scanner {
    /// Makes a scanner for these secrets. Each must be long enough that it isn't met by chance.
    pub(super) fn new(secrets: &[impl AsRef<[u8]>]) -> Result<Self, PrepareError> {
        let patterns = secrets.iter().flat_map(|secret| forms(secret.as_ref()));
        let patterns: Vec<Pattern> = patterns.collect();
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            // It would keep the first bytes of each pattern, and ours have too many for it to help.
            .prefilter(false)
            .build(patterns.iter().map(|(_, text)| text.as_slice()))
            .map_err(|_too_large| PrepareError::Unscannable)?;
        let start = automaton
            .start_state(Anchored::No)
            .map_err(|_unsupported| PrepareError::Unscannable)?;
        Ok(Self {
            start,
            longest: automaton.max_pattern_len(),
            forms: patterns.into_iter().map(|(form, _)| form).collect(),
            automaton,
        })
    }

    /// Finds the first secret in a text that is there as a whole.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<Form> {
        let mut first = None;
        self.scan(self.start, text, |_, form| first = first.or(Some(form)));
        first
    }

    /// Returns a text of the same length with `*` wherever there is a secret.
    #[must_use]
    pub fn mask(&self, text: &[u8]) -> Vec<u8> {
        let mut masked = text.to_vec();
        self.scan(self.start, text, |range, _| blot(&mut masked, range));
        masked
    }

    pub(super) const fn start(&self) -> StateID {
        self.start
    }

    /// Goes on from a state; calls `found` with where in the text each secret ends that was met, and how long
    /// it is: a part of it may have come before the text. Returns the state at the end.
    pub(super) fn scan(
        &self,
        mut state: StateID,
        text: &[u8],
        mut found: impl FnMut(Range<isize>, Form),
    ) -> StateID {
        let it = &self.automaton;
        for (place, byte) in text.iter().enumerate() {
            state = it.next_state(Anchored::No, state, *byte);
            if it.is_special(state) && it.is_match(state) {
                for number in 0..it.match_len(state) {
                    let pattern = it.match_pattern(state, number);
                    let end = place.cast_signed() + 1;
                    let start = end - it.pattern_len(pattern).cast_signed();
                    if let Some(form) = self.forms.get(pattern.as_usize()) {
                        found(start..end, *form);
                    }
                }
            }
        }
        state
    }

    /// Returns how many bytes at the end of `text` may be the beginning of a secret, as far as back as one
    /// may reach.
    pub(super) fn depth(&self, text: &[u8]) -> usize {
        let most = text.len().min(self.longest.saturating_sub(1));
        let ends = (1..=most).rev();
        ends.into_iter()
            .find(|length| {
                let end = text.get(text.len() - length..).unwrap_or_default();
                self.begins_with(end)
            })
            .unwrap_or(0)
    }

    pub(super) const fn longest(&self) -> usize {
        self.longest
    }

    /// Tells whether some pattern begins with a text.
    fn begins_with(&self, text: &[u8]) -> bool {
        let it = &self.automaton;
        let Ok(mut state) = it.start_state(Anchored::Yes) else {
            return false;
        };
        text.iter().all(|byte| {
            state = it.next_state(Anchored::Yes, state, *byte);
            !it.is_dead(state)
        })
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it finds is secret.
        f.debug_struct("Scanner")
            .field("patterns", &self.forms.len())
            .finish_non_exhaustive()
    }
}

/// Makes a part of a text unreadable; what lies before it is elsewhere already.
pub(super) fn blot(text: &mut [u8], range: Range<isize>) {
    let [start, end] = [range.start, range.end].map(|it| usize::try_from(it).unwrap_or(0));
    if let Some(part) = text.get_mut(start..end) {
        part.fill(b'*');
    }
}
