//! Requests that the gateway signs, checked by origins that make each signature again.

mod aws;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_inject::Injection;
use leasehold_model::{
    Component, Encoding, Hash, HmacSigning, KeyForm, KeyId, MessageAlgorithm, MessageSigning,
    Payload, ShownPart, SigV4, SignedPart, Signing, TimeForm,
};
use parking_lot::Mutex;
use time::{Date, Month, OffsetDateTime};

use crate::consumer::Message;
use crate::lease::{FakeProvider, Lease};
use crate::origin::{FORBIDDEN, OK, Origin, UNAUTHORIZED, seen};
use aws::{hash, hex, verified};

#[test]
fn what_a_consumer_signed_is_gone_and_the_gateways_signature_holds() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Unsigned));
    let rig = lease.setup(&origin).start();
    let theirs = "Authorization: AWS4-HMAC-SHA256 Credential=theirs\r\nX-Amz-Date: 19700101T000000Z\r\n\
                  X-Amz-Content-Sha256: theirs\r\nX-Amz-Security-Token: theirs\r\nX-Amz-Acl: private\r\n\
                  X-Amz-Decoded-Content-Length: 7\r\n";
    let sent = "/a%20b/%C3%A9?b=%2f&X-Amz-Signature=theirs&X-Amz-Credential=theirs&a&x-amz-date=1";
    assert_eq!(rig.connect().get(sent, theirs).status(), "200");
    let request = seen.next();
    assert!(
        request
            .head
            .starts_with("GET /a%20b/%C3%A9?b=%2f&a HTTP/1.1"),
        "{}",
        request.head
    );
    assert!(!request.head.contains("theirs"), "{}", request.head);
    assert_eq!(request.all("x-amz-security-token"), ["token-1"]);
    assert!(
        request.all("authorization")[0].contains("x-amz-acl"),
        "all of them are signed"
    );
    // The service's query is read decoded, and `%2f` is brought into capitals for the signature alone.
    let head = request.head.replacen("%2f", "%2F", 1);
    let (access, _) = verified(&Message { head, ..request }, secret).expect("it holds");
    assert_eq!(access, "access-1");
    for named in ["authorization", "x-amz-date"] {
        let refused = rig.connect().get("/", &format!("Connection: {named}\r\n"));
        assert_eq!(refused.status(), "400", "{named}");
    }
    seen.nothing();
    let told = format!("{:?} {}", rig.records(3), rig.metrics());
    assert!(
        !told.contains("secret-1") && !told.contains("token-1"),
        "{told}"
    );
}

#[test]
fn a_body_is_read_and_its_digest_is_signed() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Signed));
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    for length in [0, 1, 65_536] {
        let body = vec![b'x'; length];
        let head = format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(
            consumer.send(head).send(&body).receive().status(),
            "200",
            "{length}"
        );
        let (_, signed) = verified(&seen.next(), secret).expect("it holds");
        assert!(signed == body, "{length}");
    }
    consumer.send(
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(consumer.receive().status(), "200");
    let request = seen.next();
    assert_eq!(request.all("content-length"), ["3"]);
    assert_eq!(verified(&request, secret).expect("it holds").1, b"abc");
    assert_eq!(consumer.get("/a", "").status(), "200");
    verified(&seen.next(), secret).expect("it holds");
}

#[test]
fn a_body_that_is_too_large_to_be_signed_is_not_sent() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Signed));
    let rig = lease.setup(&origin).start();
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n";
    assert_eq!(rig.connect().send(head).receive().status(), "413");
    let mut consumer = rig.connect();
    consumer.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n");
    consumer.send(vec![b'x'; 65_537]);
    assert_eq!(consumer.receive().status(), "413");
    seen.nothing();
    for record in rig.records(2) {
        assert_eq!(record["reason"], "body_too_large");
    }
}

#[test]
fn a_consumer_who_leaves_in_mid_body_has_nothing_sent() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Signed));
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    drop(consumer);
    assert_eq!(rig.record()["reason"], "client_aborted");
    seen.nothing();
}

#[test]
fn a_large_body_is_signed_part_by_part_and_arrives_as_it_was() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Chunked));
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    for length in [1, 65_536, 300_001_u32] {
        let body: Vec<u8> = (0..length).map(|it| (it % 251) as u8).collect();
        consumer.send(format!(
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Encoding: x\r\nContent-Length: {length}\r\n\r\n"
        ));
        assert_eq!(consumer.send(&body).receive().status(), "200", "{length}");
        let request = seen.next();
        assert_eq!(request.all("content-encoding"), ["aws-chunked,x"]);
        let (_, signed) = verified(&request, secret).expect("it holds");
        assert!(signed == body, "{length}");
    }
    assert_eq!(consumer.get("/a", "").status(), "200");
    let request = seen.next();
    assert!(
        request.all("content-encoding").is_empty(),
        "{}",
        request.head
    );
    verified(&request, secret).expect("it holds");
}

#[test]
fn a_body_of_no_known_length_or_in_parts_already_is_not_sent() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Chunked));
    let rig = lease.setup(&origin).start();
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Content-Encoding: aws-chunked\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let mut consumer = rig.connect();
        consumer.send(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{framing}"));
        assert_eq!(consumer.receive().status(), "400", "{framing}");
    }
    seen.nothing();
}

#[test]
fn a_refused_request_is_signed_anew_with_the_newer_key() {
    for payload in [Payload::Unsigned, Payload::Signed, Payload::Chunked] {
        let (show, seen) = seen();
        let origin = Origin::start(move |mut connection| {
            while let Ok(request) = connection.try_receive() {
                let accepted = request.head.contains("access-2");
                show.send(request).expect("the test goes on");
                connection.send(if accepted { OK } else { UNAUTHORIZED });
            }
        });
        let lease = Lease::ready_in(keys(LIVES), sigv4(payload));
        let rig = lease.setup(&origin).start();
        let mut consumer = rig.connect();
        consumer.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(consumer.receive().status(), "200", "{payload:?}");
        for access in ["access-1", "access-2"] {
            let shown = verified(&seen.next(), secret).expect("it holds");
            assert_eq!(shown, (access.to_owned(), b"abc".to_vec()), "{payload:?}");
        }
        seen.nothing();
    }
}

#[test]
fn an_upstream_whose_clock_differs_is_followed() {
    let ahead = Duration::from_secs(600);
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            let there = now() + ahead.as_secs();
            let signed = seconds_of(request.all("x-amz-date")[0]);
            let accepted = there.abs_diff(signed) < 300;
            show.send(request).expect("the test goes on");
            let date = httpdate(there);
            let refusal =
                format!("HTTP/1.1 403 Forbidden\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
            connection.send(if accepted { OK } else { &refusal });
        }
    });
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Signed));
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(consumer.receive().status(), "200");
    for _ in 0..2 {
        assert_eq!(verified(&seen.next(), secret).expect("it holds").1, b"abc");
    }
    assert_eq!(consumer.get("/a", "").status(), "200", "it is known by now");
    seen.next();
    seen.nothing();
    let counted = "leasehold_clock_corrections_total{upstream=\"origin\"} 1";
    assert!(rig.metrics().contains(counted), "{}", rig.metrics());
}

#[test]
fn a_refusal_that_is_not_of_the_clock_is_passed_on() {
    let origin = Origin::saying(FORBIDDEN);
    let lease = Lease::ready_in(keys(LIVES), sigv4(Payload::Signed));
    let rig = lease.setup(&origin).start();
    assert_eq!(rig.connect().get("/a", "").status(), "403");
    assert_eq!(origin.connections(), 1);
    assert_eq!(rig.record()["status"], 403);
}

#[test]
fn a_signature_is_never_of_two_generations() {
    let shown = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&shown);
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            // What does not hold is seen by its consumer.
            let holds = verified(&request, secret).is_ok_and(|(access, _)| {
                let number = access
                    .strip_prefix("access-")
                    .unwrap_or_default()
                    .to_owned();
                let of_it = request.all("x-amz-security-token") == [format!("token-{number}")];
                seen.lock().insert(number);
                of_it
            });
            connection.send(if holds { OK } else { FORBIDDEN });
        }
    });
    let life = Duration::from_millis(20);
    let lease = Lease::ready_in(keys(life), sigv4(Payload::Chunked));
    let rig = lease.setup(&origin).start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut consumer = rig.connect();
                while shown.lock().len() < 200 {
                    consumer.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
                    let answer = consumer.receive();
                    // Between two lives of a moment there may be none.
                    let unready = answer.status() == "503";
                    assert!(unready || answer.status() == "200", "{}", answer.head);
                    if answer.all("connection") == ["close"] {
                        consumer = rig.connect();
                    }
                }
            });
        }
    });
}

#[test]
fn an_hmac_holds_for_what_arrives() {
    let (origin, seen) = Origin::answering(OK);
    let text = |text: &str| SignedPart::Text(text.to_owned());
    let shown = |text: &str| ShownPart::Text(text.to_owned());
    let rule = HmacSigning {
        key: "secret_key".to_owned(),
        key_form: KeyForm::Plain,
        hash: Hash::Sha512,
        text: vec![
            SignedPart::Method,
            text("\n"),
            SignedPart::Target,
            text("\n"),
            SignedPart::Host,
            text("\n"),
            SignedPart::Time,
            SignedPart::Nonce,
            text("\n"),
            SignedPart::Body(Hash::Sha256, Encoding::Hex),
        ],
        time: TimeForm::Unix,
        encoding: Encoding::Hex,
        headers: vec![
            (
                "authorization".to_owned(),
                vec![
                    shown("HMAC "),
                    ShownPart::Field("access_key".to_owned()),
                    shown(":"),
                    ShownPart::Signature,
                ],
            ),
            ("x-time".to_owned(), vec![ShownPart::Time]),
            ("x-nonce".to_owned(), vec![ShownPart::Nonce]),
        ],
    };
    let lease = Lease::ready_in(keys(LIVES), Injection::Signed(Signing::Hmac(rule)));
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    let mut nonces = BTreeSet::new();
    for _ in 0..2 {
        consumer.send("POST /a?b=%2f HTTP/1.1\r\nHost: a\r\nAuthorization: theirs\r\nX-Nonce: 1\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(consumer.receive().status(), "200");
        let request = seen.next();
        let value = |name: &str| request.all(name).join("|");
        let (time, nonce) = (value("x-time"), value("x-nonce"));
        let host = value("host");
        assert_eq!(
            host,
            origin.address.to_string(),
            "the endpoint's own is signed"
        );
        let text = format!("POST\n/a?b=%2f\n{host}\n{time}{nonce}\n{}", hash(b"abc"));
        let key = hmac::Key::new(hmac::HMAC_SHA512, b"secret-1");
        let mac = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        assert_eq!(value("authorization"), format!("HMAC access-1:{mac}"));
        assert!(nonces.insert(nonce), "each has its own");
    }
}

#[test]
fn a_message_signature_holds_for_what_arrives() {
    let (origin, seen) = Origin::answering(OK);
    let pair = Ed25519KeyPair::generate().expect("a key");
    let der = pair.to_pkcs8().expect("a key");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let rule = MessageSigning {
        key: "private_key".to_owned(),
        key_form: KeyForm::Plain,
        algorithm: MessageAlgorithm::Ed25519,
        components: vec![
            Component::Method,
            Component::TargetUri,
            Component::ContentDigest,
            Component::Header {
                name: "content-type".to_owned(),
                is_optional: false,
            },
        ],
        key_id: Some(KeyId::Named("gateway".to_owned())),
        label: "sig1".to_owned(),
        tag: None,
        expires: Some(Duration::from_secs(60)),
        nonce: true,
        shows_algorithm: true,
    };
    let provider =
        FakeProvider::leasing(LIVES).minting(move |_| vec![("private_key", pem.clone())]);
    let lease = Lease::ready_in(provider, Injection::Signed(Signing::Message(rule)));
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send("POST /a?b=%2f HTTP/1.1\r\nHost: a\r\nSignature: x=:YQ==:\r\nSignature-Input: x=()\r\nContent-Digest: sha-256=:YQ==:\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(consumer.receive().status(), "200");
    let request = seen.next();
    let digest = STANDARD.encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        b"abc",
    ));
    let digest = format!("sha-256=:{digest}:");
    assert_eq!(request.all("content-digest"), [&*digest]);
    let input = request.all("signature-input").join("|");
    let params = input.strip_prefix("sig1=").expect("one signature");
    assert!(
        params.starts_with(
            "(\"@method\" \"@target-uri\" \"content-digest\" \"content-type\");created="
        )
    );
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": http://{}/a?b=%2f\n\"content-digest\": {digest}\n\
         \"content-type\": text/plain\n\"@signature-params\": {params}",
        origin.address
    );
    let signature = request.all("signature").join("|");
    let signature = signature
        .strip_prefix("sig1=:")
        .and_then(|it| it.strip_suffix(':'));
    let signature = STANDARD
        .decode(signature.expect("one signature"))
        .expect("base64");
    let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
    public
        .verify(base.as_bytes(), &signature)
        .expect("it holds");
    let lacking = consumer.get("/a", "");
    assert_eq!(lacking.status(), "400");
    assert!(
        lacking
            .text()
            .contains("a header that is to be signed is missing"),
        "{}",
        lacking.text()
    );
    seen.nothing();
}

fn sigv4(payload: Payload) -> Injection {
    Injection::Signed(Signing::SigV4(SigV4 {
        region: "eu-west-1".to_owned(),
        service: "s3".to_owned(),
        payload,
        access_key: "access_key".to_owned(),
        secret_key: "secret_key".to_owned(),
        session_token: "security_token".to_owned(),
        needs_session_token: true,
    }))
}

fn keys(life: Duration) -> FakeProvider {
    FakeProvider::leasing(life).minting(|number| {
        vec![
            ("access_key", format!("access-{number}")),
            ("secret_key", format!("secret-{number}")),
            ("security_token", format!("token-{number}")),
        ]
    })
}

/// Returns the secret key of an access key id.
fn secret(access: &str) -> String {
    access.replace("access", "secret")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the origin has a clock of its own"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// Reads `20261125T120000Z`.
fn seconds_of(text: &str) -> u64 {
    let number = |from, to| text.get(from..to).and_then(|it| it.parse::<u8>().ok());
    let part = |from| number(from, from + 2).expect("a number");
    let year = text.get(..4).and_then(|it| it.parse().ok());
    let month = Month::try_from(part(4)).expect("a month");
    let date = Date::from_calendar_date(year.expect("a year"), month, part(6)).expect("a date");
    let at = date.with_hms(part(9), part(11), part(13)).expect("a time");
    u64::try_from(at.assume_utc().unix_timestamp()).expect("after 1970")
}

fn httpdate(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).expect("a time");
    let at = OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    let short = |word: String| word.chars().take(3).collect::<String>();
    let (weekday, month) = (
        short(at.weekday().to_string()),
        short(at.month().to_string()),
    );
    let (hour, minute, second) = at.to_hms();
    let (day, year) = (at.day(), at.year());
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

const LIVES: Duration = Duration::from_secs(600);
