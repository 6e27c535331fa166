use std::io::Write as _;
use std::thread;
use std::time::Duration;

use super::Beside;
use crate::consumer::Consumer;
use crate::origin::Origin;
use crate::rig::{Setup, until};

#[test]
fn slow_heads() {
    let mut beside = Beside::start(|setup| {
        setup.limits.head_timeout = Duration::from_millis(300);
        setup.connection_limit = MANY + 10;
    });
    let mut attackers = attack(&beside, "GET / HTTP/1.1\r\nHost: a\r\n");
    drip_until_cut(&mut beside, &mut attackers, "x: y\r\n");
}

#[test]
fn slow_bodies() {
    let mut beside = Beside::start(|setup| {
        setup.limits.pace.grace = Duration::from_millis(300);
        setup.connection_limit = MANY + 10;
    });
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    let mut attackers = attack(&beside, head);
    drip_until_cut(&mut beside, &mut attackers, "x");
}

#[test]
fn slow_reads() {
    let origin = Origin::start(|mut connection| {
        while let Ok(request) = connection.try_receive() {
            if !request.head.starts_with("GET /large") {
                connection.send(crate::origin::OK);
                continue;
            }
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
            while connection.stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
        }
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.limits.pace.grace = Duration::from_millis(300);
    setup.limits.pace.rate = 1_000_000_000;
    let rig = setup.start();
    let mut behaves = rig.connect();
    let mut attackers: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    for attacker in &mut attackers {
        attacker.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    until("all to be cut", || {
        for attacker in &mut attackers {
            // A little is read each time, so that no single wait is long.
            attacker.exactly(1).ok();
        }
        assert_eq!(behaves.get("/", "").text(), "ok");
        let records = rig.peek();
        let cut = records.iter().filter(|it| it["reason"] == "client_aborted");
        (cut.count() == 20).then_some(())
    });
}

fn attack(beside: &Beside, head: &str) -> Vec<Consumer> {
    let connect = |_| {
        let mut attacker = beside.rig.connect();
        attacker.send(head);
        attacker
    };
    (0..MANY).map(connect).collect()
}

/// Sends a little on each connection again and again, until none is left.
fn drip_until_cut(beside: &mut Beside, attackers: &mut Vec<Consumer>, part: &str) {
    until("all to be cut", || {
        attackers.retain_mut(|attacker| attacker.stream.write_all(part.as_bytes()).is_ok());
        beside.check();
        thread::park_timeout(Duration::from_millis(10));
        attackers.is_empty().then_some(())
    });
}

const MANY: usize = 50;
