use std::io::Read as _;
use std::thread;
use std::time::Duration;

use super::{Beside, pour};
use crate::consumer::Consumer;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEAD, HEADERS, PING, POST, PREFACE,
    SETTINGS, WINDOW_UPDATE, frame, get, reset,
};
use crate::rig::until;

#[test]
fn rapid_reset() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    pour(
        &mut attacker,
        streams().map(|id| [get(id), reset(id)].concat()),
    );
    drained.join().expect("the gateway has closed");
    beside.check();
}

#[test]
fn rapid_reset_of_streams_that_were_taken_up() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    // Each stream is begun well before the one of before is taken back.
    let pairs = streams().map(|id| {
        thread::park_timeout(Duration::from_micros(300));
        [get(id + 2), reset(id)].concat()
    });
    let first = std::iter::once(get(1));
    pour(&mut attacker, first.chain(pairs));
    drained.join().expect("the gateway has closed");
    beside.check();
}

#[test]
fn made_you_reset() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    // A window that grows by nothing is an error of the stream, which the gateway has to reset.
    let nothing = |id| frame(WINDOW_UPDATE, 0, id, &[0; 4]);
    pour(
        &mut attacker,
        streams().map(|id| [get(id), nothing(id)].concat()),
    );
    drained.join().expect("the gateway has closed");
    beside.check();
}

#[test]
fn continuation() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    let first = std::iter::once(frame(HEADERS, 0, 1, &HEAD));
    let crumb = [&[0, 1, b'x', 0x7f, 0x81, 0x7e][..], &[b'a'; 16_000]].concat();
    let rest = (0..10_000).map(|_| frame(CONTINUATION, 0, 1, &crumb));
    assert!(pour(&mut attacker, first.chain(rest)));
    drained.join().expect("the gateway has closed");
    beside.check();
}

#[test]
fn settings_that_nobody_reads_the_answers_to() {
    answers_that_nobody_reads(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]));
}

#[test]
fn pings_that_nobody_reads_the_answers_to() {
    answers_that_nobody_reads(&frame(PING, 0, 0, &[7; 8]));
}

fn answers_that_nobody_reads(ask: &[u8]) {
    let mut beside = Beside::start(|setup| setup.limits.body_timeout = Duration::from_millis(200));
    let mut attacker = speak(&beside);
    let many = ask.repeat(1000);
    assert!(pour(&mut attacker, (0..100_000).map(|_| many.clone())));
    beside.check();
}

#[test]
fn settings_and_pings_whose_answers_are_read_come_to_an_end() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    let many = [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
        frame(PING, 0, 0, &[7; 8]),
    ];
    let many = many.concat().repeat(100);
    assert!(pour(&mut attacker, (0..1_000_000).map(|_| many.clone())));
    drained.join().expect("the gateway has closed");
    beside.check();
    until("the connection to be counted", || {
        let metrics = beside.rig.metrics();
        let counted = metrics.contains("leasehold_connections_abused_total 1\n");
        counted.then_some(())
    });
}

#[test]
fn a_client_that_measures_the_connection_while_it_carries_something_is_no_flood() {
    let beside = Beside::start(|_| {});
    let mut client = Frames::connect(&beside.rig);
    // Twice what a client may send for nothing, a ping at a time, with heads of a kilobyte.
    let long = [&HEAD[..], &[0x10, 1, b'x', 0x7f, 0x81, 0x07], &[b'a'; 1024]].concat();
    let pings = frame(PING, 0, 0, b"how far?").repeat(40);
    for id in streams().take(2 * 1024 * 1024 / (40 * 17)) {
        client.consumer.send(&pings);
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, id, &long);
        client.consumer.send(asked);
        client.until(HEADERS);
    }
    client.check();
}

#[test]
fn empty_data() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    let first = std::iter::once(frame(HEADERS, END_HEADERS, 1, &POST));
    let empty = frame(DATA, 0, 1, &[]).repeat(100);
    assert!(pour(
        &mut attacker,
        first.chain((0..1_000_000).map(|_| empty.clone()))
    ));
    drained.join().expect("the gateway has closed");
    beside.check();
}

#[test]
fn hpack_bomb() {
    let mut beside = Beside::start(|_| {});
    let mut attacker = speak(&beside);
    let drained = drain(&attacker);
    // A header of 4 KiB goes into the table once, and each byte after that stands for it.
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat();
    let bomb = [&HEAD[..], &entry, &[0xbe; 12_000]].concat();
    let bombs = streams().take(500);
    pour(
        &mut attacker,
        bombs.map(|id| frame(HEADERS, END_HEADERS | END_STREAM, id, &bomb)),
    );
    beside.check();
    drop(attacker.stream.shutdown(std::net::Shutdown::Write));
    drained.join().expect("the gateway has closed");
    let records = beside.rig.peek();
    assert!(records.iter().all(|it| it["status"] == 200), "{records:?}");
}

#[test]
fn answers_that_no_room_is_made_for() {
    let mut beside = Beside::start(|setup| {
        setup.limits.body_timeout = Duration::from_millis(200);
        setup.limits.idle_timeout = Duration::from_millis(200);
    });
    let mut attacker = beside.rig.connect();
    // All windows are shut from the start.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    attacker.send([PREFACE, &settings].concat());
    let drained = drain(&attacker);
    pour(&mut attacker, streams().take(100).map(get));
    drained.join().expect("the gateway has closed");
    until("the end of the connection", || {
        let rest = "leasehold_connections 0\n";
        beside.rig.metrics().contains(rest).then_some(())
    });
    beside.consumer = beside.rig.connect();
    beside.check();
}

/// Begins a connection of HTTP/2.
fn speak(beside: &Beside) -> Consumer {
    Frames::connect(&beside.rig).consumer
}

/// Reads all that comes until the gateway closes.
fn drain(attacker: &Consumer) -> thread::JoinHandle<()> {
    let mut stream = attacker.stream.try_clone().expect("a handle");
    thread::spawn(move || {
        let mut rest = [0; 1 << 14];
        loop {
            match stream.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                    return;
                }
            }
        }
    })
}

fn streams() -> impl Iterator<Item = u32> {
    (0..10_000).map(|number| 2 * number + 1)
}
