//! What stands between a consumer and a credential refuses when it fails: by an error, by what does not
//! come, by what is too large by one byte, and by a consumer that leaves. The other half, a request that
//! is dropped at each of its awaits, is in `src/service/fail_open.rs`.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasehold_broker::FamilyLimits;
use leasehold_consumer::TokenRule;
use leasehold_inject::{Injection, Spot};
use leasehold_limit::{Per, RateSpec};
use leasehold_model::{Template, TemplatePart};
use leasehold_proxy::{Admission, GatewaySpec, Reflection};
use parking_lot::Mutex;
use serde_json::json;

use crate::consumer::Consumer;
use crate::issuer::{IssuerLab, Manner, Signer};
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, REPORTS_KEY, Rig, until};

#[test]
fn a_consumer_that_leaves_at_any_byte_leaves_a_whole_credential_or_nothing() {
    let stage = Stage::new(|spec| spec);
    for (shown, known) in [
        (CHECKOUT_KEY, true),
        (REPORTS_KEY, false),
        ("made-up", false),
    ] {
        let request = format!(
            "POST /closed/x HTTP/1.1\r\nHost: a\r\n{KEY_HEADER}: {shown}\r\nContent-Length: 5\r\n\r\nhello"
        );
        let head = request.len() - "hello".len();
        for length in 0..=request.len() {
            for manner in [Leave::Reset, Leave::End, Leave::Late] {
                let came = stage.sight.lock().len();
                let mut consumer = stage.rig.connect();
                consumer.send(&request.as_bytes()[..length]);
                if known && manner == Leave::Late && length >= head {
                    until("the request to arrive", || {
                        (stage.sight.lock().len() > came).then_some(())
                    });
                }
                leave(&consumer, manner);
            }
        }
        // Connections are taken in turn, so that all of those before are by now.
        assert_eq!(stage.rig.connect().get("/closed/x", "").status(), "401");
        stage.until_over();
        let arrived = stage.judge();
        assert_eq!(arrived > 0, known, "{shown}: {arrived}");
    }
}

#[test]
fn every_bound_is_kept_to_the_byte_and_lets_nobody_in() {
    let bounded = |mut spec: GatewaySpec| {
        for route in &mut spec.routes {
            route.head_limit = Some(BOUND as u64);
            route.body_limit = Some(BOUND as u64);
        }
        spec
    };
    let stage = Stage::new(bounded);
    for more in [-1_isize, 0, 1] {
        let size = BOUND.checked_add_signed(more).expect("a size");
        for identity in IDENTITIES {
            for request in [head_of(size, identity), body_of(size, identity)] {
                let mut consumer = stage.rig.connect();
                consumer.send(&request);
                let status = consumer.receive().status().to_owned();
                let fits = more <= 0 && identity.status == "200";
                assert_eq!(
                    status == "200",
                    fits,
                    "{more} {}: {status}",
                    identity.status
                );
                stage.until_over();
                assert_eq!(stage.judge(), usize::from(fits), "{more} {status}");
            }
        }
    }
}

#[test]
fn bounds_of_a_listener_let_nobody_in_either() {
    let provider = FakeProvider::leasing(LIFE);
    let stage = Stage::set_up(Lease::ready(provider), |setup| {
        setup.limits.head_size = 8192;
        setup.limits.headers = 12;
        setup.limits.body_size = BOUND as u64;
    });
    for identity in IDENTITIES {
        // Around each bound of the head, wherever exactly that is read to be.
        for size in (8192 - 64)..(8192 + 64) {
            stage.expect(identity, &head_of(size, identity));
        }
        for lines in 7..14 {
            let request = head_of(300, identity).replace("\r\n\r\n", &"\r\nx: 1".repeat(lines));
            stage.expect(identity, &format!("{request}\r\n\r\n"));
        }
        for size in [BOUND - 1, BOUND, BOUND + 1] {
            stage.expect(identity, &body_of(size, identity));
        }
    }
}

#[test]
fn a_token_may_be_as_long_as_it_may_and_no_longer() {
    let signer = Signer::new("k1");
    let lab = issuer(Manner::Keys(signer.keys()));
    until("keys", || (lab.asked() > 0).then_some(()));
    let stage = Stage::new(|spec| with_tokens(spec, &lab));
    let header =
        |padding: usize| signer.bearer(&json!({ "sub": "alice", "pad": "x".repeat(padding) }));
    let length = |padding| header(padding).len() - "Authorization: Bearer \r\n".len();
    // Base64 writes three bytes as four characters: lengths around the bound, as they come.
    let nearest = (0..LONGEST)
        .find(|it| length(*it) >= LONGEST - 2)
        .expect("one");
    let mut seen = [0, 0];
    for padding in nearest..nearest + 6 {
        let (length, fits) = (length(padding), length(padding) <= LONGEST);
        let answer = stage.rig.connect().get("/closed/x", &header(padding));
        assert_eq!(
            answer.status(),
            if fits { "200" } else { "401" },
            "{length}"
        );
        stage.until_over();
        assert_eq!(stage.judge(), usize::from(fits), "{length}");
        seen[usize::from(fits)] += 1;
    }
    assert!(
        seen[0] > 0 && seen[1] > 0,
        "both sides of the bound: {seen:?}"
    );
}

#[test]
fn an_issuer_that_fails_lets_nobody_in() {
    let signer = Signer::new("k1");
    let rubbish = [
        "",
        "{",
        "{\"keys\":[]}",
        "[]",
        "{\"keys\":[{\"kty\":\"none\"}]}",
    ];
    let manners = rubbish.map(Manner::Says);
    for manner in manners.into_iter().chain([Manner::Down]) {
        let lab = issuer(manner);
        until("a question", || (lab.asked() > 0).then_some(()));
        let stage = Stage::new(|spec| with_tokens(spec, &lab));
        let shown = signer.bearer(&json!({ "sub": "alice" }));
        let answer = stage.rig.connect().get("/closed/x", &shown);
        assert!(["401", "503"].contains(&answer.status()), "{}", answer.head);
        stage.until_over();
        assert_eq!(stage.judge(), 0);
    }
}

#[test]
fn a_request_that_waits_for_keys_which_never_come_is_refused() {
    let signer = Signer::new("k1");
    let lab = issuer(Manner::Silent);
    let stage = Stage::new(|spec| with_tokens(spec, &lab));
    let shown = signer.bearer(&json!({ "sub": "alice" }));
    let answer = stage.rig.connect().get("/closed/x", &shown);
    assert_eq!(answer.status(), "503", "{}", answer.head);
    assert_eq!(stage.judge(), 0);
}

#[test]
fn scopes_that_are_missing_are_not_there_for_want_of_a_token() {
    let signer = Signer::new("k1");
    let lab = issuer(Manner::Keys(signer.keys()));
    until("keys", || (lab.asked() > 0).then_some(()));
    let stage = Stage::new(|spec| {
        let mut spec = with_tokens(spec, &lab);
        for route in &mut spec.routes {
            route.scopes = vec!["read".to_owned(), "write".to_owned()];
        }
        spec
    });
    for scopes in [
        json!(["read"]),
        json!("read"),
        json!(null),
        json!(7),
        json!({ "read": 1 }),
    ] {
        let shown = signer.bearer(&json!({ "sub": "alice", "scp": scopes }));
        let answer = stage.rig.connect().get("/closed/x", &shown);
        assert_ne!(answer.status(), "200", "{scopes}");
    }
    let key = format!("{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
    assert_eq!(stage.rig.connect().get("/closed/x", &key).status(), "403");
    stage.until_over();
    assert_eq!(stage.judge(), 0);
    let shown = signer.bearer(&json!({ "sub": "alice", "scp": ["read", "write"] }));
    assert_eq!(stage.rig.connect().get("/closed/x", &shown).status(), "200");
    assert_eq!(stage.judge(), 1);
}

#[test]
fn what_is_over_a_limit_by_one_is_refused_and_so_is_whoever_it_can_not_count() {
    let stage = Stage::set_up_with(
        Lease::ready(FakeProvider::leasing(LIFE)),
        |setup| setup.limit_specs.rates.push(two_an_hour()),
        |mut spec| {
            for route in &mut spec.routes {
                route.rate = vec!["r".into()];
            }
            spec
        },
    );
    let key = format!("{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
    let statuses = [(); 4].map(|()| {
        let answer = stage.rig.connect().get("/closed/x", &key);
        answer.status().to_owned()
    });
    assert_eq!(statuses, ["200", "200", "429", "429"]);
    stage.until_over();
    assert_eq!(stage.judge(), 2);
}

#[test]
fn without_a_credential_to_take_nothing_is_sent() {
    let refusing = FakeProvider::leasing(LIFE);
    refusing.refuses.store(true, Ordering::SeqCst);
    let silent = FakeProvider::leasing(LIFE);
    silent.close();
    let cap = |cap| FamilyLimits { cap, idle: LIFE };
    let own = FakeProvider::leasing(LIFE);
    own.close();
    let leases = [
        ("error", Lease::start(refusing)),
        ("nothing comes", Lease::start(silent)),
        ("its own does not come", Lease::per_consumer(own, cap(4))),
        (
            "no room",
            Lease::per_consumer(FakeProvider::leasing(LIFE), cap(0)),
        ),
    ];
    for (what, lease) in leases {
        let stage = Stage::set_up(lease, |setup| {
            setup.admission = Admission::These(["checkout".into(), "reports".into()].into());
            setup.response_timeout = Duration::from_millis(20);
            setup.connect_timeout = Duration::from_millis(20);
        });
        let key = format!("{KEY_HEADER}: {CHECKOUT_KEY}\r\nX-Api-Key: forged\r\n");
        let answer = stage.rig.connect().get("/closed/x", &key);
        assert_eq!(answer.status(), "503", "{what}: {}", answer.head);
        assert_eq!(stage.judge(), 0, "{what}");
    }
}

#[test]
fn a_target_that_has_no_room_for_the_credential_is_not_sent_without() {
    let in_query = Injection::Rendered {
        spot: Spot::Query("key".to_owned()),
        template: Template {
            parts: vec![TemplatePart::Field {
                name: "value".to_owned(),
                encoding: None,
            }],
            encoding: None,
        },
    };
    let lease = Lease::ready_in(FakeProvider::leasing(LIFE), in_query);
    let stage = Stage::set_up(lease, |_| {});
    let key = format!("{KEY_HEADER}: {CHECKOUT_KEY}\r\n");
    // As long as a target may be; with the credential it is longer.
    let longest = usize::from(u16::MAX) - 1;
    let added = "?key=canary-1".len();
    let mut sent = 0;
    for length in [
        longest - added - 1,
        longest - added,
        longest - added + 1,
        longest,
    ] {
        let path = format!("/closed/{}", "x".repeat(length - "/closed/".len()));
        let mut consumer = stage.rig.connect();
        // A head of this size may be refused before it has come.
        drop(consumer.stream.write_all(
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n{key}Connection: close\r\n\r\n").as_bytes(),
        ));
        drop(consumer.rest());
        stage.until_over();
        for seen in stage.take() {
            assert!(seen.contains("?key=canary-1 HTTP/1.1\r\n"), "{length}");
            sent += 1;
        }
    }
    assert!(sent < 4, "the longest can't be sent");
    assert_eq!(stage.rig.connect().get("/closed/x", &key).status(), "200");
}

#[test]
fn a_guard_that_can_not_read_an_answer_hands_nothing_on() {
    let provider = FakeProvider::leasing(LIFE).minting(|_| vec![("value", SHOWN.to_owned())]);
    let lease = Lease::watched(provider);
    let bodies = ["gzip", "br", "zstd", "deflate", "made-up", "gzip, gzip"];
    let turn = AtomicUsize::new(0);
    let origin = Origin::start(move |mut connection| {
        while connection.try_receive().is_ok() {
            let coding = bodies[turn.fetch_add(1, Ordering::SeqCst) % bodies.len()];
            // Said to be packed, and is not, so that it can be looked for.
            let length = SHOWN.len();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n{SHOWN}"
            ));
        }
    });
    let rig = lease.setup(&origin).start_with(|mut spec| {
        let routes = spec.routes.iter_mut();
        routes.for_each(|it| it.reflection = Reflection::Block);
        spec
    });
    for coding in bodies {
        let mut consumer = rig.connect();
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let received = consumer.rest().expect("an end in order");
        let text = String::from_utf8_lossy(&received);
        assert!(!text.contains("canary-of-a-"), "{coding}: {text}");
        assert!(text.starts_with("HTTP/1.1 502 "), "{coding}: {text}");
    }
}

/// A gateway whose route to `/closed/` is for `checkout`, before an origin that keeps each byte.
struct Stage {
    rig: Rig,
    _lease: Lease,
    origin: Origin,
    sight: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new(change: impl FnOnce(GatewaySpec) -> GatewaySpec) -> Self {
        let lease = Lease::ready(FakeProvider::leasing(LIFE));
        Self::set_up_with(lease, |_| {}, change)
    }

    fn set_up(lease: Lease, set: impl FnOnce(&mut crate::rig::Setup)) -> Self {
        Self::set_up_with(lease, set, |spec| spec)
    }

    fn set_up_with(
        lease: Lease,
        set: impl FnOnce(&mut crate::rig::Setup),
        change: impl FnOnce(GatewaySpec) -> GatewaySpec,
    ) -> Self {
        let sight = Arc::<Mutex<Vec<String>>>::default();
        let recorded = Arc::clone(&sight);
        let origin = Origin::start(move |connection| record(connection, &recorded));
        let mut setup = lease.setup(&origin);
        // None of those that come at once is to be turned away for that.
        setup.connection_limit = 10_000;
        set(&mut setup);
        let rig = setup.start_with(change);
        Self {
            rig,
            _lease: lease,
            origin,
            sight,
        }
    }

    /// Sends a request, which may or may not be let in where its sender may be.
    fn expect(&self, identity: &Identity, request: &str) {
        let mut consumer = self.rig.connect();
        // It may be refused before all of it has come.
        drop(consumer.stream.write_all(request.as_bytes()));
        consumer.end();
        drop(consumer.rest());
        self.until_over();
        let arrived = self.judge();
        assert!(
            identity.status == "200" || arrived == 0,
            "{}",
            identity.status
        );
    }

    /// Waits until no request is under way.
    fn until_over(&self) {
        until("all to be over", || {
            let metrics = self.rig.metrics();
            metrics
                .contains("leasehold_requests_in_flight 0\n")
                .then_some(())
        });
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.sight.lock())
    }

    /// Whatever arrived shows the credential, whole and once. Returns how many requests did.
    fn judge(&self) -> usize {
        let seen = self.take();
        for request in &seen {
            let whole = request.matches("\r\nx-api-key: Key canary-1\r\n").count();
            let any = request.to_ascii_lowercase().matches("api-key").count();
            assert_eq!((whole, any), (1, 1), "{request}");
            assert!(!request.contains("forged"), "{request}");
        }
        assert!(seen.is_empty() || self.origin.connections() > 0);
        seen.len()
    }
}

/// Keeps what came from each head on; answers each request that is whole.
fn record(mut connection: Consumer, sight: &Mutex<Vec<String>>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 16384];
    let mut place: Option<usize> = None;
    while let Ok(length @ 1..) = connection.stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let whole = is_whole(&text);
        let mut all = sight.lock();
        match place.filter(|it| *it < all.len()) {
            Some(place) => all[place].clone_from(&text),
            None => {
                place = Some(all.len());
                all.push(text);
            }
        }
        drop(all);
        if whole {
            (seen, place) = (Vec::new(), None);
            connection.send(OK);
        }
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |it| it.parse().expect("a number"))
}

/// How a consumer leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// At once, by a reset.
    Reset,
    /// At once, by the end of both directions.
    End,
    /// As above, once its request has arrived, where it can.
    Late,
}

fn leave(consumer: &Consumer, manner: Leave) {
    if manner == Leave::Reset {
        let socket = socket2::SockRef::from(&consumer.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("set");
    } else {
        // The gateway may have closed already.
        drop(consumer.stream.shutdown(Shutdown::Both));
    }
}

/// Whom a request shows, and what it is answered where nothing else is wrong.
struct Identity {
    header: &'static str,
    status: &'static str,
}

const IDENTITIES: &[Identity] = &[
    Identity {
        header: "x-consumer-key: checkout-key\r\n",
        status: "200",
    },
    Identity {
        header: "x-consumer-key: reports-key\r\n",
        status: "403",
    },
    Identity {
        header: "x-consumer-key: made-up-keys\r\n",
        status: "401",
    },
    Identity {
        header: "x-consumer-key: checkout-key\r\nx-consumer-key: reports-key\r\n",
        status: "400",
    },
    Identity {
        header: "",
        status: "401",
    },
];

/// A request whose head, with what ends it left out, has that size.
fn head_of(size: usize, identity: &Identity) -> String {
    let head = |fill: &str| {
        format!(
            "GET /closed/x HTTP/1.1\r\nHost: a\r\n{}x-fill: {fill}\r\n\r\n",
            identity.header
        )
    };
    let rest = head("").len() - 2;
    head(&"x".repeat(size - rest))
}

fn body_of(size: usize, identity: &Identity) -> String {
    let body = "x".repeat(size);
    format!(
        "POST /closed/x HTTP/1.1\r\nHost: a\r\n{}Content-Length: {size}\r\n\r\n{body}",
        identity.header
    )
}

fn issuer(manner: Manner) -> IssuerLab {
    IssuerLab::start(manner, Duration::from_secs(600), LIFE)
}

fn with_tokens(mut spec: GatewaySpec, lab: &IssuerLab) -> GatewaySpec {
    let rule = TokenRule {
        consumer: "checkout".into(),
        issuer: "corp".into(),
        subject: None,
        claims: vec![],
    };
    spec.consumers = spec.consumers.with_tokens(vec![lab.issuer()], vec![rule]);
    spec
}

fn two_an_hour() -> RateSpec {
    let two = NonZeroU32::new(2).expect("not zero");
    RateSpec {
        name: "r".into(),
        per: Per {
            consumer: true,
            ..Per::default()
        },
        requests: two,
        every: Duration::from_secs(3600),
        burst: two,
        keys: 1,
        headers: false,
    }
}

const BOUND: usize = 1024;
/// As `IssuerLab` has it.
const LONGEST: usize = 8192;
const LIFE: Duration = Duration::from_secs(600);
const SHOWN: &str = "canary-of-a-good-length";
