use super::*;

#[test]
fn well_formed_requests_pass_however_they_are_cut_up() {
    for stream in WELL_FORMED {
        for step in 1..=stream.len() {
            let mut framing = Framing::default();
            for part in stream.as_bytes().chunks(step) {
                assert_eq!(framing.follow(part), Ok(()), "{stream:?} by {step}");
            }
            assert!(
                matches!(framing.stage, Stage::Start { skipped: false }),
                "{stream:?} by {step}: {framing:?}"
            );
            assert_eq!(framing.carried.capacity(), 0);
        }
    }
}

#[test]
fn a_broken_rule_is_found_at_the_same_byte_however_the_stream_is_cut_up() {
    for (before, from, place) in BROKEN {
        let stream = format!("{before}{from}");
        for step in 1..=stream.len() {
            let mut framing = Framing::default();
            let mut passed = 0;
            let fault = stream.as_bytes().chunks(step).find_map(|part| {
                let outcome = framing.follow(part);
                passed += outcome
                    .as_ref()
                    .map_or_else(|fault| fault.at, |()| part.len());
                outcome.err()
            });
            let fault = fault.unwrap_or_else(|| panic!("{stream:?} by {step} passes"));
            assert_eq!(fault.place, *place, "{stream:?} by {step}");
            assert_eq!(passed, before.len(), "{stream:?} by {step}");
        }
    }
}

#[test]
fn an_upgrade_is_seen_and_forgotten_with_the_next_request() {
    let mut framing = Framing::default();
    let asks = b"GET / HTTP/1.1\r\nHost: a\r\nupGrade: x\r\n\r\n";
    assert_eq!(framing.follow(asks), Ok(()));
    assert!(framing.asks_for_upgrade());
    assert_eq!(framing.follow(b"GET / HTTP/1.1\r\n"), Ok(()));
    assert!(!framing.asks_for_upgrade());
}

#[test]
fn a_line_without_an_end_is_not_kept_for_ever() {
    let mut framing = Framing::default();
    let part = [b'x'; 4096];
    let faults = (0..LONGEST_LINE / part.len() + 1).filter(|_| framing.follow(&part).is_err());
    assert_eq!(faults.count(), 1);
    assert!(framing.carried.len() <= LONGEST_LINE);
}

/// Whatever is sent, and however it is cut up: the same verdict, at the same byte.
#[test]
fn mutated_streams_have_one_verdict() {
    let seed = number(option_env!("FRAMING_SEED")).unwrap_or_else(|| fastrand::u64(..));
    let rounds = number(option_env!("FRAMING_ROUNDS")).unwrap_or(20_000);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..rounds {
        let mut stream = Vec::new();
        for _ in 0..random.usize(1..4) {
            let text = random.choice(WELL_FORMED).expect("some");
            stream.extend_from_slice(text.as_bytes());
        }
        for _ in 0..random.usize(1..6) {
            mutate(&mut stream, &mut random);
        }
        let whole = verdict(&stream, |rest| rest);
        let cut = verdict(&stream, |rest| random.usize(1..=rest));
        assert_eq!(
            whole,
            cut,
            "seed {seed} round {round}: {:?}",
            String::from_utf8_lossy(&stream)
        );
    }
}

/// Returns where a stream breaks a rule.
fn verdict(
    stream: &[u8],
    mut length: impl FnMut(usize) -> usize,
) -> Option<(usize, Place, &'static str)> {
    let mut framing = Framing::default();
    let mut at = 0;
    while at < stream.len() {
        let part = &stream[at..][..length(stream.len() - at)];
        if let Err(fault) = framing.follow(part) {
            return Some((at + fault.at, fault.place, fault.rule));
        }
        at += part.len();
    }
    None
}

fn mutate(stream: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(..=stream.len());
    match random.u8(..5) {
        0 if at < stream.len() => drop(stream.remove(at)),
        1 if at < stream.len() => stream[at] ^= 1 << random.u8(..8),
        2 => {
            let from = random.usize(..=at);
            let copy = stream[from..at].to_vec();
            stream.splice(at..at, copy);
        }
        3 => stream.truncate(at),
        _ => {
            let piece = random.choice(PIECES).expect("some");
            stream.splice(at..at, piece.bytes());
        }
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text.map(|text| text.parse().expect("a number"))
}

const PIECES: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\0",
    ":",
    ";",
    "0",
    "f",
    "chunked",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n\r\n",
    "5\r\nhello\r\n",
];

const WELL_FORMED: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\ncontent-length:\t5 \r\nHost: a\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0a;a=b;c=\"d e\"\r\n0123456789\r\n0;x\r\n\
     X-Sum: \t1\r\nEmpty:\r\n\r\nGET / HTTP/1.1\r\n\r\n",
];

/// What may go on, what may not, and where that is.
const BROKEN: &[(&str, &str, Place)] = &[
    ("GET / HTTP/1.1", "\nHost: a\r\n\r\n", Place::Head),
    ("GET / HTTP/1.1\r\nA: b", "\nHost: a\r\n\r\n", Place::Head),
    ("GET / HTTP/1.1\r\nA: b\r", "Host: a\r\n\r\n", Place::Head),
    ("GET / HTTP/1.1\r\n", "\n", Place::Head),
    ("\r\n\r", "\nGET / HTTP/1.1\r\n", Place::Head),
    ("GET /\r", "\n", Place::Head),
    ("GET / HTTP/1.2\r", "\n", Place::Head),
    ("GET /#x HTTP/1.1\r", "\n", Place::Head),
    ("GET /é HTTP/1.1\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\nA: b\r\n c\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\nA : b\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\nA\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\n:\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\nContent-Length: +1\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\nContent-Length: 1,1\r", "\n", Place::Head),
    ("GET / HTTP/1.1\r\nContent-Length:\r", "\n", Place::Head),
    (
        "GET / HTTP/1.1\r\nContent-Length: \x0c1\r",
        "\n",
        Place::Head,
    ),
    (
        "GET / HTTP/1.1\r\nContent-Length: 9999999999999999999\r",
        "\n",
        Place::Head,
    ),
    (
        "GET / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r",
        "\n",
        Place::Head,
    ),
    (
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r",
        "\n",
        Place::Head,
    ),
    (
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r",
        "\n",
        Place::Head,
    ),
    (
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r",
        "\n",
        Place::Head,
    ),
    (
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r",
        "\n",
        Place::Head,
    ),
    ("GET / HTTP/1.1\r\nTransfer-Encoding: \r", "\n", Place::Head),
    (
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r",
        "\n",
        Place::Head,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5",
        "\nhello\r\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r",
        "hello\r\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5 \r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n 5\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a\0\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        "X\r\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        "\n0\r\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r",
        "X0\r\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
        "\n",
        Place::Body,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b: c\r",
        "\n",
        Place::Body,
    ),
];
