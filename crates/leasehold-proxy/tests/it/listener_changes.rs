//! Other listeners while the gateway runs.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use leasehold_model::Chain;
use leasehold_proxy::{Limits, ListenerAddress, ListenerSpec};
use leasehold_testkit::Scratch;
use parking_lot::Mutex;

use crate::consumer::Consumer;
use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Rig, Setup, until};

#[test]
fn one_that_is_opened_serves_and_one_that_is_closed_ends_its_connections_in_order() {
    let (origin, _seen) = Origin::answering(OK);
    let (mut rig, public) = start(Setup::to(&[origin.url()]));
    let mut kept = rig.connect();
    assert_eq!(kept.get("/", "").text(), "ok");
    let other = named("other", ([127, 0, 0, 1], 0).into());
    let changes = rig.listen(&[public, other.clone()]).expect("bound");
    assert_eq!(changes.opened.len(), 1, "{changes:?}");
    assert!(
        changes.changed.is_empty() && changes.closed.is_empty(),
        "{changes:?}"
    );
    let [_, second] = *rig.addresses() else {
        panic!("two listeners")
    };
    for _ in 0..8 {
        assert_eq!(Consumer::connect(second).get("/", "").text(), "ok");
    }

    let changes = rig.listen(&[other]).expect("nothing to bind");
    assert_eq!(changes.closed, ["public".into()]);
    let last = kept.get("/", "");
    assert_eq!(
        (last.text(), last.all("connection")),
        ("ok", vec!["close"]),
        "{last:?}"
    );
    kept.expect_closed();
    refuses(rig.address);
    assert_eq!(Consumer::connect(second).get("/", "").text(), "ok");
    let records = rig.finish();
    let of = |name: &str| records.iter().filter(|it| it["listener"] == name).count();
    assert_eq!((of("public"), of("other")), (2, 9), "{records:?}");
}

#[test]
fn a_request_under_way_outlives_its_listener() {
    let (asked, begun) = channel();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let origin = Origin::start(move |mut connection| {
        if connection.try_receive().is_ok() {
            asked.send(()).expect("the test goes on");
            released.lock().recv_timeout(LIMIT).expect("it is released");
            connection.send(OK);
        }
    });
    let (mut rig, _public) = start(Setup::to(&[origin.url()]));
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    begun.recv_timeout(LIMIT).expect("it is under way");
    rig.listen(&[]).expect("nothing to bind");
    refuses(rig.address);
    release.send(()).expect("the origin waits");
    assert_eq!(consumer.receive().text(), "ok");
    consumer.expect_closed();
}

#[test]
fn one_that_stays_where_it_is_refuses_nobody_while_it_changes() {
    let (origin, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.workers = 2;
    let (mut rig, public) = start(setup);
    let address = rig.address;
    let (stop, stopped) = channel::<()>();
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let asking = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            assert_eq!(Consumer::connect(address).get("/", "").text(), "ok");
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    for round in 0..50 {
        let limits = Limits {
            headers: 20 + round,
            ..Limits::default()
        };
        let spec = ListenerSpec {
            limits,
            ..public.clone()
        };
        let before = served.load(Ordering::Relaxed);
        let changes = rig.listen(&[spec]).expect("nothing to bind");
        assert_eq!(changes.changed.len(), 1);
        until("more requests", || {
            (served.load(Ordering::Relaxed) > before + 2).then_some(())
        });
    }
    stop.send(()).expect("it asks");
    asking.join().expect("each was answered");
    assert_eq!(rig.finish().len(), served.load(Ordering::Relaxed));
}

#[test]
fn what_is_changed_holds_for_connections_that_begin_from_then_on() {
    let (origin, _seen) = Origin::answering(OK);
    let (mut rig, public) = start(Setup::to(&[origin.url()]));
    let mut kept = rig.connect();
    assert_eq!(kept.get("/", "").text(), "ok");
    let limits = Limits {
        headers: 3,
        ..Limits::default()
    };
    let spec = ListenerSpec { limits, ..public };
    rig.listen(std::slice::from_ref(&spec))
        .expect("nothing to bind");
    let four = "A: 1\r\nB: 1\r\nC: 1\r\n";
    // The workers are told one after the other.
    until("the new limit", || {
        (rig.connect().get("/", four).status() == "431").then_some(())
    });
    let last = kept.get("/", four);
    assert_eq!(
        (last.status(), last.all("connection")),
        ("200", vec!["close"])
    );
    let same = rig.listen(&[spec]).expect("nothing to bind");
    assert_eq!(same, leasehold_proxy::ListenerChanges::default());
}

#[test]
fn what_can_not_be_bound_changes_nothing_and_a_name_is_only_a_name() {
    let (origin, _seen) = Origin::answering(OK);
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("s");
    let mut setup = Setup::to(&[origin.url()]);
    let unix = |mode| ListenerAddress::Unix {
        path: path.clone(),
        mode,
    };
    setup.listen = Some(unix(0o600));
    let (mut rig, local) = start(setup);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let refused = rig
        .listen(&[named("new", address)])
        .expect_err("it is taken");
    let told = Chain(&refused).to_string();
    assert!(
        told.contains("new") && told.contains(&address.to_string()),
        "{told}"
    );
    let other = ListenerSpec {
        address: unix(0o666),
        ..local.clone()
    };
    let told = Chain(&rig.listen(&[other]).expect_err("another mode")).to_string();
    assert!(told.contains("mode"), "{told}");
    UnixStream::connect(&path).expect("it serves on");

    let renamed = ListenerSpec {
        name: "renamed".into(),
        ..local.clone()
    };
    let changes = rig.listen(&[renamed]).expect("nothing to bind");
    assert_eq!(changes.changed, ["renamed".into()]);
    rig.listen(&[]).expect("nothing to bind");
    assert!(!path.exists(), "nobody finds the way to what is closed");
    rig.listen(&[local]).expect("the path is free");
    UnixStream::connect(&path).expect("it serves");
    rig.finish();
    assert!(!path.exists());
}

fn start(setup: Setup) -> (Rig, ListenerSpec) {
    let spec = setup.listener();
    (setup.start(), spec)
}

fn named(name: &str, address: SocketAddr) -> ListenerSpec {
    ListenerSpec {
        name: name.into(),
        address: address.into(),
        tls: None,
        http2: false,
        proxy_protocol: None,
        limits: Limits::default(),
    }
}

/// Waits until nobody listens there: a worker closes its socket when it has taken what had arrived.
fn refuses(address: SocketAddr) {
    until("the end of the listener", || {
        TcpStream::connect(address).err()
    });
}
