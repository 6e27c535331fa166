//! Route matched equals route forwarded, for paths at random: the origin behind each route sees the bytes
//! that were sent, and however it may read them, they are a path of that route and of no other.

use std::borrow::Cow;

use fastrand::Rng;
use leasehold_proxy::{Admission, GatewaySpec, RouteSpec, UpstreamSpec};

use crate::consumer::Consumer;
use crate::origin::Origin;
use crate::rig::{Rig, Setup};

/// Traefik, CVE-2026-48020, and others of `docs/failures.md`: routed by one reading of the path, served
/// by another.
#[test]
fn t8_the_route_that_is_matched_is_the_route_that_is_forwarded() {
    // Read when the test is built, as `cargo xtask paths` does.
    let count = number(option_env!("PATHS_COUNT")).unwrap_or(20_000);
    // By default the same paths each time: a test run says the same of the same code.
    let seed = number(option_env!("PATHS_SEED")).unwrap_or(1);
    let origins: Vec<_> = (0..PREFIXES.len()).map(answering).collect();
    let rig = start(&origins);
    let mut random = Rng::with_seed(seed);
    let mut tally = Tally::default();
    let mut done = 0;
    while done < count {
        let targets: Vec<_> = (0..BATCH).map(|_| target(&mut random)).collect();
        done += targets.len() as u64;
        if let Err(fault) = send_all(&rig, &targets, &mut tally) {
            panic!("PATHS_SEED={seed} PATHS_COUNT={done}: {fault}");
        }
    }
    assert!(tally.refused > count / 20, "few were refused: {tally:?}");
    assert!(
        tally.passed.iter().all(|it| *it > count / 1000),
        "{tally:?}"
    );
    assert_eq!(tally.passed.iter().sum::<u64>() + tally.refused, done);
    eprintln!("{done} paths with the seed {seed}: {tally:?}");
}

/// How many went through by each route, and how many did not.
#[derive(Debug, Default)]
struct Tally {
    passed: [u64; PREFIXES.len()],
    refused: u64,
}

/// Sends the targets in one go, and what was not answered after a refusal again.
fn send_all(rig: &Rig, targets: &[String], tally: &mut Tally) -> Result<(), String> {
    let mut left = targets;
    while !left.is_empty() {
        let mut consumer = rig.connect();
        let requests = left
            .iter()
            .map(|it| format!("GET {it} HTTP/1.1\r\nHost: a\r\n\r\n"));
        consumer.send(requests.collect::<String>());
        while let Some((target, rest)) = left.split_first() {
            let answer = consumer.receive();
            left = rest;
            if answer.status() == "400" {
                tally.refused += 1;
                break;
            }
            let route = judge(target, answer.text())?;
            tally.passed[route] += 1;
        }
    }
    Ok(())
}

/// Checks what an origin says that it has seen; returns the number of its route.
fn judge(sent: &str, said: &str) -> Result<usize, String> {
    let (route, seen) = said.split_once(' ').unwrap_or_default();
    let route = route
        .parse()
        .map_err(|_broken| format!("{sent} is answered {said}"))?;
    if seen != sent {
        return Err(format!("{sent} goes on as {seen}"));
    }
    let path = sent.split('?').next().unwrap_or_default();
    for (reading, read) in READINGS {
        let read = read(path);
        let prefixes = PREFIXES.map(|prefix| match *reading {
            "as it is" => Cow::Borrowed(prefix.as_bytes()),
            _ => Cow::Owned(decoded(prefix.as_bytes())),
        });
        let other = longest(&prefixes, &read);
        if other != Some(route) {
            return Err(format!(
                "{sent} goes to {}, and is {} to who reads it {reading}",
                PREFIXES[route],
                other.map_or("nobody's", |it| PREFIXES[it])
            ));
        }
    }
    Ok(route)
}

/// The rule of the documentation, written anew: the longest prefix, which ends at a slash.
fn longest(prefixes: &[Cow<'_, [u8]>], path: &[u8]) -> Option<usize> {
    let is_below = |prefix: &[u8]| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| prefix.ends_with(b"/") || matches!(rest, [] | [b'/', ..]))
    };
    let matching = prefixes.iter().enumerate().filter(|(_, it)| is_below(it));
    matching
        .max_by_key(|(_, it)| it.len())
        .map(|(number, _)| number)
}

type Reading = fn(&str) -> Vec<u8>;

/// How servers read paths.
const READINGS: &[(&str, Reading)] = &[
    ("as it is", |path| path.into()),
    ("decoded", |path| decoded(path.as_bytes())),
    ("decoded, with slashes merged", |path| {
        merged(&decoded(path.as_bytes()))
    }),
    ("without parameters, then decoded", |path| {
        merged(&decoded(&without_parameters(path.as_bytes())))
    }),
    ("decoded, then without parameters", |path| {
        merged(&without_parameters(&decoded(path.as_bytes())))
    }),
    ("decoded, with dots resolved", |path| {
        resolved(&decoded(path.as_bytes()))
    }),
    ("without parameters, with dots resolved", |path| {
        resolved(&without_parameters(&decoded(path.as_bytes())))
    }),
    ("with backslashes for slashes", |path| {
        let path = decoded(path.as_bytes());
        let slash = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
        resolved(&path.iter().map(slash).collect::<Vec<_>>())
    }),
    ("up to a NUL", |path| {
        let path = decoded(path.as_bytes());
        path.split(|byte| *byte == 0)
            .next()
            .unwrap_or_default()
            .into()
    }),
];

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let byte = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|next, last| (*next, *last) == (b'/', b'/'));
    merged
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let bare = segments.map(|segment| segment.split(|byte| *byte == b';').next());
    bare.map(Option::unwrap_or_default)
        .collect::<Vec<_>>()
        .join(&b'/')
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let merged = merged(path);
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<_> = merged.split(|byte| *byte == b'/').collect();
    for (number, segment) in segments.iter().enumerate() {
        let last = number + 1 == segments.len();
        match *segment {
            b"." if last => kept.push(b""),
            b"." => {}
            b".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
                if last {
                    kept.push(b"");
                }
            }
            segment => kept.push(segment),
        }
    }
    kept.join(&b'/')
}

fn target(random: &mut Rng) -> String {
    let begin = if random.bool() { &PREFIXES[..] } else { &["/"] };
    let begin = random.choice(begin).copied().unwrap_or_default();
    let mut target = begin.to_owned();
    for _ in 0..random.usize(0..6) {
        let pieces = if random.u8(..3) == 0 { ODD } else { PLAIN };
        target.push_str(random.choice(pieces).copied().unwrap_or_default());
    }
    target
}

/// An origin that answers with its number and the target that it has seen.
fn answering(number: usize) -> Origin {
    Origin::start(move |mut connection: Consumer| {
        while let Ok(head) = connection.head() {
            let target = head.split(' ').nth(1).unwrap_or_default();
            let body = format!("{number} {target}");
            let length = body.len();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

fn start(origins: &[Origin]) -> Rig {
    let urls: Vec<_> = origins.iter().map(Origin::url).collect();
    Setup::to(&urls[..1]).start_with(|spec| GatewaySpec {
        routes: PREFIXES.iter().enumerate().map(route).collect(),
        upstreams: urls
            .iter()
            .enumerate()
            .map(|it| upstream(&spec, it))
            .collect(),
        ..spec
    })
}

fn route((number, prefix): (usize, &&str)) -> RouteSpec {
    RouteSpec::to(
        &format!("route-{number}"),
        prefix,
        &format!("origin-{number}"),
        Admission::Anyone,
    )
}

fn upstream(spec: &GatewaySpec, (number, url): (usize, &String)) -> UpstreamSpec {
    UpstreamSpec {
        name: format!("origin-{number}").as_str().into(),
        endpoints: vec![url.parse().expect("a URL")],
        ..spec.upstreams[0].clone()
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text.map(|text| text.parse().expect("a number"))
}

const BATCH: usize = 16;
const PREFIXES: [&str; 7] = [
    "/",
    "/closed/",
    "/pay",
    "/pay/x/",
    "/a/b/",
    "/caf%C3%A9/",
    "/a.b",
];
const PLAIN: &[&str] = &[
    "/",
    "a",
    "b",
    "pay",
    "x",
    "closed",
    "caf%C3%A9",
    "a.b",
    "/a/b/",
    "/pay/x/",
    "/closed/",
    "~",
    "pay/",
    "closed/",
    "a/b/",
    "caf%C3%A9/",
];
const ODD: &[&str] = &[
    "//",
    ".",
    "..",
    "/../",
    "/./",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    ";",
    ";x=1",
    "%3b",
    "%63losed",
    "%70ay",
    "p%61y",
    "%00",
    "%",
    "%zz",
    "%4",
    "%c3%a9",
    "caf%c3%a9/",
    "%25",
    "%2561",
    "...",
    "*",
    "%20",
    "+",
    "?q=/../closed/",
    "/..;/",
    "/;/",
    "..;/",
    "%2e%2e;/",
    "/%2e/",
    "@",
    ":",
    "%7e",
    "%41",
    "A",
    "PAY",
    "/pay;x/x/",
    "a%2eb",
    "%0a",
    "%0d%0a",
    "%ff",
];
