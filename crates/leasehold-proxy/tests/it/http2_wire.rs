//! What HTTP/2 is held to, frame by frame.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::frames::{
    ACK, CONTENT_LENGTH, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, POST,
    PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
};
use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Rig, Setup, until};

#[test]
fn a_connection_has_a_hundred_streams_at_a_time_and_no_more() {
    let (origin, arrived, go_on) = holding();
    let mut setup = to(&origin.url());
    setup.connection_limit = 1000;
    let rig = setup.start();
    let mut client = Frames::connect(&rig);
    let settings = client.until(SETTINGS);
    assert_eq!(settings.setting(MAX_CONCURRENT_STREAMS), Some(100));
    let mut ids = (0..).map(|number| 2 * number + 1);
    for id in ids.by_ref().take(100) {
        client.consumer.send(get(id));
    }
    for _ in 0..100 {
        arrived.recv_timeout(LIMIT).expect("it is served");
    }
    client.check();
    let one_more = ids.next().expect("an id");
    client.consumer.send(get(one_more));
    let refused = client.until(RST_STREAM);
    assert_eq!((refused.id, refused.number(0)), (one_more, REFUSED_STREAM));
    // There is room again with the first that ends.
    go_on.send(()).expect("the origin waits");
    client.until(HEADERS);
    let last = ids.next().expect("an id");
    client.consumer.send(get(last));
    arrived.recv_timeout(LIMIT).expect("it is served");
    for _ in 0..100 {
        go_on.send(()).expect("the origin waits");
    }
    for _ in 0..100 {
        client.until(HEADERS);
    }
    drop(client);
    let mut records = rig.finish();
    records.retain(|it| it["status"] == 200);
    assert_eq!(records.len(), 101, "and none of the one that was refused");
}

#[test]
fn a_client_is_told_its_windows_and_held_to_that_of_a_stream() {
    let (_origin, _rig, mut client) = with_windows();
    let settings = client.until(SETTINGS);
    assert_eq!(settings.setting(INITIAL_WINDOW_SIZE), Some(STREAM_WINDOW));
    let of_all = client.until(WINDOW_UPDATE);
    // Each connection begins with 65,535.
    assert_eq!(
        (of_all.id, of_all.number(0)),
        (0, CONNECTION_WINDOW - 65_535)
    );
    fill(&mut client, 1, STREAM_WINDOW);
    client.check();
    client.consumer.send(frame(DATA, 0, 1, b"x"));
    let reset = client.until(RST_STREAM);
    assert_eq!((reset.id, reset.number(0)), (1, FLOW_CONTROL_ERROR));
    client.check();
}

#[test]
fn a_client_is_held_to_the_window_of_the_connection() {
    let (_origin, _rig, mut client) = with_windows();
    client.until(WINDOW_UPDATE);
    fill(&mut client, 1, STREAM_WINDOW);
    fill(&mut client, 3, CONNECTION_WINDOW - STREAM_WINDOW);
    client.check();
    client.consumer.send(frame(DATA, 0, 3, b"x"));
    let goodbye = client.until(GOAWAY);
    assert_eq!(goodbye.number(4), FLOW_CONTROL_ERROR);
    client.consumer.rest().expect("the end");
}

#[test]
fn a_drain_sends_goaway_at_once_and_answers_what_came_before() {
    let (origin, arrived, go_on) = holding();
    let mut rig = to(&origin.url()).start();
    let mut client = Frames::connect(&rig);
    client.consumer.send(get(1));
    arrived.recv_timeout(LIMIT).expect("it is under way");
    thread::scope(|scope| {
        let drained = scope.spawn(|| rig.drain(LIMIT));
        let first = client.until(GOAWAY);
        assert_eq!((first.number(0), first.number(4)), (u32::MAX >> 1, 0));
        // It comes once more, with what it will still answer, when the client must have seen the first.
        let ping = client.until(PING);
        client.consumer.send(frame(PING, ACK, 0, &ping.payload));
        let second = client.until(GOAWAY);
        assert_eq!((second.number(0), second.number(4)), (1, 0));
        go_on.send(()).expect("the origin waits");
        assert_eq!(client.until(HEADERS).id, 1);
        let body = client.until(DATA);
        assert_eq!((body.id, &body.payload[..]), (1, &b"ok"[..]));
        client.consumer.rest().expect("the end");
        assert_eq!(drained.join().expect("no panic"), 0);
    });
    assert_eq!(rig.record()["status"], 200);
}

#[test]
fn a_connection_that_begins_during_a_drain_is_told_to_end_though_it_is_never_idle() {
    let (origin, arrived, go_on) = holding();
    let mut rig = to(&origin.url()).start();
    let address = rig.address;
    let mut consumer = rig.connect();
    until("the connection to be accepted", || {
        let accepted = rig.metrics().contains("leasehold_connections 1\n");
        accepted.then_some(())
    });
    thread::scope(|scope| {
        let drained = scope.spawn(|| rig.drain(LIMIT));
        until("the port to close", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
        consumer.send([PREFACE, &frame(SETTINGS, 0, 0, &[]), &get(1)].concat());
        arrived.recv_timeout(LIMIT).expect("it is under way");
        let mut client = Frames { consumer };
        client.until(GOAWAY);
        go_on.send(()).expect("the origin waits");
        assert_eq!(client.until(HEADERS).id, 1);
        drop(client);
        assert_eq!(drained.join().expect("no panic"), 0);
    });
}

#[test]
fn t14_a_body_shorter_or_longer_than_said_never_becomes_a_request() {
    for length in [b'2', b'4'] {
        let (show, seen) = channel();
        let origin = Origin::start(move |mut connection| {
            let outcome = connection.try_receive();
            if outcome.is_ok() {
                connection.send(OK);
            }
            // What came behind a request would be the next one.
            let rest = connection.rest().unwrap_or_default();
            drop(show.send((outcome.map(|it| it.head), rest)));
        });
        let rig = to(&origin.url()).start();
        let mut client = Frames::connect(&rig);
        let head = [&POST[..], &CONTENT_LENGTH, &[1, length]].concat();
        client.consumer.send(frame(HEADERS, END_HEADERS, 1, &head));
        client.consumer.send(frame(DATA, END_STREAM, 1, b"abc"));
        let reset = client.until(RST_STREAM);
        assert_eq!((reset.id, reset.number(0)), (1, PROTOCOL_ERROR));
        // The connection goes on, and over another one to the origin.
        client.consumer.send(get(3));
        let answer = client.until(HEADERS);
        assert_eq!((answer.id, answer.payload[0]), (3, STATUS_200));
        drop(client);
        rig.finish();
        let mut whole = 0;
        for _ in 0..origin.connections() {
            let (outcome, rest) = seen.recv_timeout(LIMIT).expect("the end of a connection");
            if let Ok(head) = outcome {
                assert!(head.starts_with("GET / "), "{head}");
                assert_eq!(rest, b"", "behind {head}");
                whole += 1;
            }
        }
        assert_eq!(whole, 1, "the sound one, and it alone");
    }
}

/// A gateway with small windows, in front of an origin that takes nothing: it never begins TLS.
fn with_windows() -> (TcpListener, Rig, Frames) {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = origin.local_addr().expect("an address");
    let mut setup = to(&format!("https://{address}"));
    setup.limits.stream_window = STREAM_WINDOW;
    setup.limits.connection_window = CONNECTION_WINDOW;
    let rig = setup.start();
    let client = Frames::connect(&rig);
    (origin, rig, client)
}

/// Begins a request and sends as much of its body.
fn fill(client: &mut Frames, id: u32, bytes: u32) {
    client.consumer.send(frame(HEADERS, END_HEADERS, id, &POST));
    let body = vec![b'x'; usize::try_from(bytes).expect("small")];
    for part in body.chunks(1 << 14) {
        client.consumer.send(frame(DATA, 0, id, part));
    }
}

/// An origin that tells of each request and answers when it is told to.
fn holding() -> (Origin, Receiver<()>, Sender<()>) {
    let (arrived, told) = channel();
    let (go_on, released) = channel();
    let released = parking_lot::Mutex::new(released);
    let origin = Origin::start(move |mut connection| {
        while connection.try_receive().is_ok() {
            arrived.send(()).expect("the test goes on");
            released.lock().recv_timeout(LIMIT).expect("released");
            connection.send(OK);
        }
    });
    (origin, told, go_on)
}

fn to(url: &str) -> Setup {
    let mut setup = Setup::to(&[url.to_owned()]);
    setup.http2 = true;
    setup
}

const STREAM_WINDOW: u32 = 70_000;
const CONNECTION_WINDOW: u32 = 100_000;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;
/// `:status: 200` of the static table.
const STATUS_200: u8 = 0x88;
