//! Which of several endpoints a request goes to. Nothing here looks at a clock or rolls a die.

/// The endpoints that may be chosen from: the share that each should have, none where it is zero.
pub(super) struct Shares<'a> {
    pub(super) count: usize,
    pub(super) of: &'a dyn Fn(usize) -> u64,
}

impl Shares<'_> {
    fn total(&self) -> u64 {
        (0..self.count).map(self.of).sum()
    }

    /// Returns whose part of the whole a point from 0 to below `total` falls into.
    fn at(&self, mut point: u64) -> Option<usize> {
        (0..self.count).find(|place| {
            let share = (self.of)(*place);
            let inside = point < share;
            point = point.saturating_sub(share);
            inside
        })
    }
}

/// Draws two different ones by their shares, and returns the one that has less to do for its share.
pub(super) fn least_request(
    shares: &Shares<'_>,
    load: impl Fn(usize) -> usize,
    roll: u64,
) -> Option<usize> {
    let total = shares.total();
    if total == 0 {
        return None;
    }
    let first = shares.at((roll >> 32) % total)?;
    let without_first = |place| {
        if place == first {
            0
        } else {
            (shares.of)(place)
        }
    };
    let others = Shares {
        count: shares.count,
        of: &without_first,
    };
    let second = match others.total() {
        0 => first,
        rest => others.at((roll & u64::from(u32::MAX)) % rest)?,
    };
    // Compared crosswise: nothing is lost to a division.
    let cost = |one: usize, other: usize| load(one) as u64 * (shares.of)(other);
    Some(if cost(second, first) < cost(first, second) {
        second
    } else {
        first
    })
}

/// Returns the next in turn; where shares differ, each comes as often as its share says, and not in
/// one go.
pub(super) fn round_robin(shares: &Shares<'_>, turn: usize) -> Option<usize> {
    let mut open = (0..shares.count).filter(|place| (shares.of)(*place) > 0);
    let first = open.next()?;
    let like_first = |place| (shares.of)(place) == (shares.of)(first);
    let rest = open.clone().count();
    if open.clone().all(like_first) {
        return match turn % (rest + 1) {
            0 => Some(first),
            nth => open.nth(nth - 1),
        };
    }
    // Multiples of the golden ratio are spread evenly over the whole.
    let part = u128::from((turn as u64).wrapping_mul(GOLDEN));
    let point = (part * u128::from(shares.total())) >> 64;
    shares.at(u64::try_from(point).ok()?)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_the_one_with_less_to_do_is_chosen() {
        let loads = [9, 0, 9, 9];
        let mut seen = [0; 4];
        for roll in rolls(1000) {
            let chosen = choose(&[1, 1, 1, 1], &loads, roll).expect("one");
            seen[chosen] += 1;
        }
        // Drawn first, or second of the other three: 1/4 + 3/4 · 1/3.
        assert!((440..560).contains(&seen[1]), "{seen:?}");
    }

    #[test]
    fn the_idle_are_drawn_by_weight_and_the_busy_are_held_to_it() {
        let mut seen = [0; 2];
        for roll in rolls(1000) {
            seen[choose(&[1, 9], &[0, 0], roll).expect("one")] += 1;
        }
        assert!((60..150).contains(&seen[0]), "{seen:?}");
        // Nine times the share bears up to nine times the load.
        let (one, other) = (0, u64::from(u32::MAX));
        let drawn = |first: u64, second: u64| (first << 32) | second;
        assert_eq!(choose(&[1, 9], &[2, 9], drawn(one, 5)), Some(1));
        assert_eq!(choose(&[1, 9], &[1, 10], drawn(5, one)), Some(0));
        assert_eq!(choose(&[1, 9], &[1, 9], drawn(5, one)), Some(1), "a draw");
        assert_eq!(
            choose(&[1, 9], &[1, 9], drawn(one, other)),
            Some(0),
            "a draw"
        );
    }

    #[test]
    fn whoever_has_no_share_is_not_chosen() {
        assert!(rolls(100).all(|roll| choose(&[0, 1, 0], &[0, 99, 0], roll) == Some(1)));
        assert_eq!(choose(&[0, 0], &[0, 0], 7), None);
        assert_eq!(choose(&[], &[], 7), None);
        assert_eq!(turn(&[0, 0], 7), None);
    }

    #[test]
    fn turns_go_round_and_follow_the_weights() {
        let seen: Vec<_> = (0..5).map(|at| turn(&[1, 1, 1], at)).collect();
        assert_eq!(seen, [0, 1, 2, 0, 1].map(Some));
        let seen: Vec<_> = (0..4).map(|at| turn(&[2, 0, 2], at)).collect();
        assert_eq!(seen, [0, 2, 0, 2].map(Some));
        let mut counts = [0; 2];
        for at in 0..1000 {
            counts[turn(&[3, 1], at).expect("one")] += 1;
        }
        assert!((740..760).contains(&counts[0]), "{counts:?}");
        let first: Vec<_> = (0..8).filter_map(|at| turn(&[3, 1], at)).collect();
        assert!(first.contains(&1), "not in one go: {first:?}");
    }

    fn choose(shares: &[u64], loads: &[usize], roll: u64) -> Option<usize> {
        least_request(
            &of(shares, &|place| shares[place]),
            |place| loads[place],
            roll,
        )
    }

    fn turn(shares: &[u64], turn: usize) -> Option<usize> {
        round_robin(&of(shares, &|place| shares[place]), turn)
    }

    fn of<'a>(shares: &[u64], of: &'a dyn Fn(usize) -> u64) -> Shares<'a> {
        Shares {
            count: shares.len(),
            of,
        }
    }

    fn rolls(count: u64) -> impl Iterator<Item = u64> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..count).map(move |_| random.u64(..))
    }
}
