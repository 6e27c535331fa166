//! Cookies go on byte by byte, and nothing hides in them.

use super::{Case, passed, refused, run};

#[test]
fn cookies_cases() {
    run(CASES, 18);
}

pub(super) const CASES: &[Case] = &[
    passed(
        "6265 §5.4: one cookie",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=b\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: several in one header",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=b; c=d\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: two headers stay two",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=b\r\ncookie: c=d\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: an empty header",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie:\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: \r\n\r\n"],
    ),
    passed(
        "6265 §5.4: no name",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: =b\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: =b\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: no value",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: no equals sign",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: quotes",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=\"b; c\"\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=\"b; c\"\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: spaces",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a = b ;c=d\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a = b ;c=d\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: a comma",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b, c=d\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=b, c=d\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: bytes above ASCII",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=\xe9\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: a=\u{e9}\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: what begins with $",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: $Version=1; a=b\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: $Version=1; a=b\r\n\r\n"],
    ),
    passed(
        "6265 §5.4: prefixes",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: __Host-a=b; __Secure-c=d\r\n\r\n",
        &["GET / HTTP/1.1\r\ncookie: __Host-a=b; __Secure-c=d\r\n\r\n"],
    ),
    refused(
        "6265 §5.4: a NUL",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\0\r\n\r\n",
    ),
    refused(
        "6265 §5.4: a bare CR",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\rc\r\n\r\n",
    ),
    refused(
        "6265 §5.4: a bare LF",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\nX: y\r\n\r\n",
    ),
    refused(
        "6265 §5.4: a control character",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=\x01\r\n\r\n",
    ),
    refused(
        "6265 §5.4: a line that goes on",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b;\r\n c=d\r\n\r\n",
    ),
];
