use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why access records can't be written where they were meant to go.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file could not be opened or created.
    #[error("open access record file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("open standard output for access records")]
    Stdout(#[source] io::Error),
}

/// Opens standard output as a sink.
///
/// # Errors
///
/// When the process has none.
pub fn stdout() -> Result<File, SinkError> {
    // `io::Stdout` keeps a buffer of its own, which would hide how much of a failed write went out.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    stdout.map(File::from).map_err(SinkError::Stdout)
}

/// Opens a file to append to, and creates it with mode 0640 where there is none: the owner writes,
/// and a group that collects logs may read.
///
/// Where the last process left a line unfinished, the line is ended, so that ours is not joined to it.
///
/// # Errors
///
/// When the file can't be opened, created or read.
pub fn append(path: &Path) -> Result<File, SinkError> {
    open(path).map_err(|source| SinkError::File {
        path: path.to_owned(),
        source,
    })
}

fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    if ends_within_a_line(&file)? {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn ends_within_a_line(file: &File) -> io::Result<bool> {
    let facts = file.metadata()?;
    let Some(last) = facts.len().checked_sub(1).filter(|_| facts.is_file()) else {
        return Ok(false);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_file_can_be_read_by_its_group_and_by_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.jsonl");
        let file = append(&path).expect("a sink");
        let mode = file.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o027, 0, "{mode:o}");
        assert_eq!(mode & 0o600, 0o600, "{mode:o}");
    }

    #[test]
    fn an_unfinished_line_is_ended_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.jsonl");
        fs::write(&path, "{\"torn").expect("written");
        for line in ["1\n", "2\n"] {
            let mut file = append(&path).expect("a sink");
            file.write_all(line.as_bytes()).expect("written");
        }
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text, "{\"torn\n1\n2\n");
    }

    #[test]
    fn an_error_names_the_file() {
        let error = append(Path::new("/nonexistent/access.jsonl")).expect_err("no directory");
        assert!(error.to_string().ends_with("/nonexistent/access.jsonl"));
    }
}
