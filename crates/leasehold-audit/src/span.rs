use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use crate::TraceId;

/// A request's place in its trace: the part of the trace that the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its own id, which the upstream is named as the parent.
    pub id: SpanId,
    /// The caller's part, where the caller has named one.
    pub parent: Option<SpanId>,
    /// Whether those who keep traces should keep this one.
    pub sampled: bool,
}

/// The id of a part of a trace, as W3C Trace Context defines it: 8 bytes, written as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// Makes an id of a random number; `None` for zero, which stands for no id.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the id as a number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which of the traces that begin at the gateway are to be kept.
///
/// It goes by the trace's id alone, as OpenTelemetry's samplers do: whoever keeps as many keeps the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling(u64);

impl Sampling {
    /// All of them.
    pub const ALL: Self = Self(RANGE);

    /// One of so many.
    #[must_use]
    pub const fn one_in(count: NonZeroU32) -> Self {
        Self(RANGE / count.get() as u64)
    }

    /// Tells whether a trace is one of them.
    #[must_use]
    pub fn takes(self, trace: TraceId) -> bool {
        trace.random() < self.0
    }
}

/// One more than the largest number of 63 bits.
const RANGE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_traces_is_taken_by_their_ids() {
        let trace = |number| TraceId::new(number).expect("not zero");
        let (lowest, middle, highest) = (trace(1 << 64), trace(1 << 63), trace(u128::MAX));
        let one_in = |count| Sampling::one_in(NonZeroU32::new(count).expect("not zero"));
        assert_eq!(one_in(1), Sampling::ALL);
        let taken = |sampling: Sampling| [lowest, middle, highest].map(|it| sampling.takes(it));
        assert_eq!(taken(Sampling::ALL), [true; 3]);
        assert_eq!(taken(one_in(3)), [true, false, false]);
        assert_eq!(taken(one_in(u32::MAX)), [true, false, false]);
    }

    #[test]
    fn an_id_is_16_digits_and_never_zero() {
        assert_eq!(format!("{:?}", SpanId::new(255)), "Some(00000000000000ff)");
        assert_eq!(SpanId::new(0), None);
    }
}
