use http::request::Parts;
use http::{HeaderName, Method, Request};

use super::*;
use crate::gateway::{HeaderTest, PathMatch};

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let table = table(&["/", "/a/b/", "/a/"]);
    assert_eq!(find(&table, "/a/b/c"), Ok(1));
    assert_eq!(find(&table, "/a/c"), Ok(2));
    assert_eq!(find(&table, "/c"), Ok(0));
}

#[test]
fn a_more_exact_host_comes_before_any_other() {
    let mut table = RouteTable::default();
    for (host, path) in [
        (HostMatch::Any, "/a/long/"),
        (HostMatch::Exact("h.example.com".to_owned()), "/a/"),
        (HostMatch::Any, "/b/"),
        (HostMatch::Below("com".to_owned()), "/"),
        (HostMatch::Below("example.com".to_owned()), "/a/"),
    ] {
        let host = MatchSpec {
            host,
            ..matches(path)
        };
        table.add(&host, false).expect("no duplicates");
    }
    for (host, path, route) in [
        ("h.example.com", "/a/long/x", 1),
        ("h.example.com", "/b/x", 3),
        ("i.example.com", "/a/long/x", 4),
        ("i.j.example.com", "/a/x", 4),
        ("example.com", "/a/x", 3),
        ("xexample.com", "/a/x", 3),
        ("com", "/a/long/x", 0),
        ("h", "/b/x", 2),
        ("..com", "/b/x", 3),
    ] {
        let head = head("GET", path, &[]);
        let ask = Ask::new(&head, host, path);
        assert_eq!(table.find(&ask), Ok(route), "{host}{path}");
    }
}

#[test]
fn exact_comes_before_template_and_template_before_prefix() {
    let mut table = RouteTable::default();
    for path in [
        PathMatch::Prefix("/users/7/orders".to_owned()),
        PathMatch::Template("/users/{id}/orders".to_owned()),
        PathMatch::Exact("/users/7/orders".to_owned()),
        PathMatch::Template("/users/8/{what}".to_owned()),
        PathMatch::Template("/users/{*rest}".to_owned()),
        PathMatch::Prefix("/".to_owned()),
        PathMatch::Template("/users/{id}/".to_owned()),
    ] {
        add(&mut table, path).expect("no duplicates");
    }
    for (path, route) in [
        ("/users/7/orders", 2),
        ("/users/9/orders", 1),
        ("/users/8/orders", 3),
        ("/users/8/orders/1", 4),
        ("/users/7/orders/", 4),
        ("/users/7", 4),
        ("/users/7/", 6),
        ("/users/", 5),
        ("/users", 5),
        ("/users/9;v=1/orders", 1),
        ("/users//orders", 4),
        ("/users/%41/orders", 1),
    ] {
        assert_eq!(find(&table, path), Ok(route), "{path}");
    }
    for path in ["/users/;x/orders", "/users/%37/orders", "/users/7/orders;x"] {
        assert_eq!(find(&table, path), Err(ReasonCode::BadRequest), "{path}");
    }
}

#[test]
fn a_template_gives_way_where_another_branch_goes_further() {
    let mut table = RouteTable::default();
    for template in ["/a/{x}/c", "/{x}/b/d", "/{x}/{y}/{z}/{*rest}"] {
        let path = PathMatch::Template(template.to_owned());
        add(&mut table, path).expect("no duplicates");
    }
    assert_eq!(find(&table, "/a/b/c"), Ok(0));
    assert_eq!(find(&table, "/a/b/d"), Ok(1));
    assert_eq!(find(&table, "/a/b/d/e/f"), Ok(2));
    assert_eq!(find(&table, "/a/b/e"), Err(ReasonCode::NoRoute));
}

#[test]
fn more_conditions_come_first_and_unmet_ones_let_others_through() {
    let mut table = RouteTable::default();
    let exact = |value: &'static str| HeaderTest::Exact(http::HeaderValue::from_static(value));
    let env = HeaderName::from_static("x-env");
    let all = [
        matches("/"),
        MatchSpec {
            methods: vec![Method::GET, Method::HEAD],
            ..matches("/a/")
        },
        MatchSpec {
            headers: vec![(env.clone(), exact("prod"))],
            query: vec![("v".to_owned(), "2".to_owned())],
            ..matches("/a/")
        },
        MatchSpec {
            headers: vec![(env, HeaderTest::Present(true))],
            ..matches("/a/")
        },
    ];
    for matches in &all {
        table.add(matches, false).expect("no duplicates");
    }
    let prod = ("x-env", "prod");
    for (method, target, headers, want) in [
        ("GET", "/a/x", &[][..], Ok(1)),
        ("POST", "/a/x", &[], Ok(0)),
        ("POST", "/a/x", &[prod], Ok(3)),
        ("POST", "/a/x?v=2", &[prod], Ok(2)),
        ("GET", "/a/x?u=1&v=2", &[prod], Ok(2)),
        ("GET", "/a/x?v=3", &[prod], Ok(1)),
        ("GET", "/a/x?v=2", &[("x-env", "test")], Ok(1)),
        ("POST", "/a/x?v=2&v=3", &[prod], Err(ReasonCode::BadRequest)),
        ("POST", "/a/x?%76=%32", &[prod], Err(ReasonCode::BadRequest)),
        ("POST", "/a/x?u;v=2", &[prod], Err(ReasonCode::BadRequest)),
        (
            "POST",
            "/a/x?v=2",
            &[prod, prod],
            Err(ReasonCode::BadRequest),
        ),
        ("get", "/a/x", &[], Err(ReasonCode::BadRequest)),
    ] {
        let head = head(method, target, headers);
        let ask = Ask::new(&head, "h", head.uri.path());
        let found = table.find(&ask).map_err(|refusal| refusal.reason);
        assert_eq!(found, want, "{method} {target} {headers:?}");
    }
}

#[test]
fn a_prefix_ends_at_a_slash() {
    let table = table(&["/pay", "/open/"]);
    assert_eq!(find(&table, "/pay"), Ok(0));
    assert_eq!(find(&table, "/pay/x"), Ok(0));
    assert_eq!(find(&table, "/pay/"), Ok(0));
    assert_eq!(find(&table, "/open/"), Ok(1));
    assert_eq!(find(&table, "/payments"), Err(ReasonCode::NoRoute));
    assert_eq!(find(&table, "/open"), Err(ReasonCode::NoRoute));
}

#[test]
fn case_matters_in_a_path() {
    assert_eq!(find(&table(&["/a/"]), "/A/"), Err(ReasonCode::NoRoute));
}

#[test]
fn a_path_that_decodes_into_another_route_is_refused() {
    let table = table(&["/", "/admin/", "/caf%C3%A9/"]);
    for path in [
        "/%61dmin/x",
        "//admin/x",
        "/caf%c3%a9/x",
        "/admin;x/y",
        "/;a/admin/x",
        "/admin%3bx/y",
        "/admin%3B/y",
        "/;/;/admin/",
    ] {
        assert_eq!(find(&table, path), Err(ReasonCode::BadRequest), "{path}");
    }
    assert_eq!(find(&table, "/admin/x;y=1/z"), Ok(1));
    assert_eq!(find(&table, "/x;admin"), Ok(0));
    assert_eq!(find(&table, "/admin/%61"), Ok(1));
    assert_eq!(find(&table, "/admin//x"), Ok(1));
    assert_eq!(find(&table, "/caf%C3%A9/x"), Ok(2));
    assert_eq!(find(&table, "/x%20y"), Ok(0));
}

#[test]
fn an_exact_path_does_not_come_in_by_another_writing() {
    let mut table = table(&["/"]);
    add(&mut table, PathMatch::Exact("/admin".to_owned())).expect("no duplicates");
    assert_eq!(find(&table, "/admin"), Ok(1));
    assert_eq!(find(&table, "/admin/"), Ok(0));
    for path in ["/%61dmin", "//admin", "/admin;x"] {
        assert_eq!(find(&table, path), Err(ReasonCode::BadRequest), "{path}");
    }
}

#[test]
fn two_routes_for_the_same_requests_are_found_out() {
    let mut table = table(&["/a/"]);
    let get = |methods: &[Method]| MatchSpec {
        methods: methods.to_vec(),
        ..matches("/a/")
    };
    assert_eq!(table.add(&matches("/a/"), false), Err(0));
    assert_eq!(table.add(&matches("/%61/"), false), Err(0));
    assert_eq!(table.add(&matches("/a;x/"), false), Err(0));
    assert_eq!(table.add(&get(&[Method::GET, Method::PUT]), false), Ok(()));
    assert_eq!(table.add(&get(&[Method::PUT, Method::GET]), false), Err(4));
    let template = |text: &str| PathMatch::Template(text.to_owned());
    assert_eq!(add(&mut table, template("/u/{a}/{*b}")), Ok(()));
    assert_eq!(add(&mut table, template("/u/{x}/{*y}")), Err(6));
}

/// Paths of nothing but slashes, as long as any head may be, must not cost more than short ones.
#[test]
fn a_long_path_is_looked_up_no_further_than_any_prefix_goes() {
    let table = table(&["/a/", "/"]);
    let path = "/b".repeat(30_000);
    assert_eq!(find(&table, &path), Ok(1));
}

fn find(table: &RouteTable, path: &str) -> Result<usize, ReasonCode> {
    let head = head("GET", "/", &[]);
    let ask = Ask::new(&head, "h", path);
    table.find(&ask).map_err(|refusal| refusal.reason)
}

fn table(prefixes: &[&str]) -> RouteTable {
    let mut table = RouteTable::default();
    for prefix in prefixes {
        table.add(&matches(prefix), false).expect("no duplicates");
    }
    table
}

fn add(table: &mut RouteTable, path: PathMatch) -> Result<(), usize> {
    let matches = MatchSpec {
        path,
        ..matches("/")
    };
    table.add(&matches, false)
}

fn matches(prefix: &str) -> MatchSpec {
    MatchSpec::prefix(prefix)
}

fn head(method: &str, target: &str, headers: &[(&'static str, &'static str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}
