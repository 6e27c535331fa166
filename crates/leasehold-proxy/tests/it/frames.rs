//! HTTP/2 frame by frame, for what no client's library would send or show.

use std::io;

use crate::consumer::Consumer;
use crate::rig::Rig;

/// A connection that is spoken on and listened to by frames.
pub(crate) struct Frames {
    pub(crate) consumer: Consumer,
}

/// A frame that the gateway has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) id: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frames {
    /// Begins a connection.
    pub(crate) fn connect(rig: &Rig) -> Self {
        let mut consumer = rig.connect();
        consumer.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        Self { consumer }
    }

    /// Reads the next frame, an error at the end of the connection. Settings hold once they were
    /// acknowledged, which is done here.
    pub(crate) fn next(&mut self) -> io::Result<Received> {
        let head = self.consumer.exactly(9)?;
        let number = |bytes: &[u8]| {
            let each = bytes.iter();
            each.fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
        };
        let length = usize::try_from(number(&head[..3])).expect("short");
        let received = Received {
            kind: head[3],
            flags: head[4],
            id: number(&head[5..]),
            payload: self.consumer.exactly(length)?,
        };
        if received.kind == SETTINGS && received.flags != ACK {
            self.consumer.send(frame(SETTINGS, ACK, 0, &[]));
        }
        Ok(received)
    }

    /// Reads until a frame of this kind comes.
    pub(crate) fn until(&mut self, kind: u8) -> Received {
        loop {
            let next = self.next().expect("a frame");
            if next.kind == kind && !(kind == SETTINGS && next.flags == ACK) {
                return next;
            }
        }
    }

    /// Checks that everything sent so far was taken without a complaint.
    pub(crate) fn check(&mut self) {
        // Twice, since the first answer goes out before a complaint does.
        for ask in [b"all well", b"and then"] {
            self.consumer.send(frame(PING, 0, 0, ask));
            loop {
                let next = self.next().expect("a frame");
                assert!(![RST_STREAM, GOAWAY].contains(&next.kind), "{next:?}");
                if next.kind == PING {
                    assert_eq!(next.payload, ask);
                    break;
                }
            }
        }
    }
}

impl Received {
    /// Returns the number at a place of the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        let bytes = self.payload[at..].first_chunk().expect("a number");
        u32::from_be_bytes(*bytes)
    }

    /// Returns a setting.
    pub(crate) fn setting(&self, name: u16) -> Option<u32> {
        let of_it = |it: &&[u8]| it.starts_with(&name.to_be_bytes());
        let found = self.payload.chunks(6).find(of_it)?;
        Some(u32::from_be_bytes(*found[2..].first_chunk()?))
    }
}

pub(crate) fn get(id: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, id, &HEAD)
}

pub(crate) fn reset(id: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, id, &[0, 0, 0, 8])
}

pub(crate) fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET`, `http`, `/` and an authority.
pub(crate) const HEAD: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
pub(crate) const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
/// The name `content-length`, not to be indexed.
pub(crate) const CONTENT_LENGTH: [u8; 2] = [0x0f, 0x0d];
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
