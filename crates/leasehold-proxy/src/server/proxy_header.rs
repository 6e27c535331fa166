//! The PROXY protocol, versions 1 and 2: a balancer's word for whom a connection comes from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The connection is on behalf of a client.
    Client(SocketAddr),
    /// It is the balancer's own, or it does not say whom it is for.
    Unknown,
    /// What stands there is no such header.
    Malformed,
}

/// Reads a header; returns its length too. `None` where there must be more of it.
pub(super) fn parse(read: &[u8]) -> Option<(usize, Header)> {
    let is_beginning = |signature: &[u8]| {
        let length = read.len().min(signature.len());
        read.get(..length) == signature.get(..length)
    };
    let malformed = (0, Header::Malformed);
    if is_beginning(SIGNATURE) {
        return binary(read);
    }
    if !is_beginning(b"PROXY ") {
        return Some(malformed);
    }
    let end = read.windows(2).position(|pair| pair == b"\r\n");
    match end {
        Some(end) if end + 2 <= LONGEST_LINE => {
            let line = read.get(..end).unwrap_or_default();
            Some((end + 2, text(line).unwrap_or(Header::Malformed)))
        }
        None if read.len() < LONGEST_LINE => None,
        _ => Some(malformed),
    }
}

/// Reads version 1, without its line end.
fn text(line: &[u8]) -> Option<Header> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Header::Unknown);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (port, other) = (words.next()?, words.next()?);
    let address: IpAddr = source.parse().ok()?;
    let destination: IpAddr = destination.parse().ok()?;
    let fits = match family {
        "TCP4" => address.is_ipv4() && destination.is_ipv4(),
        "TCP6" => address.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    let port = decimal(port)?;
    decimal(other)?;
    (fits && words.next().is_none()).then(|| Header::Client(SocketAddr::new(address, port)))
}

fn decimal(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Reads version 2.
fn binary(read: &[u8]) -> Option<(usize, Header)> {
    let (head, rest) = read.split_at_checked(HEAD)?;
    let &[command, family, high, low] = head.last_chunk()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_REST {
        return Some((0, Header::Malformed));
    }
    let rest = rest.get(..length)?;
    let header = match (command, family) {
        (LOCAL, _) => Header::Unknown,
        (PROXY, TCP_4) => addresses(rest, 4, |bytes| {
            let bytes: [u8; 4] = bytes.try_into().ok()?;
            Some(Ipv4Addr::from(bytes).into())
        }),
        (PROXY, TCP_6) => addresses(rest, 16, |bytes| {
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }),
        // Of other families it is known that they are there, and no more.
        (PROXY, _) => Header::Unknown,
        _ => Header::Malformed,
    };
    Some((HEAD + length, header))
}

/// Reads two addresses and two ports, which more may follow.
fn addresses(rest: &[u8], size: usize, read: impl Fn(&[u8]) -> Option<IpAddr>) -> Header {
    let address = rest.get(..size).and_then(read);
    let port = rest.get(2 * size..2 * size + 4);
    let port = port.and_then(|ports| ports.first_chunk().copied());
    match (address, port) {
        (Some(address), Some(port)) => {
            Header::Client(SocketAddr::new(address, u16::from_be_bytes(port)))
        }
        _ => Header::Malformed,
    }
}

/// The longest header of either version that is read.
pub(super) const LONGEST: usize = HEAD + LONGEST_REST;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const HEAD: usize = 16;
/// Addresses, and what balancers add to them.
const LONGEST_REST: usize = 2048;
const LONGEST_LINE: usize = 107;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_4: u8 = 0x11;
const TCP_6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        for (line, want) in [
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
                Some("192.0.2.1:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
                Some("[2001:db8::1]:1"),
            ),
        ] {
            let client = want.map(|it| it.parse().expect("an address"));
            let header = client.map_or(Header::Unknown, Header::Client);
            assert_eq!(parse(line.as_bytes()), Some((line.len(), header)), "{line}");
            let followed = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(parse(followed.as_bytes()), Some((line.len(), header)));
        }
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Some((15, Header::Unknown)));
        let more = b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n";
        assert_eq!(parse(more), Some((more.len(), Header::Unknown)));
    }

    #[test]
    fn lines_that_say_something_else_are_malformed() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY\r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            let parsed = parse(line.as_bytes()).map(|(_, header)| header);
            assert_eq!(parsed, Some(Header::Malformed), "{line}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(parse(long.as_bytes()), Some((0, Header::Malformed)));
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(parse(longest.as_bytes()), Some((107, Header::Unknown)));
    }

    #[test]
    fn binary_headers_are_read() {
        let four = v2(PROXY, TCP_4, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187]);
        let client = Header::Client(([192, 0, 2, 1], 80).into());
        assert_eq!(parse(&four), Some((28, client)));
        let mut six = [0; 40];
        six[15] = 1;
        six[33] = 80;
        let client = Header::Client((Ipv6Addr::LOCALHOST, 80).into());
        assert_eq!(parse(&v2(PROXY, TCP_6, &six)), Some((56, client)));
        assert_eq!(parse(&v2(LOCAL, 0, &[])), Some((16, Header::Unknown)));
        assert_eq!(parse(&v2(LOCAL, TCP_4, b"x")), Some((17, Header::Unknown)));
        assert_eq!(
            parse(&v2(PROXY, 0x31, &[0; 216])),
            Some((232, Header::Unknown))
        );
        for malformed in [
            v2(PROXY, TCP_4, &[0; 11]),
            v2(PROXY, TCP_6, &[0; 35]),
            v2(0x11, TCP_4, &[0; 12]),
            v2(0x22, TCP_4, &[0; 12]),
            v2(PROXY, TCP_4, &[0; LONGEST_REST + 1]),
        ] {
            let parsed = parse(&malformed).map(|(_, header)| header);
            assert_eq!(parsed, Some(Header::Malformed));
        }
    }

    #[test]
    fn no_part_of_a_header_is_taken_for_the_whole_and_no_mutation_is_a_panic() {
        let four = v2(PROXY, TCP_4, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 80, 1, 187]);
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec();
        let mut random = fastrand::Rng::with_seed(7);
        for whole in [four, line] {
            for length in 0..whole.len() {
                assert_eq!(parse(&whole[..length]), None, "{length}");
            }
            for _ in 0..100_000 {
                let mut mutated = whole.clone();
                for _ in 0..random.usize(1..4) {
                    let place = random.usize(..mutated.len());
                    mutated[place] = random.u8(..);
                }
                if let Some((length, _)) = parse(&mutated) {
                    assert!(length <= mutated.len());
                }
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }
}
