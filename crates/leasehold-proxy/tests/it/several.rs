//! Several credentials on one upstream, and one of several by who asks and by which way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderName;
use leasehold_inject::{Injection, Spot};
use leasehold_model::{Template, TemplatePart};
use leasehold_proxy::{Admission, CredentialUse, GatewaySpec, RouteSpec, Selector};

use crate::consumer::Message;
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, UNAUTHORIZED};
use crate::rig::{CHECKOUT_KEY, REPORTS_KEY, Rig, until};

#[test]
fn what_has_different_places_is_all_shown_and_recorded() {
    let (origin, seen) = Origin::answering(OK);
    let (one, two) = (held("x-one", "one"), held("x-two", "two"));
    let rig = start(&origin, vec![vec![&one], vec![&two]]);
    let forged = "X-One: forged\r\nX-Two: forged\r\nX-Two: again\r\n";
    assert_eq!(get(&rig, "/", CHECKOUT_KEY, forged).status(), "200");
    let request = seen.next();
    assert_eq!(request.all("x-one"), ["one-1"]);
    assert_eq!(request.all("x-two"), ["two-1"]);
    let record = rig.record();
    let others = record["other_credentials"].as_array().expect("a list");
    assert_eq!(
        (&record["generation"], &record["lease_id"]),
        (&1.into(), &"lease-1".into())
    );
    assert_eq!(others.len(), 1, "{record}");
    assert_eq!(
        (&others[0]["generation"], &others[0]["lease_id"]),
        (&1.into(), &"lease-1".into())
    );
}

#[test]
fn a_forged_alias_of_any_place_goes_no_further() {
    let (origin, seen) = Origin::answering(OK);
    let (one, two) = (held("x-one", "one"), held("x-two", "two"));
    let rig = start(&origin, vec![vec![&one], vec![&two]]);
    for forged in [
        "X_One: forged\r\n",
        "X.Two: forged\r\n",
        "Connection: x-two\r\nX-Two: forged\r\n",
        "Connection: x-one\r\n",
    ] {
        assert_eq!(
            get(&rig, "/", CHECKOUT_KEY, forged).status(),
            "400",
            "{forged}"
        );
    }
    seen.nothing();
}

#[test]
fn at_one_place_the_first_that_is_for_the_consumer_is_shown() {
    let (origin, seen) = Origin::answering(OK);
    let (gold, plain) = (held("x-key", "gold"), held("x-key", "plain"));
    let places = vec![vec![
        only(&gold, &["checkout"], &[]),
        only(&plain, &[], &[]),
    ]];
    let rig = start_with(&origin, places, |_| ());
    for (key, shown) in [(CHECKOUT_KEY, "gold-1"), (REPORTS_KEY, "plain-1")] {
        let answer = get(&rig, "/", key, "X-Key: gold-1\r\n");
        assert_eq!(answer.status(), "200");
        assert_eq!(seen.next().all("x-key"), [shown]);
    }
}

#[test]
fn at_one_place_the_first_that_is_for_the_route_is_shown() {
    let (origin, seen) = Origin::answering(OK);
    let (eu, plain) = (held("x-key", "eu"), held("x-key", "plain"));
    let places = vec![vec![only(&eu, &[], &["eu"]), only(&plain, &[], &[])]];
    let rig = start_with(&origin, places, |spec| {
        let route = RouteSpec::to("eu", "/eu/", "origin", Admission::Anyone);
        spec.routes.push(route);
    });
    for (path, shown) in [("/eu/x", "eu-1"), ("/x", "plain-1")] {
        assert_eq!(get(&rig, path, REPORTS_KEY, "").status(), "200");
        assert_eq!(seen.next().all("x-key"), [shown], "{path}");
    }
}

#[test]
fn where_no_alternative_is_for_the_request_it_is_refused() {
    let (origin, seen) = Origin::answering(OK);
    let (gold, beside) = (held("x-key", "gold"), held("x-beside", "beside"));
    let places = vec![
        vec![only(&beside, &[], &[])],
        vec![only(&gold, &["checkout"], &[])],
    ];
    let rig = start_with(&origin, places, |_| ());
    let refused = get(&rig, "/", REPORTS_KEY, "X-Key: gold-1\r\n");
    assert_eq!(refused.status(), "403");
    assert!(refused.text().contains("credential_not_chosen"));
    seen.nothing();
    assert_eq!(rig.record()["reason"], "credential_not_chosen");
    assert_eq!(get(&rig, "/", CHECKOUT_KEY, "").status(), "200");
    assert_eq!(seen.next().all("x-key"), ["gold-1"]);
}

#[test]
fn where_one_is_missing_nothing_is_sent() {
    let (origin, seen) = Origin::answering(OK);
    let one = held("x-one", "one");
    let refusing = minting("two");
    refusing.refuses.store(true, Ordering::SeqCst);
    let two = Lease::shown(refusing, header("x-two"));
    for places in [vec![vec![&one], vec![&two]], vec![vec![&two], vec![&one]]] {
        let rig = start(&origin, places);
        let refused = get(&rig, "/", CHECKOUT_KEY, "X-Two: forged\r\n");
        assert_eq!(refused.status(), "503");
        assert!(refused.text().contains("credential_unavailable"));
        seen.nothing();
        let record = rig.record();
        assert!(record["generation"].is_null(), "{record}");
    }
}

#[test]
fn a_refused_request_is_sent_again_where_one_of_them_is_newer() {
    let (origin, seen) = Origin::answering_each(|request| {
        let dead = request.all("x-two") == ["two-1"];
        if dead { UNAUTHORIZED } else { OK }
    });
    let one = Lease::ready_in(stored("one"), header("x-one"));
    let two = held("x-two", "two");
    let rig = start(&origin, vec![vec![&one], vec![&two]]);
    assert_eq!(get(&rig, "/", CHECKOUT_KEY, "").status(), "200");
    let (first, second) = (seen.next(), seen.next());
    seen.nothing();
    assert_eq!(
        (first.all("x-one"), first.all("x-two")),
        (vec!["one-1"], vec!["two-1"])
    );
    assert_eq!(
        (second.all("x-one"), second.all("x-two")),
        (vec!["one-1"], vec!["two-2"])
    );
    assert_eq!(one.provider.fetched(), 2, "it was suspected as well");
    let record = rig.record();
    assert!(record["retried_after"].is_null(), "{record}");
    let other = &record["other_credentials"][0];
    assert_eq!(
        (&other["generation"], &other["retried_after"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn a_refusal_that_changes_nothing_is_passed_on() {
    let (origin, seen) = Origin::answering(UNAUTHORIZED);
    let one = Lease::ready_in(stored("one"), header("x-one"));
    let two = Lease::ready_in(stored("two"), header("x-two"));
    let rig = start(&origin, vec![vec![&one], vec![&two]]);
    assert_eq!(get(&rig, "/", CHECKOUT_KEY, "").status(), "401");
    seen.next();
    seen.nothing();
    until("both to be looked at again", || {
        (one.provider.fetched() == 2 && two.provider.fetched() == 2).then_some(())
    });
}

#[test]
fn two_parameters_and_two_cookies_are_shown_beside_the_rest() {
    let (origin, seen) = Origin::answering(OK);
    let spot = |name: &str, spot: Spot| {
        let parts = vec![TemplatePart::Field {
            name: "value".to_owned(),
            encoding: None,
        }];
        let template = Template {
            parts,
            encoding: None,
        };
        Lease::ready_in(minting(name), Injection::Rendered { spot, template })
    };
    let leases = [
        spot("a", Spot::Query("a".to_owned())),
        spot("b", Spot::Query("b".to_owned())),
        spot("c", Spot::Cookie("c".to_owned())),
        spot("d", Spot::Cookie("d".to_owned())),
    ];
    let rig = start(&origin, leases.iter().map(|it| vec![it]).collect());
    let forged = "Cookie: d=forged; e=5; c=forged\r\n";
    let answer = get(&rig, "/x?b=forged&q=1&a=forged", CHECKOUT_KEY, forged);
    assert_eq!(answer.status(), "200");
    let request = seen.next();
    assert!(
        request
            .head
            .starts_with("GET /x?b=b-1&a=a-1&q=1 HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.all("cookie"), ["d=d-1; c=c-1; e=5"]);
}

#[test]
fn a_mirror_is_shown_all_that_its_own_upstream_is_shown() {
    let (origin, seen) = Origin::answering(OK);
    let (other, copied) = Origin::answering(OK);
    let (one, two) = (held("x-one", "one"), held("x-two", "two"));
    let rig = start_with(&other, places(vec![vec![&one], vec![&two]]), |spec| {
        let mut first = spec.upstreams.first().expect("one").clone();
        first.name = "first".into();
        first.endpoints = vec![origin.url().parse().expect("a URL")];
        first.credentials.clear();
        spec.upstreams.push(first);
        let mut route = RouteSpec::to("copied", "/copied/", "first", Admission::Anyone);
        route.mirror = Some(leasehold_proxy::MirrorSpec {
            upstream: "origin".into(),
            percent: 100,
        });
        spec.routes.push(route);
    });
    assert_eq!(get(&rig, "/copied/", CHECKOUT_KEY, "").status(), "200");
    assert!(seen.next().all("x-one").is_empty());
    let copy = copied.next();
    assert_eq!(
        (copy.all("x-one"), copy.all("x-two")),
        (vec!["one-1"], vec!["two-1"])
    );
}

/// Starts a gateway whose upstream is shown these, each alternative for everybody.
fn start(origin: &Origin, leases: Vec<Vec<&Lease>>) -> Rig {
    start_with(origin, places(leases), |_| ())
}

fn places(leases: Vec<Vec<&Lease>>) -> Vec<Vec<CredentialUse>> {
    let places = leases.into_iter();
    places
        .map(|place| place.into_iter().map(|it| it.used.clone()).collect())
        .collect()
}

fn start_with(
    origin: &Origin,
    places: Vec<Vec<CredentialUse>>,
    change: impl FnOnce(&mut GatewaySpec),
) -> Rig {
    let mut setup = crate::rig::Setup::to(&[origin.url()]);
    setup.admission = Admission::These(["checkout".into(), "reports".into()].into());
    setup.start_with(|mut spec| {
        spec.upstreams.first_mut().expect("one").credentials = places;
        change(&mut spec);
        spec
    })
}

fn only(lease: &Lease, consumers: &[&str], routes: &[&str]) -> CredentialUse {
    let mut used = lease.used.clone();
    used.selector = Selector {
        consumers: consumers.iter().map(|it| (*it).into()).collect(),
        routes: routes.iter().map(|it| (*it).into()).collect(),
    };
    used
}

fn held(place: &'static str, name: &str) -> Lease {
    Lease::ready_in(minting(name), header(place))
}

fn minting(name: &str) -> FakeProvider {
    named(FakeProvider::leasing(Duration::from_secs(600)), name)
}

fn stored(name: &str) -> FakeProvider {
    named(FakeProvider::storing(), name)
}

fn named(provider: FakeProvider, name: &str) -> FakeProvider {
    let name = name.to_owned();
    provider.minting(move |number| vec![("value", format!("{name}-{number}"))])
}

fn header(name: &'static str) -> Injection {
    Injection::Header {
        name: HeaderName::from_static(name),
        prefix: String::new(),
        field: "value".to_owned(),
    }
}

fn get(rig: &Rig, path: &str, key: &str, headers: &str) -> Message {
    let headers = format!("X-Consumer-Key: {key}\r\n{headers}");
    rig.connect().get(path, &headers)
}
