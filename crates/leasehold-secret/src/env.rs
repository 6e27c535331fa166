use std::os::unix::ffi::OsStringExt as _;

use zeroize::Zeroizing;

use crate::Secret;

/// Why a secret could not be read from the environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// There is no variable of that name.
    #[error("environment variable {name} is not set")]
    Unset {
        /// The name.
        name: String,
    },
    /// The variable is empty.
    #[error("environment variable {name} is empty")]
    Empty {
        /// The name.
        name: String,
    },
}

/// Reads a secret from an environment variable and drops line ends and spaces at its end.
///
/// The system keeps its own copy for as long as the process lives, where every process of the same
/// user may read it: a file that is readable by its owner only is the better place.
///
/// # Errors
///
/// When the variable is not set or is empty.
pub fn read_env(name: &str) -> Result<Secret, EnvError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads a secret from the environment; the name comes from the configuration"
    )]
    let value = std::env::var_os(name).ok_or_else(|| EnvError::Unset {
        name: name.to_owned(),
    })?;
    let mut text = Zeroizing::new(value.into_vec());
    let length = text.trim_ascii_end().len();
    if length == 0 {
        return Err(EnvError::Empty {
            name: name.to_owned(),
        });
    }
    text.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expose as _;

    #[test]
    fn a_variable_is_read_and_one_that_is_not_set_is_named() {
        // Cargo sets this one for every test.
        let read = read_env("CARGO_MANIFEST_DIR").expect("set by cargo");
        assert_eq!(&*read.expose(), env!("CARGO_MANIFEST_DIR").as_bytes());
        let error = read_env("LEASEHOLD_NEVER_SET").expect_err("nobody sets it");
        assert!(error.to_string().contains("LEASEHOLD_NEVER_SET"), "{error}");
    }
}
