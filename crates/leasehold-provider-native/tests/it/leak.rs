use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use leasehold_provider_native::NativeFile;

use crate::lab::{Lab, fields};

const FIRST: &str = "canary-3f9c/first+value~71";
const SECOND: &str = "canary-88e1/second+value~02";
const DELETED: &str = "canary-5d0a/deleted+value~93";
const NAME: &str = "canary-name-c2b7";

#[test]
fn neither_values_nor_field_names_nor_the_key_are_in_the_file() {
    let lab = Lab::new();
    let file = lab.open();
    let key = fs::read_to_string(lab.key_file()).expect("the key");
    let key_bytes = hex::decode(key.trim_end()).expect("digits");
    let search = |step: &str| {
        let bytes = fs::read(lab.file()).expect("the file");
        assert!(holds(&bytes, b"leak/overwritten"), "paths stand in clear");
        for secret in [FIRST, SECOND, DELETED, NAME] {
            assert_hidden(&bytes, secret.as_bytes(), step);
        }
        assert_hidden(&bytes, &key_bytes, step);
    };
    file.put("leak/overwritten", &fields(NAME, FIRST))
        .expect("put");
    search("after a put");
    file.put("leak/overwritten", &fields(NAME, SECOND))
        .expect("put");
    search("after a put in its place");
    file.put("leak/deleted", &fields(NAME, DELETED))
        .expect("put");
    file.delete("leak/deleted").expect("deleted");
    search("after a deletion");
}

#[test]
fn nothing_that_prints_shows_a_value_or_the_key() {
    let lab = Lab::new();
    let key = fs::read_to_string(lab.key_file()).expect("the key");
    let file = lab.open();
    file.put("app", &fields(NAME, FIRST)).expect("put");
    let large = FIRST.repeat(64 * 1024);
    let other = lab.dir().join("other");
    NativeFile::create(lab.dir().join("unused"), &other).expect("created");
    let printed = [
        format!("{file:?} {:?}", file.list()),
        format!("{:?}", file.put("app", &fields(NAME, &large))),
        format!("{:?}", file.put(FIRST, &fields(NAME, FIRST))),
        format!("{:?}", file.put("app", &fields("", FIRST))),
        format!("{:?}", NativeFile::open(lab.file(), &other)),
        format!("{:?}", NativeFile::open(lab.key_file(), lab.key_file())),
    ];
    for text in printed {
        assert_hidden(text.as_bytes(), FIRST.as_bytes(), &text);
        assert_hidden(text.as_bytes(), NAME.as_bytes(), &text);
        assert_hidden(text.as_bytes(), key.trim_end().as_bytes(), &text);
    }
}

fn assert_hidden(bytes: &[u8], secret: &[u8], step: &str) {
    for form in forms(secret) {
        assert!(!holds(bytes, &form), "found a secret {step}");
    }
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|it| it == form)
}

/// Writes a secret in the ways that software writes bytes.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let percent: String = secret.iter().map(|it| format!("%{it:02X}")).collect();
    let mut forms = vec![
        secret.to_vec(),
        secret.iter().rev().copied().collect(),
        hex::encode(secret).into_bytes(),
        hex::encode_upper(secret).into_bytes(),
        percent.into_bytes(),
    ];
    for engine in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            // The digits at either end depend on the neighbours; those in between do not.
            let shifted = [&vec![0; before], secret].concat();
            let text = engine.encode(shifted).into_bytes();
            forms.push(text[4..text.len() - 4].to_vec());
        }
    }
    forms
}

#[test]
fn the_search_finds_what_is_there() {
    for before in 0..3 {
        let text = [&vec![b'x'; before], FIRST.as_bytes(), b"tail"].concat();
        let encoded = STANDARD.encode(&text).into_bytes();
        assert!(forms(FIRST.as_bytes()).iter().any(|it| holds(&encoded, it)));
        let encoded = hex::encode(&text).into_bytes();
        assert!(forms(FIRST.as_bytes()).iter().any(|it| holds(&encoded, it)));
    }
}
