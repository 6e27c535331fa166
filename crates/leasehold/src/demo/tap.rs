use std::io::{self, Write};

use serde_json::Value;
use tokio::sync::mpsc;

/// A sink for access records that hands each on as a parsed value.
pub(crate) struct Tap {
    line: Vec<u8>,
    records: mpsc::UnboundedSender<Value>,
}

impl Tap {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Value>) {
        let (records, receiver) = mpsc::unbounded_channel();
        (
            Self {
                line: Vec::new(),
                records,
            },
            receiver,
        )
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let record = serde_json::from_slice(&self.line).map_err(io::Error::other)?;
                self.line.clear();
                self.records.send(record).map_err(io::Error::other)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
