//! Several endpoints: which one a request goes to, which ones are left out, and what is too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use leasehold_proxy::{Balance, HashKey, HealthCheck, HostPolicy, UpstreamLimits};

use crate::consumer::Consumer;
use crate::origin::{Nowhere, OK, Origin};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, REPORTS_KEY, Setup, until};

#[test]
fn the_one_with_less_to_do_gets_the_request() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(parking_lot::Mutex::new(gate));
    let busy = Origin::start(move |mut connection| {
        while connection.try_receive().is_ok() {
            if gate.lock().recv().is_ok() {
                connection.send(OK);
            }
        }
    });
    let (idle, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[busy.url(), idle.url()]);
    setup.policy.balance = Balance::LeastRequest;
    let rig = setup.start();
    // Whatever goes to the busy one stays there.
    let mut consumers: Vec<_> = (0..40).map(|_| rig.connect()).collect();
    for (before, consumer) in consumers.iter_mut().enumerate() {
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let done = before + 1;
        until("either", || {
            (rig.peek().len() + busy.connections() == done).then_some(())
        });
    }
    // Of two, both are drawn: the busy one gets a request only while the other has as much to do.
    assert!(busy.connections() <= 3, "{}", busy.connections());
    drop(release);
}

#[test]
fn requests_that_belong_together_go_to_one_endpoint() {
    let (one, _seen_by_one) = Origin::answering(OK);
    let (other, _seen_by_other) = Origin::answering(OK);
    let mut setup = Setup::to(&[one.url(), other.url()]);
    setup.policy.balance = Balance::RingHash(HashKey::Consumer);
    let rig = setup.start();
    for key in [CHECKOUT_KEY, REPORTS_KEY] {
        for _ in 0..4 {
            rig.connect().get("/", &format!("{KEY_HEADER}: {key}\r\n"));
        }
    }
    let records = rig.records(8);
    let by = |consumer: &str| {
        let theirs = records.iter().filter(|it| it["consumer"] == consumer);
        let endpoints: std::collections::BTreeSet<_> =
            theirs.map(|it| it["endpoint"].to_string()).collect();
        endpoints.len()
    };
    assert_eq!((by("checkout"), by("reports")), (1, 1));
}

#[test]
fn an_endpoint_that_answers_with_faults_is_left_out() {
    let oops = "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";
    let (bad, _seen_by_bad) = Origin::answering(oops);
    let (good, _seen_by_good) = Origin::answering(OK);
    let rig = Setup::to(&[bad.url(), good.url()]).start();
    let mut consumer = rig.connect();
    let statuses: Vec<_> = (0..20)
        .map(|_| consumer.get("/", "").status().to_owned())
        .collect();
    let faults = statuses.iter().filter(|it| *it == "500").count();
    assert_eq!(faults, 5, "{statuses:?}");
    assert!(statuses[10..].iter().all(|it| it == "200"), "{statuses:?}");
    let ejections = "leasehold_upstream_ejections_total{upstream=\"origin\"} 1\n";
    assert!(rig.metrics().contains(ejections), "{}", rig.metrics());
}

#[test]
fn the_only_endpoint_is_never_left_out() {
    let (origin, _seen) = Origin::answering("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    for _ in 0..20 {
        assert_eq!(consumer.get("/", "").status(), "500");
    }
}

#[test]
fn an_endpoint_that_is_unwell_gets_no_requests_until_it_is_well() {
    let well = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let (tells, counts) = (Arc::clone(&well), Arc::clone(&asked));
    let sick = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            let check = request.head.starts_with("GET /up HTTP/1.1\r\n");
            if check {
                assert!(request.all("x-api-key").is_empty() && request.all("host").len() == 1);
            } else {
                counts.fetch_add(1, Ordering::SeqCst);
            }
            let bad = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
            let good = !check || tells.load(Ordering::SeqCst);
            connection.send(if good { OK } else { bad });
        }
    });
    let (other, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[sick.url(), other.url()]);
    setup.workers = 2;
    setup.policy.health = Some(HealthCheck {
        path: "/up".to_owned(),
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        healthy: 2,
        unhealthy: 2,
        status: 200,
    });
    let rig = setup.start();
    let unwell = |count| {
        until("the gauge", || {
            let line =
                format!("leasehold_upstream_endpoints_unwell{{upstream=\"origin\"}} {count}\n");
            rig.metrics().contains(&line).then_some(())
        });
    };
    unwell(1);
    for _ in 0..10 {
        assert_eq!(rig.connect().get("/", "").status(), "200");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    well.store(true, Ordering::SeqCst);
    unwell(0);
    until("a request", || {
        rig.connect().get("/", "");
        (asked.load(Ordering::SeqCst) > 0).then_some(())
    });
}

#[test]
fn where_all_are_unwell_requests_are_sent_all_the_same() {
    let (origin, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url(), origin.url()]);
    setup.policy.health = Some(HealthCheck {
        path: "/up".to_owned(),
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(5),
        healthy: 1,
        unhealthy: 1,
        status: 204,
    });
    let rig = setup.start();
    until("the gauge", || {
        let line = "leasehold_upstream_endpoints_unwell{upstream=\"origin\"} 2\n";
        rig.metrics().contains(line).then_some(())
    });
    assert_eq!(rig.connect().get("/", "").status(), "200");
}

#[test]
fn a_request_beyond_the_limits_is_refused() {
    for limits in [
        UpstreamLimits {
            requests: 1,
            ..UpstreamLimits::default()
        },
        UpstreamLimits {
            connections: 1,
            ..UpstreamLimits::default()
        },
    ] {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(parking_lot::Mutex::new(gate));
        let origin = Origin::start(move |mut connection| {
            while connection.try_receive().is_ok() {
                // Nobody holds it up any longer once the test has let go.
                gate.lock().recv().unwrap_or_default();
                connection.send(OK);
            }
        });
        let mut setup = Setup::to(&[origin.url()]);
        setup.policy.limits = limits;
        let rig = setup.start();
        let mut first = rig.connect();
        first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        until("the first", || (origin.connections() == 1).then_some(()));
        let refused = rig.connect().get("/", "");
        assert_eq!(refused.status(), "503");
        assert!(
            refused.text().contains("upstream_overloaded"),
            "{}",
            refused.text()
        );
        assert_eq!(rig.record()["reason"], "upstream_overloaded");
        release.send(()).expect("it waits");
        assert_eq!(first.receive().text(), "ok");
        drop(release);
        assert_eq!(first.get("/", "").text(), "ok", "there is room again");
    }
}

#[test]
fn a_grpc_request_that_is_refused_reads_so_in_its_own_words() {
    let nowhere = Nowhere::new();
    let rig = Setup::to(&[nowhere.url()]).start();
    let mut consumer = rig.connect();
    consumer.send(
        "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let answer = consumer.receive();
    assert_eq!(
        (answer.status(), answer.all("grpc-status")),
        ("200", vec!["14"])
    );
    assert_eq!(answer.all("content-type"), ["application/grpc"]);
    assert_eq!(rig.record()["reason"], "upstream_unreachable");
}

#[test]
fn the_host_is_the_endpoints_the_consumers_or_a_fixed_one() {
    let (origin, seen) = Origin::answering(OK);
    let fixed = http::HeaderValue::from_static("api.internal");
    for (policy, host) in [
        (HostPolicy::Endpoint, origin.address.to_string()),
        (HostPolicy::Preserve, "api.example".to_owned()),
        (HostPolicy::Fixed(fixed), "api.internal".to_owned()),
    ] {
        let mut setup = Setup::to(&[origin.url()]);
        setup.policy.host = policy;
        let rig = setup.start();
        rig.connect().get("/", "");
        assert_eq!(seen.next().all("host"), [host]);
    }
}

#[test]
fn a_redirect_is_passed_on_and_not_followed() {
    let (elsewhere, seen_elsewhere) = Origin::answering(OK);
    let location: &'static str = Box::leak(
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {}/there\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url()
        )
        .into_boxed_str(),
    );
    let (origin, _seen) = Origin::answering(location);
    let rig = Setup::to(&[origin.url()]).start();
    let answer = rig.connect().get("/", "");
    assert_eq!(answer.status(), "302");
    assert_eq!(
        answer.all("location"),
        [format!("{}/there", elsewhere.url())]
    );
    seen_elsewhere.nothing();
}

#[test]
fn a_name_is_looked_up_in_the_background() {
    let (origin, _seen) = Origin::answering(OK);
    let named = format!("http://localhost:{}", origin.address.port());
    let rig = Setup::to(std::slice::from_ref(&named)).start();
    for _ in 0..3 {
        assert_eq!(rig.connect().get("/", "").text(), "ok");
    }
    assert!(rig.records(3).iter().all(|it| it["endpoint"] == *named));
}

#[test]
fn a_proxy_is_asked_for_a_way_through_and_looks_the_name_up() {
    let (origin, seen) = Origin::answering(OK);
    let to = origin.address;
    let proxy = Origin::start(move |mut connection| {
        let asked = connection.head().expect("a request");
        assert_eq!(
            asked,
            "CONNECT api.internal:8080 HTTP/1.1\r\nHost: api.internal:8080"
        );
        connection.send("HTTP/1.1 200 Connection established\r\n\r\n");
        let mut behind = Consumer::connect(to);
        while let Ok(request) = connection.try_receive() {
            behind.send(format!("{}\r\n\r\n", request.head));
            let answer = behind.receive();
            connection.send(format!("{}\r\n\r\n{}", answer.head, answer.text()));
        }
    });
    let mut setup = Setup::to(&["http://api.internal:8080".to_owned()]);
    setup.policy.proxy = Some(proxy.url().parse().expect("a URL"));
    let rig = setup.start();
    for _ in 0..3 {
        assert_eq!(rig.connect().get("/x", "").text(), "ok");
        assert_eq!(seen.next().all("host"), ["api.internal:8080"]);
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn where_the_proxy_makes_no_way_nothing_is_sent() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        "220 mail\r\n\r\n",
    ] {
        let (proxy, seen) = Origin::answering(answer);
        let mut setup = Setup::to(&["https://api.internal".to_owned()]);
        setup.policy.proxy = Some(proxy.url().parse().expect("a URL"));
        setup.connect_timeout = Duration::from_secs(1);
        let rig = setup.start();
        assert_eq!(rig.connect().get("/x", "").status(), "502");
        assert!(seen.next().head.starts_with("CONNECT api.internal:443 "));
        seen.nothing();
    }
}
