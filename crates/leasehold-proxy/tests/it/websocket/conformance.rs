//! What the cases of the Autobahn suite see of a server of other people's making, they see through the
//! gateway too.

use std::collections::BTreeMap;

use leasehold_testkit::{Scratch, WebSocketEcho, websocket_conformance};

use super::with_idle;
use crate::rig::{LIMIT, Setup};

#[test]
fn no_case_is_worse_than_without_the_gateway() {
    // Read when the test is built, as `cargo xtask websocket-conformance` does.
    let without: &[&str] = match option_env!("WEBSOCKET_CONFORMANCE") {
        Some("full") => &[],
        // Large messages and compression, which take minutes.
        _ => &["9.*", "12.*", "13.*"],
    };
    let scratch = Scratch::new().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let origin = runtime.block_on(WebSocketEcho::start(scratch.path()));
    let port = origin.as_ref().expect("a server").port();
    let setup = Setup::to(&[format!("http://127.0.0.1:{port}")]);
    let rig = with_idle(setup, LIMIT * 10).start_with(|mut spec| {
        // The suite asks for the root.
        let websocket = spec.routes.last().and_then(|it| it.websocket);
        spec.routes[0].websocket = websocket;
        spec
    });
    let run = |port| {
        let cases = websocket_conformance(port, without, scratch.path()).expect("a report");
        cases.into_iter().collect::<BTreeMap<_, _>>()
    };
    let through = run(rig.address.port());
    let direct = run(port);
    let names = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<Vec<_>>();
    assert!(direct.len() >= 247, "{} cases", direct.len());
    assert_eq!(names(&through), names(&direct));
    let worse: Vec<_> = through
        .iter()
        .filter(|(name, words)| rank(words) > rank(&direct[*name]))
        .map(|(name, words)| format!("{name}: {words:?} and not {:?}", direct[name]))
        .collect();
    let good = |of: &BTreeMap<String, [String; 2]>| of.values().filter(|it| rank(it) == 0).count();
    eprintln!(
        "{} cases: {} good directly, {} through the gateway",
        direct.len(),
        good(&direct),
        good(&through)
    );
    assert!(good(&direct) > direct.len() * 9 / 10, "{direct:?}");
    assert!(worse.is_empty(), "{worse:#?}");
    // Each case was a WebSocket, or a connection that the suite asks for nothing on.
    let records = rig.finish();
    let opened = records.iter().filter(|it| it["status"] == 101).count();
    assert!(opened >= through.len(), "{opened}");
}

/// Tells how bad the outcome of a case is: zero where it is as it should be.
fn rank(words: &[String; 2]) -> usize {
    let rank = |word: &String| match word.as_str() {
        "OK" | "INFORMATIONAL" => 0,
        "NON-STRICT" => 1,
        _ => 2,
    };
    words.iter().map(rank).max().unwrap_or_default()
}
