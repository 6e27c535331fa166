//! How much callers may ask for.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::time::Duration;

use leasehold_model::LimitName;

use super::{Check, Noun, in_order};
use crate::code::Code;
use crate::document::{
    ConcurrencyLimitDocument, LimitPerDocument, LimitPerWord, RateLimitDocument,
};
use crate::node::Place;
use crate::snapshot::limit::{ConcurrencyLimit, LimitPer, RateLimit};

impl Check<'_> {
    pub(super) fn rate_limits(
        &mut self,
        written: BTreeMap<String, RateLimitDocument>,
        root: Place<'_>,
    ) -> Vec<RateLimit> {
        let section = root.field("rate_limits");
        let mut read = Vec::new();
        for (name, limit) in in_order(written, section) {
            let place = section.field(&name);
            let every = place.field("every");
            let span = self.duration(Some(&limit.every), LEAST, LEAST, every);
            if span > MOST {
                let message = "this must be from 1 ms to a day";
                self.fault(Code::OutOfRange, every, message, "");
            }
            read.push(RateLimit {
                name: LimitName::from(name.as_str()),
                per: self.limit_per(&limit.per, place.field("per")),
                requests: at_least_one(limit.requests),
                every: span,
                burst: at_least_one(limit.burst.unwrap_or(limit.requests)),
                keys: limit.keys.unwrap_or(DEFAULT_KEYS),
                headers: limit.headers.unwrap_or(true),
            });
        }
        read
    }

    pub(super) fn concurrency_limits(
        &mut self,
        written: BTreeMap<String, ConcurrencyLimitDocument>,
        root: Place<'_>,
    ) -> Vec<ConcurrencyLimit> {
        let section = root.field("concurrency_limits");
        let mut read = Vec::new();
        for (name, limit) in in_order(written, section) {
            read.push(ConcurrencyLimit {
                per: self.limit_per(&limit.per, section.field(&name).field("per")),
                name: LimitName::from(name.as_str()),
                requests: at_least_one(limit.requests),
            });
        }
        read
    }

    /// Reads which limits of a section a route names.
    pub(super) fn limits_named(
        &mut self,
        names: &[String],
        noun: Noun,
        place: Place<'_>,
    ) -> Vec<LimitName> {
        let mut known = HashSet::new();
        for (index, name) in names.iter().enumerate() {
            let place = place.item(index);
            self.reference(name, noun, place);
            if !known.insert(name) {
                let message = "this limit is named twice";
                let help = "remove one of them: each counts a request once";
                self.fault(Code::BadCombination, place, message, help);
            }
        }
        let names = names.iter();
        names.map(|it| LimitName::from(it.as_str())).collect()
    }

    fn limit_per(&mut self, written: &LimitPerDocument, place: Place<'_>) -> LimitPer {
        let words = match written {
            LimitPerDocument::One(word) => std::slice::from_ref(word),
            LimitPerDocument::Many(words) => words,
        };
        let has = |word| words.contains(&word);
        for (index, word) in words.iter().enumerate() {
            if words.iter().take(index).any(|it| it == word) {
                let place = place.item(index);
                self.fault(Code::BadCombination, place, "this is said twice", "");
            }
        }
        LimitPer {
            consumer: has(LimitPerWord::Consumer),
            route: has(LimitPerWord::Route),
            address: has(LimitPerWord::Address),
        }
    }
}

/// The shape of the document lets in no zero.
fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

pub(super) const RATE_LIMIT: Noun = Noun {
    singular: "rate limit",
    section: "rate_limits",
    unknown: Code::UnknownLimit,
};
pub(super) const CONCURRENCY_LIMIT: Noun = Noun {
    singular: "concurrency limit",
    section: "concurrency_limits",
    unknown: Code::UnknownLimit,
};
const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_KEYS: usize = 100_000;
