use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// What was logged on this thread since it was made: all of our rooms, and the warnings of others.
pub(crate) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn start() -> Self {
        let lines = Lines::default();
        let ours = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("leasehold", LevelFilter::TRACE);
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .with_writer(lines.clone());
        let subscriber = tracing_subscriber::registry().with(ours).with(layer);
        let guard = tracing::subscriber::set_default(subscriber);
        Self {
            lines,
            _guard: guard,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.0.lock()).into_owned()
    }

    /// Returns how many events of level error have this in them.
    pub(crate) fn errors_with(&self, words: &str) -> usize {
        let text = self.text();
        let errors = text.lines().filter(|it| it.contains(r#""level":"ERROR""#));
        errors.filter(|it| it.contains(words)).count()
    }
}

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
