use std::sync::Arc;

use parking_lot::Mutex;

use super::unix::SocketFile;

/// The files of the Unix sockets that a server listens on. Clones are of the same server.
#[derive(Clone, Debug, Default)]
pub(super) struct Files(Arc<Mutex<Vec<SocketFile>>>);

impl Files {
    pub(super) fn add(&self, files: impl IntoIterator<Item = SocketFile>) {
        self.0.lock().extend(files);
    }

    /// Leaves the files to another process, or takes charge of them.
    pub(super) fn leave(&self, left: bool) {
        self.0.lock().iter_mut().for_each(|it| it.leave(left));
    }

    /// Removes the file of one listener that is no more.
    pub(super) fn remove_of(&self, listens_at: &super::ListenerAddress) {
        if let super::ListenerAddress::Unix { path, .. } = listens_at {
            self.0.lock().retain(|it| it.path() != path);
        }
    }

    /// Removes those that are not left to another process.
    pub(super) fn remove(&self) {
        self.0.lock().clear();
    }
}
