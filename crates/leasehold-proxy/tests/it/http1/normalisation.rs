//! Paths that servers make into others.

use super::{Case, passed, refused, run};

#[test]
fn normalisation_cases() {
    run(CASES, 24);
}

pub(super) const CASES: &[Case] = &[
    refused(
        "3986 §6: a dot segment in the middle",
        b"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: a dot segment at the end",
        b"GET /a/.. HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: a single dot",
        b"GET /./a HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: encoded dots",
        b"GET /a/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: dots encoded in half",
        b"GET /a/.%2E/b HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: a dot segment with a parameter",
        b"GET /a/..;x/b HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: an encoded slash",
        b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: an encoded backslash",
        b"GET /a%5Cb HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: a backslash",
        b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: an encoded NUL",
        b"GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: a broken escape",
        b"GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: half an escape",
        b"GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: letters encoded into another route",
        b"GET /%63losed/x HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: slashes merged into another route",
        b"GET //closed/x HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: parameters dropped into another route",
        b"GET /closed;x/y HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: a route that is closed, found by a trailing dot segment",
        b"GET /x/..%2fclosed/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "3986 §6: encoded twice is encoded once to us, and dots to none",
        b"GET /%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    passed(
        "3986 §6: escapes go on as they are written",
        b"GET /%7e%7E/%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /%7e%7E/%C3%A9 HTTP/1.1\r\n\r\n"],
    ),
    passed(
        "3986 §6: doubled slashes within one route go on",
        b"GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /a//b HTTP/1.1\r\n\r\n"],
    ),
    passed(
        "3986 §6: parameters go on",
        b"GET /a;v=1/b HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /a;v=1/b HTTP/1.1\r\n\r\n"],
    ),
    passed(
        "3986 §6: three dots are a name",
        b"GET /.../b HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /.../b HTTP/1.1\r\n\r\n"],
    ),
    passed(
        "3986 §6: dots in a name",
        b"GET /.well-known/a..b HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /.well-known/a..b HTTP/1.1\r\n\r\n"],
    ),
    passed(
        "3986 §6: an escape that is encoded again goes on encoded",
        b"GET /%252e%252e/a HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /%252e%252e/a HTTP/1.1\r\n\r\n"],
    ),
    passed(
        "3986 §6: a query is no path",
        b"GET /a?x=/../%2f HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /a?x=/../%2f HTTP/1.1\r\n\r\n"],
    ),
];
