//! Requests that the gateway answers itself: one answer, one record, and nothing to the upstream.

use crate::consumer::Message;
use crate::origin::{OK, Origin};
use crate::rig::{KEY_HEADER, REPORTS_KEY, Rig, Setup};

#[test]
fn a_refusal_says_why_and_where_to_look() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let keyed = |key| format!("{KEY_HEADER}: {key}\r\n");
    for (path, more, status, reason) in [
        ("/closed/x", String::new(), 401, "consumer_key_missing"),
        ("/closed/x", keyed("nobodys"), 401, "consumer_key_unknown"),
        ("/closed/x", keyed(REPORTS_KEY), 403, "consumer_not_allowed"),
        ("/a/../b?q", String::new(), 400, "bad_request"),
        ("/%63losed/x", String::new(), 400, "bad_request"),
        ("//closed/x", String::new(), 400, "bad_request"),
        ("/", "Host: b\r\n".to_owned(), 400, "bad_request"),
    ] {
        let answer = rig.connect().get(path, &more);
        let problem = problem(&answer, status, reason);
        assert_eq!(
            answer.all("www-authenticate").len(),
            usize::from(status == 401)
        );
        let trace = problem["trace_id"].as_str().expect("a trace").to_owned();
        let record = rig.find(&trace);
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&status.into(), &reason.into())
        );
        assert!(
            !record["path"].as_str().expect("a path").contains('?'),
            "{record}"
        );
        assert!(
            record["endpoint"].is_null() && record["upstream_us"].is_null(),
            "{record}"
        );
    }
    seen.nothing();
    assert_eq!(origin.connections(), 0);
    assert_eq!(rig.finish().len(), 7);
}

#[test]
fn a_known_consumer_is_recorded_even_where_anyone_may_come() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    for (key, consumer) in [
        (REPORTS_KEY, "reports".into()),
        ("nobodys", serde_json::Value::Null),
    ] {
        let answer = rig.connect().get("/x", &format!("{KEY_HEADER}: {key}\r\n"));
        assert_eq!(answer.status(), "200");
        assert!(!seen.next().head.contains(key));
        until_consumer(&rig, &consumer);
    }
}

#[test]
fn no_route_is_404() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    problem(&consumer.receive(), 404, "no_route");
    assert!(rig.record()["route"].is_null());
}

#[test]
fn a_connection_goes_on_after_a_refusal() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/closed/x", "").status(), "401");
    assert_eq!(consumer.get("/x", "").text(), "ok");
}

#[test]
fn tunnels_traces_and_doubtful_hosts_are_refused() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    for request in [
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut consumer = rig.connect();
        problem(&consumer.send(request).receive(), 400, "bad_request");
    }
    seen.nothing();
    assert_eq!(rig.finish().len(), 5);
}

#[test]
fn what_is_no_http_is_answered_and_recorded() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
        "x".repeat(80_000)
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (&long, 431),
    ] {
        let mut consumer = rig.connect();
        consumer.send(request);
        assert_eq!(
            consumer.head().expect("an answer").split(' ').nth(1),
            Some(&*status.to_string())
        );
    }
    seen.nothing();
    let records = rig.finish();
    let statuses: Vec<_> = records.iter().map(|it| it["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(400), Some(400), Some(431)]);
    assert!(records.iter().all(|it| it["reason"] == "bad_request"));
}

#[test]
fn a_refusal_arrives_though_its_body_is_still_being_sent() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    let body = vec![b'x'; 8 << 20];
    let head = format!(
        "POST /closed/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // All of it is sent before the answer is looked for: a reset would lose it.
    consumer.send(head).send(body);
    let answer = consumer.receive();
    problem(&answer, 401, "consumer_key_missing");
    assert_eq!(answer.all("connection"), ["close"]);
}

#[test]
fn a_refused_head_request_has_no_body() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("HEAD /closed/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        consumer
            .head()
            .expect("a head")
            .starts_with("HTTP/1.1 401 ")
    );
    assert_eq!(consumer.get("/x", "").text(), "ok");
    let records = rig.records(2);
    assert_eq!(records[0]["reason"], "consumer_key_missing");
}

fn problem(answer: &Message, status: u16, reason: &str) -> serde_json::Value {
    assert_eq!(answer.status(), status.to_string(), "{}", answer.head);
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["reason"], reason);
    problem
}

fn until_consumer(rig: &Rig, consumer: &serde_json::Value) {
    crate::rig::until("the consumer's record", || {
        rig.peek()
            .last()
            .filter(|record| record["consumer"] == *consumer)
            .map(|_| ())
    });
}
