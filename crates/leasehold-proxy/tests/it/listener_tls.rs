//! Consumers who speak TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use crate::origin::{OK, Origin};
use crate::pki::{Authority, Leaf, Material, ask};
use crate::rig::{Rig, Setup, until};

#[test]
fn both_versions_are_spoken_unless_only_the_newer_is_wanted() {
    let authority = Authority::new();
    for (tls12, versions, served) in [
        (true, &[&TLS12][..], true),
        (true, &[&TLS13], true),
        (false, &[&TLS13], true),
        (false, &[&TLS12], false),
    ] {
        let mut material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
        material.tls12 = tls12;
        let rig = rig(&material);
        let client = Arc::new(authority.client_of(None, versions));
        let answer = ask(rig.address, &client, "a.example");
        assert_eq!(answer.is_ok_and(|it| it.answer.ends_with("ok")), served);
    }
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let authority = Authority::new();
    let leaves = vec![
        authority.leaf(&["a.example"], 1),
        authority.leaf(&["B.example", "*.c.example"], 2),
        authority.leaf(&["x.c.example"], 3),
    ];
    let material = Material::of(leaves);
    let rig = rig(&material);
    let client = Arc::new(authority.client(None));
    for (host, number) in [
        ("a.example", 0),
        ("b.example", 1),
        ("y.c.example", 1),
        ("x.c.example", 2),
    ] {
        let heard = ask(rig.address, &client, host).expect("an answer");
        assert_eq!(&heard.shown, material.leaves[number].der(), "{host}");
    }
    // No certificate is for it, so that the client does not trust the one that it is shown.
    ask(rig.address, &client, "z.example").expect_err("another name's certificate");
    ask(rig.address, &client, "y.x.c.example").expect_err("one label too many");
}

#[test]
fn a_client_that_names_no_host_is_shown_the_first() {
    let authority = Authority::new();
    let leaves = vec![
        authority.leaf(&["a.example", "127.0.0.1"], 1),
        authority.leaf(&["b.example"], 2),
    ];
    let material = Material::of(leaves);
    let rig = rig(&material);
    let client = Arc::new(authority.client(None));
    let heard = ask(rig.address, &client, "127.0.0.1").expect("an answer");
    assert_eq!(&heard.shown, material.leaves[0].der());
}

#[test]
fn certificates_are_replaced_while_the_listener_serves() {
    let authority = Authority::new();
    let old = Material::of(vec![authority.leaf(&["a.example"], 1)]);
    let new = Material::of(vec![authority.leaf(&["a.example"], 2)]);
    let tls = old.tls();
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.tls = Some(tls.clone());
    let rig = setup.start();
    let client = Arc::new(authority.client(None));
    let heard = ask(rig.address, &client, "a.example").expect("an answer");
    assert_eq!(&heard.shown, old.leaves[0].der());
    new.with(|material| tls.replace(material)).expect("good");
    let client = Arc::new(authority.client(None));
    let heard = ask(rig.address, &client, "a.example").expect("an answer");
    assert_eq!(&heard.shown, new.leaves[0].der());
}

#[test]
fn material_that_does_not_fit_together_is_refused_and_the_old_one_served() {
    let authority = Authority::new();
    let (one, two) = (
        authority.leaf(&["a.example"], 1),
        authority.leaf(&["a.example"], 2),
    );
    let tls = Material::of(vec![authority.leaf(&["a.example"], 3)]).tls();
    let before = tls.certificates();
    let mixed = Material::of(vec![one]);
    let other = Material::of(vec![two]);
    mixed.with(|material| {
        other.with(|other| {
            let mut material = material.clone();
            material.identities[0].key = other.identities[0].key;
            tls.replace(&material).expect_err("another's key");
            material.identities[0].key = b"canary";
            let error = tls.replace(&material).expect_err("no key");
            assert!(!format!("{error:?} {material:?}").contains("canary"));
            material.identities.clear();
            tls.replace(&material).expect_err("no certificate");
        });
    });
    assert_eq!(tls.certificates(), before);
}

#[test]
fn sessions_are_resumed_until_the_material_is_replaced() {
    let authority = Authority::new();
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
        let tls = material.tls();
        let origin = Origin::saying(OK);
        let mut setup = Setup::to(&[origin.url()]);
        setup.tls = Some(tls.clone());
        let rig = setup.start();
        let client = Arc::new(authority.client_of(None, versions));
        let resumed = || {
            ask(rig.address, &client, "a.example")
                .expect("an answer")
                .resumed
        };
        assert_eq!([resumed(), resumed()], [false, true]);
        material
            .with(|material| tls.replace(material))
            .expect("good");
        assert!(!resumed());
    }
}

#[test]
fn clients_prove_who_they_are_where_that_is_wanted() {
    let (authority, other) = (Authority::new(), Authority::new());
    for required in [true, false] {
        let mut material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
        material.ca = Some(authority.pem());
        material.required = required;
        let rig = rig(&material);
        let served = |leaf: Option<&Leaf>| {
            let client = Arc::new(authority.client(leaf));
            ask(rig.address, &client, "a.example").is_ok_and(|it| it.answer.ends_with("ok"))
        };
        assert!(served(Some(&authority.leaf(&["client"], 7))));
        assert!(!served(Some(&other.leaf(&["client"], 7))));
        assert_eq!(served(None), !required);
    }
}

#[test]
fn a_client_whose_certificate_was_revoked_is_refused_though_it_has_a_session() {
    let authority = Authority::new();
    let mut material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
    material.ca = Some(authority.pem());
    material.crl = Some(authority.revoking(&[8]));
    let tls = material.tls();
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.tls = Some(tls.clone());
    let rig = setup.start();
    let clients = [7, 8].map(|serial| {
        let leaf = authority.leaf(&["client"], serial);
        Arc::new(authority.client(Some(&leaf)))
    });
    let served =
        |client| ask(rig.address, client, "a.example").is_ok_and(|it| it.answer.ends_with("ok"));
    assert_eq!([served(&clients[0]), served(&clients[1])], [true, false]);
    material.crl = Some(authority.revoking(&[7]));
    material
        .with(|material| tls.replace(material))
        .expect("good");
    assert_eq!([served(&clients[0]), served(&clients[1])], [false, true]);
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let authority = Authority::new();
    let material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.tls = Some(material.tls());
    setup.limits.head_timeout = Duration::from_millis(50);
    let rig = setup.start();
    let mut silent = rig.connect();
    silent.send([0x16, 3, 1]).expect_closed();
    let mut plain = rig.connect();
    plain.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    drop(plain.rest());
    until("the count", || {
        let counted = "leasehold_connections_failed_total 2\n";
        rig.metrics().contains(counted).then_some(())
    });
}

fn rig(material: &Material) -> Rig {
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.tls = Some(material.tls());
    setup.start()
}
