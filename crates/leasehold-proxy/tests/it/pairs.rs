//! User names and passwords that change under load.

use std::collections::BTreeSet;
use std::env;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use leasehold_inject::{Injection, Spot};
use leasehold_model::{Encoding, Template, TemplatePart};
use parking_lot::Mutex;

use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin};

#[test]
fn a_login_is_never_of_two_generations() {
    let basic = Injection::Basic {
        username: "id".to_owned(),
        password: "key".to_owned(),
    };
    never_mixed(basic, "Basic ");
}

#[test]
fn what_a_template_makes_is_never_of_two_generations() {
    let field = |name: &str| TemplatePart::Field {
        name: name.to_owned(),
        encoding: None,
    };
    let colon = TemplatePart::Text(":".to_owned());
    let template = Template {
        parts: vec![field("id"), colon, field("key")],
        encoding: Some(Encoding::Base64),
    };
    let prefix = "ApiKey ".to_owned();
    let name = AUTHORIZATION;
    let spot = Spot::Header { name, prefix };
    never_mixed(Injection::Rendered { spot, template }, "ApiKey ");
}

/// Lets the credential change under load, and checks each pair that the origin is shown.
fn never_mixed(injection: Injection, prefix: &'static str) {
    let shown = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&shown);
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            let value = request.all("authorization").concat();
            seen.lock().insert(value);
            connection.send(OK);
        }
    });
    let mint = |number| {
        vec![
            ("id", format!("id-{number}")),
            ("key", format!("key-{number}")),
        ]
    };
    let lease = Lease::ready_in(FakeProvider::leasing(LIFE).minting(mint), injection);
    let rig = lease.setup(&origin).start();
    let wanted = wanted();
    thread::scope(|scope| {
        for _ in 0..CONSUMERS {
            scope.spawn(|| {
                let mut consumer = rig.connect();
                while shown.lock().len() < wanted {
                    // Between two lives of a moment there may be none.
                    let status = consumer.get("/", "").status().to_owned();
                    assert!(["200", "503"].contains(&&*status), "{status}");
                }
            });
        }
    });
    let shown = shown.lock();
    for value in shown.iter() {
        let pair = value.strip_prefix(prefix).expect("the scheme");
        let pair = STANDARD.decode(pair).expect("base64");
        let pair = String::from_utf8(pair).expect("text");
        let (id, key) = pair.split_once(':').expect("a pair");
        assert_eq!(id.strip_prefix("id-"), key.strip_prefix("key-"), "{pair}");
    }
    assert!(shown.len() >= wanted, "{} generations", shown.len());
}

/// How many generations the origin is to be shown.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn wanted() -> usize {
    let asked = env::var("LEASEHOLD_ROTATIONS").ok();
    asked.map_or(500, |it| it.parse().expect("a number"))
}

const LIFE: Duration = Duration::from_millis(20);
const CONSUMERS: usize = 4;
