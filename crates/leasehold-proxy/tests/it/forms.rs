//! Credentials in queries, in cookies and made by templates, as the origin sees them.

use std::time::Duration;

use leasehold_inject::{Injection, Spot};
use leasehold_model::{Encoding, Template, TemplatePart};

use crate::consumer::Message;
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, UNAUTHORIZED, seen};
use crate::rig::Rig;

#[test]
fn a_parameter_replaces_the_consumers_and_the_rest_of_the_target_stays() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(pairs(), in_query());
    let rig = lease.setup(&origin).start();
    for (sent, placed) in [
        ("/x", "/x?api_key=key-1%2F%26"),
        ("/x?", "/x?api_key=key-1%2F%26"),
        (
            "/x/%7e?b=%2f&&c=+;d&%zz&api-key=1",
            "/x/%7e?api_key=key-1%2F%26&b=%2f&&c=+;d&%zz&api-key=1",
        ),
        (
            "/x?api_key=1&a=2&API%5fkey[]=3;api.key=4&api_key",
            "/x?api_key=key-1%2F%26&a=2",
        ),
    ] {
        assert_eq!(rig.connect().get(sent, "").status(), "200", "{sent}");
        assert_eq!(target(&seen.next()), placed);
    }
    unseen(&rig, 4);
}

#[test]
fn a_cookie_replaces_the_consumers_in_each_of_its_headers() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(pairs(), rendered(Spot::Cookie("sid".to_owned()), hex_key()));
    let rig = lease.setup(&origin).start();
    let ours = "sid=6b65792d312f26";
    for (sent, placed) in [
        ("", ours.to_owned()),
        ("Cookie: a=1;b=\"x\"\r\n", format!("{ours}; a=1;b=\"x\"")),
        (
            "Cookie: SID=1; a=1; \"sid\"=2\r\nCookie: sid=3\r\nCookie:  b=%20\r\n",
            format!("{ours}; a=1; b=%20"),
        ),
    ] {
        assert_eq!(rig.connect().get("/", sent).status(), "200");
        assert_eq!(seen.next().all("cookie"), [placed]);
    }
    let named = rig.connect().get("/", "Connection: cookie\r\n");
    assert_eq!(named.status(), "400");
    seen.nothing();
    unseen(&rig, 4);
}

#[test]
fn a_template_is_rendered_from_one_generation() {
    let (origin, seen) = Origin::answering(OK);
    let name = "authorization".parse().expect("a header name");
    let prefix = "ApiKey ".to_owned();
    let spot = Spot::Header { name, prefix };
    let lease = Lease::ready_in(pairs(), rendered(spot, pair(Some(Encoding::Base64))));
    let rig = lease.setup(&origin).start();
    let theirs = "Authorization: Bearer theirs\r\n";
    assert_eq!(rig.connect().get("/", theirs).status(), "200");
    // As `printf 'id-1:key-1/&' | base64` has it.
    assert_eq!(
        seen.next().all("authorization"),
        ["ApiKey aWQtMTprZXktMS8m"]
    );
    unseen(&rig, 1);
}

#[test]
fn a_refused_request_goes_again_with_the_newer_generation_alone() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            let accepted = request.head.contains("key-2");
            show.send(request).expect("the test goes on");
            connection.send(if accepted { OK } else { UNAUTHORIZED });
        }
    });
    let lease = Lease::ready_in(pairs(), in_query());
    let rig = lease.setup(&origin).start();
    assert_eq!(rig.connect().get("/?a=%2f&api_key=x", "").status(), "200");
    assert_eq!(target(&seen.next()), "/?api_key=key-1%2F%26&a=%2f");
    assert_eq!(target(&seen.next()), "/?api_key=key-2%2F%26&a=%2f");
    seen.nothing();
    unseen(&rig, 1);
}

#[test]
fn a_target_that_can_have_no_parameter_is_not_sent() {
    let (origin, seen) = Origin::answering(OK);
    let lease = Lease::ready_in(pairs(), in_query());
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let status = consumer.receive().status().to_owned();
    assert!(["400", "404"].contains(&&*status), "{status}");
    seen.nothing();
}

/// Checks that no record and no metric shows any of the credential.
fn unseen(rig: &Rig, count: usize) {
    let told = format!("{:?} {}", rig.records(count), rig.metrics());
    for canary in ["key-1", "key-2", "6b65792d", "aWQtMTpr"] {
        assert!(!told.contains(canary), "{told}");
    }
}

fn target(request: &Message) -> &str {
    request.head.split(' ').nth(1).expect("a request line")
}

fn pairs() -> FakeProvider {
    let mint = |number| {
        vec![
            ("id", format!("id-{number}")),
            ("key", format!("key-{number}/&")),
        ]
    };
    FakeProvider::leasing(Duration::from_secs(600)).minting(mint)
}

fn in_query() -> Injection {
    let key = Template {
        parts: vec![field("key", None)],
        encoding: None,
    };
    rendered(Spot::Query("api_key".to_owned()), key)
}

fn hex_key() -> Template {
    Template {
        parts: vec![field("key", Some(Encoding::Hex))],
        encoding: None,
    }
}

fn pair(encoding: Option<Encoding>) -> Template {
    let colon = TemplatePart::Text(":".to_owned());
    Template {
        parts: vec![field("id", None), colon, field("key", None)],
        encoding,
    }
}

fn field(name: &str, encoding: Option<Encoding>) -> TemplatePart {
    TemplatePart::Field {
        name: name.to_owned(),
        encoding,
    }
}

fn rendered(spot: Spot, template: Template) -> Injection {
    Injection::Rendered { spot, template }
}
