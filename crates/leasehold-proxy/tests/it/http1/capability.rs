//! What else of HTTP the gateway has a part in.

use super::{Case, passed, refused, run};

#[test]
fn capability_cases() {
    run(CASES, 13);
}

pub(super) const CASES: &[Case] = &[
    passed("9110 §10.1.1: Expect is answered by the gateway and goes no further", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", &["POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"]).answered(&[100, 200]),
    passed("9110 §10.1.1: Expect without a body means nothing", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", &["GET / HTTP/1.1\r\n\r\n"]),
    passed("9110 §10.1.4: TE is for one hop", b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\n\r\n", &["GET / HTTP/1.1\r\n\r\n"]),
    passed("9110 §6.6.2: a trailer that was announced goes on", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", &["POST / HTTP/1.1\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"]),
    passed("9110 §14: ranges and conditions go on", b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\n\r\n", &["GET / HTTP/1.1\r\nrange: bytes=0-1\r\nif-none-match: \"x\"\r\n\r\n"]),
    passed("9110 §12.5.3: codings of content go on", b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n", &["GET / HTTP/1.1\r\naccept-encoding: gzip, br\r\n\r\n"]),
    passed("9110 §9.3.7: OPTIONS of a path goes on", b"OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n", &["OPTIONS /x HTTP/1.1\r\n\r\n"]),
    Case {
        closes: false,
        ..refused("9112 §3.2.4: OPTIONS of the whole server leads to no route", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    }
    .answered(&[404]),
    Case {
        closes: false,
        ..refused("9110 §15.5.2: a refusal for want of a key keeps the connection", b"GET /closed/x HTTP/1.1\r\nHost: a\r\n\r\n")
    }
    .answered(&[401]),
    passed("a consumer key opens its route and goes no further", b"GET /closed/x HTTP/1.1\r\nHost: a\r\nX-Consumer-Key: checkout-key\r\n\r\n", &["GET /closed/x HTTP/1.1\r\n\r\n"]),
    passed("a forged credential is replaced", b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: forged\r\nx-api-key: Key canary-2\r\n\r\n", &["GET / HTTP/1.1\r\n\r\n"]),
    refused("an alias of the credential", b"GET / HTTP/1.1\r\nHost: a\r\nX_Api_Key: forged\r\n\r\n"),
    refused("an alias of the consumer key", b"GET / HTTP/1.1\r\nHost: a\r\nX_Consumer_Key: checkout-key\r\n\r\n"),
];
