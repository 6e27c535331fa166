//! What is no HTTP, or breaks off.

use super::{Case, broken, refused, run};

#[test]
fn malformed_cases() {
    run(CASES, 33);
}

pub(super) const CASES: &[Case] = &[
    refused(
        "9112 §3: a NUL in the method",
        b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: a NUL in the target",
        b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: a NUL in the version",
        b"GET / HTTP/1\0.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: a control character in the target",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: DEL in the target",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: bytes above ASCII in the path",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: bytes above ASCII in the query",
        b"GET /?\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: bytes above ASCII in the method",
        b"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: an escape sequence in the target",
        b"GET /\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §3: a bare CR in the request line",
        b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    refused(
        "9112 §5: a NUL in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n",
    ),
    refused(
        "9112 §5: a control character in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\x01A: b\r\n\r\n",
    ),
    refused(
        "9112 §5: a space in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n",
    ),
    refused(
        "9112 §5: a byte above ASCII in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n",
    ),
    refused(
        "9112 §5: a comma in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX,A: b\r\n\r\n",
    ),
    refused(
        "9112 §5: a bracket in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(A): b\r\n\r\n",
    ),
    refused(
        "9112 §5: an empty name",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    ),
    refused(
        "9112 §5: no colon",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n",
    ),
    refused(
        "9112 §5: a NUL in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
    ),
    refused(
        "9112 §5: a control character in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n",
    ),
    refused(
        "9112 §5: DEL in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x7fc\r\n\r\n",
    ),
    refused(
        "9112 §5: a bare CR in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n",
    ),
    refused(
        "9112 §5: a bare CR at the end of a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\r\n\r\n",
    ),
    refused(
        "9112 §5: a backspace in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-A: \x08\r\n\r\n",
    ),
    refused(
        "9112 §5: a line of white space",
        b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
    ),
    refused(
        "9112 §3: no HTTP at all",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ),
    refused("9112 §3: a line of letters", b"hello\r\n\r\n"),
    refused(
        "9112 §3: an answer instead of a request",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    refused("9112 §5.4: more headers than there may be", MANY).answered(&[431]),
    refused("9112 §5.4: a line longer than a head may be", LONG).answered(&[431]),
    refused(
        "9112 §8: a head that breaks off",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
    )
    .ending()
    .answered(&[]),
    broken(
        "9112 §8: a body that breaks off",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello",
        "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhello",
    )
    .ending()
    .answered(&[408]),
    broken(
        "9112 §8: chunks that break off",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    )
    .ending()
    .answered(&[408]),
];

/// A head with one header more than there may be.
const MANY: &[u8] = &{
    let mut bytes = [b' '; 15 + 1 + 101 * 6 + 2];
    put(&mut bytes, 0, b"GET / HTTP/1.1\r\n");
    let mut header = 0;
    while header < 101 {
        put(&mut bytes, 16 + header * 6, b"X: 1\r\n");
        header += 1;
    }
    put(&mut bytes, 16 + 101 * 6, b"\r\n");
    bytes
};
const LONG: &[u8] = &{
    let mut bytes = [b'x'; 80_000];
    put(&mut bytes, 0, b"GET / HTTP/1.1\r\nX: ");
    bytes
};

const fn put(bytes: &mut [u8], at: usize, text: &[u8]) {
    let mut number = 0;
    while number < text.len() {
        bytes[at + number] = text[number];
        number += 1;
    }
}
