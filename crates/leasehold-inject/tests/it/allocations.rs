use allocation_counter::{AllocationInfo, measure};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_inject::{Injection, InjectionIndex, Prepared, prepare};
use leasehold_provider::Material;
use leasehold_secret::Secret;

#[test]
fn a_credential_is_placed_without_an_allocation() {
    let prepared = prepared();
    for index in [BASIC, HEADER] {
        let name = &prepared.headers(index).expect("known")[0];
        for sent in [None, Some("theirs")] {
            let mut headers = head(name, sent);
            let asked = measure(|| prepared.apply(index, &mut headers).expect("known"));
            assert_eq!(asked, AllocationInfo::default(), "{name} {sent:?}");
            assert_ne!(headers[name], "theirs");
            // For another try, with the same generation or another.
            let asked = measure(|| prepared.apply(index, &mut headers).expect("known"));
            assert_eq!(asked, AllocationInfo::default(), "{name} {sent:?}");
        }
    }
}

#[test]
fn what_is_allocated_is_counted() {
    let asked = measure(|| drop(HeaderMap::<HeaderValue>::with_capacity(LINES)));
    assert!(asked.count_total > 0, "{asked:?}");
}

/// Returns a head as the data plane hands it over: as large as what came in, from which the consumer's
/// key was taken.
fn head(place: &HeaderName, sent: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(LINES);
    for name in ["host", "user-agent", "accept", "traceparent", "x-other"] {
        headers.insert(name, HeaderValue::from_static("some"));
    }
    let key = HeaderValue::from_static("key");
    headers.insert("x-consumer-key", key);
    if let Some(sent) = sent {
        headers.append(place.clone(), HeaderValue::from_static(sent));
        headers.append(place.clone(), HeaderValue::from_static("theirs too"));
    }
    headers.remove("x-consumer-key");
    headers
}

fn prepared() -> Prepared {
    let basic = Injection::Basic {
        username: "username".to_owned(),
        password: "password".to_owned(),
    };
    let header = Injection::Header {
        name: HeaderName::from_static("x-api-key"),
        prefix: "Bearer ".to_owned(),
        field: "password".to_owned(),
    };
    let prepared = prepare(&[basic, header], &material()).expect("prepared");
    assert_eq!(prepared.headers(BASIC), Ok(&[AUTHORIZATION][..]));
    prepared
}

fn material() -> Material {
    let mut material = Material::default();
    for (name, value) in [("username", "user"), ("password", "canary")] {
        material.insert(name, Secret::new(value));
    }
    material
}

const LINES: usize = 8;
const BASIC: InjectionIndex = InjectionIndex(0);
const HEADER: InjectionIndex = InjectionIndex(1);
