use std::collections::BTreeMap;

use super::*;
use crate::key::key;

/// Over many seeded courses of arrivals, in every window: no more than the burst and what the time is
/// worth, and none refused that there was room for.
#[test]
fn every_window_holds_as_many_as_it_may() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let spec = spec(
            random.u32(1..50),
            Duration::from_millis(random.u64(1..5000)),
            random.u32(1..20),
        );
        let start = BootTime::from_nanos(random.u64(0..1 << 40));
        let limit = RateLimit::new(spec.clone());
        let period = spec.period().as_nanos();
        let burst = u128::from(spec.burst.get());
        let mut now = start;
        let mut admitted: Vec<u128> = Vec::new();
        for _ in 0..400 {
            let pause = random.u64(0..=3 * u64::try_from(period).expect("small"));
            now = now.after(Duration::from_nanos(if random.bool() { pause } else { 0 }));
            let at = u128::from(now.as_nanos());
            // A window from each earlier request to this one, with this one in it.
            let full = admitted.iter().enumerate().any(|(place, from)| {
                let held = (admitted.len() - place + 1) as u128;
                (held - burst.min(held)) * period > at - from
            });
            let decided = limit.check(&key("a"), now);
            assert_eq!(
                decided.is_err(),
                full,
                "seed {seed}, {spec:?}, {admitted:?}"
            );
            match decided {
                Ok(_) => admitted.push(at),
                Err(refused) => {
                    // To the nanosecond: not before, and then.
                    assert!(!refused.wait.is_zero());
                    if random.u8(..4) == 0 {
                        let almost = now.after(refused.wait - Duration::from_nanos(1));
                        assert!(limit.check(&key("a"), almost).is_err());
                        now = now.after(refused.wait);
                        limit.check(&key("a"), now).expect("the time has come");
                        admitted.push(u128::from(now.as_nanos()));
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_left_is_told() {
    let limit = RateLimit::new(spec(10, Duration::from_secs(1), 3));
    let left = |now| limit.check(&key("a"), now).map(|it| (it.left, it.full));
    assert_eq!(left(at(0)), Ok((2, Duration::from_millis(100))));
    assert_eq!(left(at(0)), Ok((1, Duration::from_millis(200))));
    assert_eq!(left(at(0)), Ok((0, Duration::from_millis(300))));
    let wait = Duration::from_millis(100);
    assert_eq!(left(at(0)), Err(Refused { wait }));
    assert_eq!(left(at(100)), Ok((0, Duration::from_millis(300))));
    assert_eq!(left(at(900)), Ok((2, Duration::from_millis(100))));
}

#[test]
fn keys_do_not_meet() {
    let limit = RateLimit::new(spec(1, Duration::from_secs(1), 1));
    let mut seen = BTreeMap::new();
    for name in ["a", "b", "a", "c", "b"] {
        let entry = seen.entry(name).or_insert(0);
        *entry += 1;
        assert_eq!(
            limit.check(&key(name), at(0)).is_ok(),
            *entry == 1,
            "{name}"
        );
    }
}

/// A flood of keys takes up no more than its room, takes nothing away from those that are known, and
/// gets no more in together than one key does.
#[test]
fn a_flood_of_keys_is_bounded_and_frees_nobody() {
    let mut spec = spec(1, Duration::from_secs(1), 1);
    spec.keys = 1600;
    let limit = RateLimit::new(spec);
    limit.check(&key("before"), at(0)).expect("the first");
    let mut admitted = 0;
    for number in 0..100_000 {
        admitted += u32::from(limit.check(&key(&number.to_string()), at(1)).is_ok());
    }
    assert!(limit.keys() <= 1600, "{}", limit.keys());
    // Each key that found room, and one more for each of the 16 parts.
    assert!(admitted <= 1600 + 16, "{admitted}");
    assert!(limit.check(&key("before"), at(2)).is_err());
    assert!(limit.check(&key("before"), at(1000)).is_ok());
    limit.tidy(at(1500));
    assert!(limit.keys() >= 1);
    limit.tidy(at(5000));
    assert_eq!(limit.keys(), 0);
    assert!(limit.check(&key("after"), at(5000)).is_ok());
}

#[test]
fn tidying_gives_nobody_anything() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let spec = spec(5, Duration::from_secs(1), 3);
        let tidied = RateLimit::new(spec.clone());
        let plain = RateLimit::new(spec);
        let mut now = 0;
        for _ in 0..500 {
            now += random.u64(0..400);
            let key = key(["a", "b", "c"][random.usize(..3)]);
            tidied.tidy(at(now));
            assert_eq!(tidied.check(&key, at(now)), plain.check(&key, at(now)));
        }
    }
}

/// A core whose clock was read a little earlier does not turn the time back.
#[test]
fn an_earlier_time_changes_nothing() {
    let limit = RateLimit::new(spec(1, Duration::from_secs(1), 1));
    limit.check(&key("a"), at(2000)).expect("the first");
    assert!(limit.check(&key("a"), at(1000)).is_err());
    assert!(limit.check(&key("a"), at(3000)).is_ok());
}

fn spec(requests: u32, every: Duration, burst: u32) -> RateSpec {
    let per = Per {
        consumer: true,
        ..Per::default()
    };
    RateSpec {
        name: "l".into(),
        per,
        requests: NonZeroU32::new(requests).expect("not zero"),
        every,
        burst: NonZeroU32::new(burst).expect("not zero"),
        keys: 1000,
        headers: true,
    }
}

fn at(milliseconds: u64) -> BootTime {
    BootTime::from_nanos(0).after(Duration::from_millis(milliseconds))
}
