//! Floods: who sends one is cut off or held to a bound, and who behaves beside it is served.

mod http2;
mod slow;

use std::io::Write as _;

use crate::consumer::Consumer;
use crate::origin::{OK, Origin};
use crate::rig::{Rig, Setup};

/// A gateway with a consumer who behaves, and what the process took up before anybody else came.
struct Beside {
    rig: Rig,
    consumer: Consumer,
    before: u64,
}

impl Beside {
    fn start(set: impl FnOnce(&mut Setup)) -> Self {
        let origin = Origin::saying(OK);
        let mut setup = Setup::to(&[origin.url()]);
        setup.http2 = true;
        set(&mut setup);
        let rig = setup.start();
        let mut beside = Self {
            consumer: rig.connect(),
            rig,
            before: 0,
        };
        beside.check();
        beside.before = resident();
        beside
    }

    /// Checks that the consumer who was there and one who comes anew are served, and that memory has
    /// not grown beyond its bound.
    fn check(&mut self) {
        for consumer in [&mut self.consumer, &mut self.rig.connect()] {
            assert_eq!(consumer.get("/", "").text(), "ok");
        }
        let grown = resident().saturating_sub(self.before);
        assert!(self.before == 0 || grown <= MOST_GROWTH, "grown by {grown}");
    }
}

/// Sends until there is no more to send, or until the gateway has had enough; tells whether it has.
fn pour(attacker: &mut Consumer, parts: impl IntoIterator<Item = Vec<u8>>) -> bool {
    parts
        .into_iter()
        .any(|part| attacker.stream.write_all(&part).is_err())
}

/// Returns how much memory this process takes up, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.expect("a line").parse().expect("a number");
    kilobytes * 1024
}

const MOST_GROWTH: u64 = 64 * 1024 * 1024;
