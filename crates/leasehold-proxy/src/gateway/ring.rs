//! Hashing that keeps most keys where they are when endpoints come and go.

/// Points on a circle, some for each endpoint. A key belongs to the first that follows it.
#[derive(Debug, Default)]
pub(super) struct Ring {
    points: Vec<(u64, usize)>,
}

impl Ring {
    /// Places endpoints by their names and weights.
    pub(super) fn new<'a>(endpoints: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut points = Vec::new();
        for (place, (name, weight)) in endpoints.enumerate() {
            let own = hash(name.as_bytes());
            let count = u64::from(weight.min(HEAVIEST)) * POINTS;
            points.extend((0..count).map(|number| (mix(own ^ mix(number)), place)));
        }
        points.sort_unstable();
        Self { points }
    }

    /// Returns whom a key belongs to, among those that are open.
    pub(super) fn choose(&self, key: u64, open: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, from) = self.points.split_at_checked(start)?;
        let mut round = from.iter().chain(before).map(|(_, place)| *place);
        round.find(|place| open(*place))
    }
}

/// Hashes to the same number in every process, so that gateways agree.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    mix(bytes.iter().fold(FNV_OFFSET, fold))
}

/// Spreads numbers that lie close together.
const fn mix(mut number: u64) -> u64 {
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// For one of weight 1: enough that shares differ by a few parts in a hundred.
const POINTS: u64 = 128;
const HEAVIEST: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_by_weight() {
        let ring = Ring::new([("a", 1), ("b", 1), ("c", 2)].into_iter());
        let mut seen = [0; 3];
        for key in keys() {
            seen[ring.choose(key, |_| true).expect("one")] += 1;
        }
        assert!((1800..3200).contains(&seen[0]), "{seen:?}");
        assert!((4000..6000).contains(&seen[2]), "{seen:?}");
    }

    #[test]
    fn one_that_goes_takes_no_other_key_along() {
        let before = Ring::new([("a", 1), ("b", 1), ("c", 1)].into_iter());
        let after = Ring::new([("a", 1), ("b", 1)].into_iter());
        for key in keys() {
            let chosen = before.choose(key, |_| true);
            if chosen != Some(2) {
                assert_eq!(after.choose(key, |_| true), chosen);
            }
            assert_eq!(
                before.choose(key, |it| it != 2),
                after.choose(key, |_| true)
            );
        }
        assert_eq!(before.choose(7, |_| false), None);
        assert_eq!(Ring::default().choose(7, |_| true), None);
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..10_000).map(|number: u32| hash(&number.to_be_bytes()))
    }
}
