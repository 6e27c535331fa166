use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A path of the API below `v1/`, checked segment by segment.
///
/// What a configuration writes as a path stays one: it can't climb out with `..`, and a `?`, `#`,
/// `%` or `\` in it is encoded and never read as anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VaultPath(Cow<'static, str>);

impl VaultPath {
    /// Wraps a path that stands in this program.
    pub(crate) const fn fixed(path: &'static str) -> Self {
        Self(Cow::Borrowed(path))
    }

    /// Checks a path from the configuration. Slashes around it are dropped.
    pub(crate) fn parse(path: &str) -> Result<Self, PathError> {
        let path = path.trim_matches('/');
        for segment in path.split('/') {
            check(segment)?;
        }
        Ok(Self(Cow::Owned(path.to_owned())))
    }

    /// Returns the path of `below`, under this one.
    pub(crate) fn join(&self, below: &Self) -> Self {
        Self(Cow::Owned(format!("{self}/{below}")))
    }

    /// Returns the path as it is written in a URL.
    pub(crate) fn encoded(&self) -> String {
        let segments: Vec<String> = self
            .0
            .split('/')
            .map(|segment| utf8_percent_encode(segment, ENCODED).to_string())
            .collect();
        segments.join("/")
    }
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    EmptySegment,
    Dots,
    Control,
}

impl PathError {
    /// Returns what is wrong, to follow the path in an error's text.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::EmptySegment => "has an empty segment",
            Self::Dots => "has a segment of dots, which would lead elsewhere",
            Self::Control => "has a control character",
        }
    }
}

fn check(segment: &str) -> Result<(), PathError> {
    if segment.is_empty() {
        return Err(PathError::EmptySegment);
    }
    if matches!(segment, "." | "..") {
        return Err(PathError::Dots);
    }
    if segment.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    Ok(())
}

/// Everything but the characters that RFC 3986 leaves unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for (path, why) in [
            ("", PathError::EmptySegment),
            ("/", PathError::EmptySegment),
            ("kv//app", PathError::EmptySegment),
            ("kv/../sys/raw", PathError::Dots),
            ("kv/./app", PathError::Dots),
            ("kv/app\r\nX-Vault-Token: x", PathError::Control),
        ] {
            assert_eq!(VaultPath::parse(path), Err(why), "{path:?}");
        }
    }

    #[test]
    fn each_segment_is_encoded_and_stays_one_segment() {
        for (path, encoded) in [
            ("/database/creds/app/", "database/creds/app"),
            ("kv/data/a?version=1#x", "kv/data/a%3Fversion%3D1%23x"),
            ("kv/data/..%2f..%2fsys", "kv/data/..%252f..%252fsys"),
            ("kv/data/%2e%2e/sys", "kv/data/%252e%252e/sys"),
            ("kv/data/a\\..\\b", "kv/data/a%5C..%5Cb"),
            ("kv/data/ä b+c", "kv/data/%C3%A4%20b%2Bc"),
        ] {
            let parsed = VaultPath::parse(path).expect("a path");
            assert_eq!(parsed.encoded(), encoded);
            let mut url = Url::parse("https://vault:8200").expect("a url");
            url.set_path(&parsed.encoded());
            assert_eq!(url.path(), format!("/{encoded}"), "a url keeps it as it is");
            assert_eq!((url.query(), url.fragment()), (None, None));
        }
    }
}
