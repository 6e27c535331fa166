//! How much callers may ask for.

use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use leasehold_limit::{ConcurrencySpec, Per, RateSpec};
use leasehold_proxy::Trusted;

use crate::consumer::Message;
use crate::origin::{OK, Origin, seen};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, REPORTS_KEY, Rig, Setup, until};

#[test]
fn what_is_too_much_is_refused_and_costs_the_upstream_nothing() {
    let (origin, seen) = Origin::answering(OK);
    let rig = limited(&origin, rate(CONSUMER, true), |_| {});
    let ask = || rig.connect().get("/", &key(CHECKOUT_KEY));
    for told in ["\"r\";r=1;t=1800", "\"r\";r=0;t=3600"] {
        let answer = ask();
        assert_eq!(answer.status(), "200");
        assert_eq!(answer.all("ratelimit"), [told]);
        assert_eq!(answer.all("ratelimit-policy"), ["\"r\";q=2;w=3600"]);
        assert!(answer.all("retry-after").is_empty());
        seen.next();
    }
    let connections = origin.connections();
    let refused = ask();
    assert_eq!(refused.status(), "429");
    let wait = refused.all("retry-after")[0];
    let seconds: u64 = wait.parse().expect("seconds");
    // As long as the test has not taken a minute.
    assert!((1740..=1800).contains(&seconds), "{wait}");
    assert_eq!(refused.all("ratelimit"), [format!("\"r\";r=0;t={wait}")]);
    assert_eq!(refused.all("ratelimit-policy"), ["\"r\";q=2;w=3600"]);
    assert!(refused.text().contains("\"reason\":\"rate_limited\""));
    seen.nothing();
    assert_eq!(origin.connections(), connections);
    let record = rig.records(3).remove(2);
    assert_eq!(
        (&record["reason"], &record["limit"]),
        (&"rate_limited".into(), &"r".into())
    );
    assert_eq!(record["endpoint"], serde_json::Value::Null);
    let counted = "leasehold_limited_requests_total{limit=\"r\",kind=\"rate\"} 1\n";
    assert!(rig.metrics().contains(counted), "{}", rig.metrics());
}

#[test]
fn requests_are_counted_by_consumer_or_by_route_or_by_both() {
    let origin = Origin::saying(OK);
    let ask =
        |rig: &Rig, path: &str, by: &str| rig.connect().get(path, &key(by)).status().to_owned();
    let by_consumer = limited(&origin, rate(CONSUMER, true), |_| {});
    for (who, statuses) in [
        (CHECKOUT_KEY, ["200", "200", "429"]),
        (REPORTS_KEY, ["200", "200", "429"]),
    ] {
        assert_eq!(statuses.map(|_| ask(&by_consumer, "/", who)), statuses);
    }
    // Nobody known is one more.
    let strangers = ["a", "b", "c"].map(|it| ask(&by_consumer, "/", it));
    assert_eq!(strangers, ["200", "200", "429"]);
    let by_route = limited(&origin, rate(ROUTE, true), |_| {});
    let several = [CHECKOUT_KEY, REPORTS_KEY, "a"].map(|who| ask(&by_route, "/", who));
    assert_eq!(several, ["200", "200", "429"]);
    assert_eq!(ask(&by_route, "/closed/", CHECKOUT_KEY), "200");
}

#[test]
fn addresses_of_ipv6_count_by_their_network_and_others_by_themselves() {
    let origin = Origin::saying(OK);
    let rig = limited(&origin, rate(ADDRESS, true), |setup| {
        let net = "127.0.0.0/8".parse().expect("a network");
        setup.proxy_protocol = Some(Trusted(vec![net]));
    });
    for (from, status) in [
        ("TCP6 2001:db8:1:1::1 2001:db8::", "200"),
        ("TCP6 2001:db8:1:1:ffff::9 2001:db8::", "200"),
        ("TCP6 2001:db8:1:1::77 2001:db8::", "429"),
        ("TCP6 2001:db8:1:2::1 2001:db8::", "200"),
        ("TCP4 192.0.2.1 192.0.2.9", "200"),
        ("TCP4 192.0.2.1 192.0.2.9", "200"),
        ("TCP4 192.0.2.1 192.0.2.9", "429"),
        ("TCP4 192.0.2.2 192.0.2.9", "200"),
    ] {
        let mut consumer = rig.connect();
        consumer.send(format!("PROXY {from} 1 2\r\n"));
        assert_eq!(consumer.get("/", "").status(), status, "{from}");
    }
}

#[test]
fn who_goes_away_or_has_the_whole_answer_gives_its_place_back() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            let hangs = request.head.starts_with("GET /hang");
            show.send(request).expect("the test goes on");
            if !hangs {
                connection.send(OK);
            }
        }
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.limit_specs.concurrency.push(ConcurrencySpec {
        name: "c".into(),
        per: ROUTE,
        requests: NonZeroU32::MIN,
    });
    let rig = setup.start_with(|mut spec| {
        spec.routes[0].concurrency = vec!["c".into()];
        spec
    });
    for _ in 0..3 {
        let mut first = rig.connect();
        first.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(seen.next().head.starts_with("GET /hang"));
        let refused = rig.connect().get("/", "");
        assert_eq!(refused.status(), "429");
        assert_eq!(refused.all("retry-after"), ["1"]);
        assert!(
            refused.text().contains("concurrency_limited"),
            "{}",
            refused.text()
        );
        drop(first);
        until("a free place", || {
            (rig.connect().get("/", "").status() == "200").then_some(())
        });
        seen.next();
    }
    let mut kept = rig.connect();
    for _ in 0..5 {
        until("the end of the one before", || {
            (kept.get("/", "").status() == "200").then_some(())
        });
    }
    until("nothing under way", || {
        let free = "leasehold_limit_keys{limit=\"c\",kind=\"concurrency\"} 0\n";
        rig.metrics().contains(free).then_some(())
    });
    let refused = rig.finish();
    let mut refused = refused
        .iter()
        .filter(|it| it["reason"] == "concurrency_limited");
    assert_eq!(refused.next().expect("one")["limit"], "c");
}

#[test]
fn at_once_come_no_more_than_may_over_all_cores() {
    let (origin, seen) = Origin::answering(OK);
    let rig = limited(&origin, rate(ROUTE, true), |setup| setup.workers = 2);
    let statuses: Vec<String> = thread::scope(|scope| {
        let ask = || rig.connect().get("/", "").status().to_owned();
        let asked: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        asked
            .into_iter()
            .map(|it| it.join().expect("an answer"))
            .collect()
    });
    let admitted = statuses.iter().filter(|it| *it == "200").count();
    assert_eq!((admitted, statuses.len()), (2, 16), "{statuses:?}");
    seen.next();
    seen.next();
    seen.nothing();
}

#[test]
fn grpc_reads_that_its_resource_is_exhausted() {
    let origin = Origin::saying(OK);
    let rig = limited(&origin, rate(ROUTE, true), |_| {});
    let ask = || -> Message {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
        let mut consumer = rig.connect();
        consumer.send(head);
        consumer.receive()
    };
    let (_, _, refused) = (ask(), ask(), ask());
    assert_eq!(
        (refused.status(), refused.all("grpc-status")),
        ("200", vec!["8"])
    );
}

#[test]
fn what_an_upstream_says_of_its_own_limits_stays_where_the_gateway_tells_of_none() {
    let own = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRateLimit: \"u\";r=9\r\nRateLimit-Policy: \"u\";q=9\r\n\r\n";
    let origin = Origin::saying(own);
    for (headers, told) in [(true, "\"r\";r=1;t=1800"), (false, "\"u\";r=9")] {
        let rig = limited(&origin, rate(ROUTE, headers), |_| {});
        assert_eq!(rig.connect().get("/", "").all("ratelimit"), [told]);
    }
}

/// Starts a gateway whose both routes count at a limit.
fn limited(origin: &Origin, rate: RateSpec, change: impl FnOnce(&mut Setup)) -> Rig {
    let mut setup = Setup::to(&[origin.url()]);
    setup.limit_specs.rates.push(rate);
    change(&mut setup);
    setup.start_with(|mut spec| {
        for route in &mut spec.routes {
            route.rate = vec!["r".into()];
        }
        spec
    })
}

/// Two at once, and then one in half an hour.
fn rate(per: Per, headers: bool) -> RateSpec {
    let two = NonZeroU32::new(2).expect("not zero");
    RateSpec {
        name: "r".into(),
        per,
        requests: two,
        every: Duration::from_secs(3600),
        burst: two,
        keys: 1000,
        headers,
    }
}

fn key(key: &str) -> String {
    format!("{KEY_HEADER}: {key}\r\n")
}

const CONSUMER: Per = Per {
    consumer: true,
    route: false,
    address: false,
};
const ROUTE: Per = Per {
    consumer: false,
    route: true,
    address: false,
};
const ADDRESS: Per = Per {
    consumer: false,
    route: false,
    address: true,
};
