//! Brings a path into the one form that it is routed and forwarded in.

use std::borrow::Cow;

use http::Method;

use super::admit::{check_path, is_dot_segment};
use super::refuse::Refusal;

/// What is done about paths that two servers may read differently. By default all such paths are
/// refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// Whether slashes written as `%2F` go on as they are. A route is still found only where it would
    /// be the same with plain slashes.
    pub forward_encoded_slashes: bool,
    /// Whether segments that are `.` or `..` are resolved, as RFC 3986 §5.2.4 has it, but for paths
    /// that lead above their root.
    pub normalise_dot_segments: bool,
    /// Whether several slashes in a row become one, before dot segments are resolved.
    pub merge_slashes: bool,
}

/// Returns the path as it is routed and forwarded.
///
/// # Errors
///
/// When it can be read in two ways, and the policy does not say which one is meant.
pub(crate) fn settle<'a>(
    method: &Method,
    path: &'a str,
    policy: PathPolicy,
) -> Result<Cow<'a, str>, Refusal> {
    // The whole server is asked, and no path.
    if method == Method::OPTIONS && path == "*" {
        return Ok(Cow::Borrowed(path));
    }
    settled(path, policy).map_err(Refusal::bad_request)
}

fn settled(path: &str, policy: PathPolicy) -> Result<Cow<'_, str>, &'static str> {
    if policy == PathPolicy::default() {
        check_path(path)?;
        return Ok(Cow::Borrowed(path));
    }
    let mut settled = Cow::Borrowed(path);
    if policy.merge_slashes && path.contains("//") {
        settled = Cow::Owned(merged(path));
    }
    if policy.normalise_dot_segments && settled.split('/').any(|it| dots(it).is_some()) {
        settled = Cow::Owned(resolved(&settled)?);
    }
    if policy.forward_encoded_slashes {
        // What is left must be sound with each of them taken for a slash, too.
        check_path(&with_plain_slashes(&settled))?;
    } else {
        check_path(&settled)?;
    }
    Ok(settled)
}

fn merged(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for each in path.chars() {
        if each != '/' || !merged.ends_with('/') {
            merged.push(each);
        }
    }
    merged
}

/// Resolves dot segments. A segment that is one only to some servers, by a parameter or an encoded
/// slash in it, is left for the check.
fn resolved(path: &str) -> Result<String, &'static str> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            None => kept.push(segment),
            Some(count) => {
                if count == 2 && kept.pop().is_none() {
                    return Err("the path leads above its root");
                }
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

/// Returns how many dots a segment is, where it is nothing but one or two.
fn dots(segment: &str) -> Option<usize> {
    let plain = !segment.contains([';']) && is_dot_segment(segment);
    plain
        .then(|| segment.replace("%2e", ".").replace("%2E", ".").len())
        .filter(|count| *count <= 2)
}

fn with_plain_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("%2f") && !path.contains("%2F") {
        return Cow::Borrowed(path);
    }
    Cow::Owned(path.replace("%2f", "/").replace("%2F", "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_a_path_stays_as_it_is_or_is_refused() {
        let policy = PathPolicy::default();
        for path in ["/a//b", "/a%20b;c", "/"] {
            assert!(matches!(settled(path, policy), Ok(Cow::Borrowed(it)) if it == path));
        }
        for path in ["/a/../b", "/a%2fb", "a", "/a\\b", "/a%00"] {
            assert!(settled(path, policy).is_err(), "{path}");
        }
    }

    #[test]
    fn only_options_asks_the_whole_server() {
        let policy = PathPolicy::default();
        assert!(settle(&Method::OPTIONS, "*", policy).is_ok());
        assert!(settle(&Method::GET, "*", policy).is_err());
    }

    #[test]
    fn dot_segments_are_resolved_where_that_is_wanted() {
        let policy = PathPolicy {
            normalise_dot_segments: true,
            ..PathPolicy::default()
        };
        for (path, want) in [
            ("/a/../b", "/b"),
            ("/a/./b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e", "/"),
            ("/a/b/..", "/a/"),
            ("/.", "/"),
            ("/a//../b", "/a/b"),
            ("/a/...", "/a/..."),
        ] {
            assert_eq!(settled(path, policy).as_deref(), Ok(want), "{path}");
        }
        for path in [
            "/..",
            "/a/../../b",
            "/a/..;x/b",
            "/a/..%3bx",
            "/a%2f../b",
            "/a/..%2fb",
            "/..%5c",
        ] {
            assert!(settled(path, policy).is_err(), "{path}");
        }
    }

    #[test]
    fn encoded_slashes_go_on_but_hide_nothing() {
        let policy = PathPolicy {
            forward_encoded_slashes: true,
            normalise_dot_segments: true,
            ..PathPolicy::default()
        };
        assert_eq!(settled("/a%2Fb/../c%2fd", policy).as_deref(), Ok("/c%2fd"));
        for path in [
            "/a/..%2fb",
            "/a%2f..",
            "/a%2F%2e%2fb",
            "/a%5cb",
            "/a%2f..;x/b",
        ] {
            assert!(settled(path, policy).is_err(), "{path}");
        }
    }

    #[test]
    fn slashes_are_merged_where_that_is_wanted() {
        let policy = PathPolicy {
            merge_slashes: true,
            normalise_dot_segments: true,
            ..PathPolicy::default()
        };
        assert_eq!(settled("//a///b//", policy).as_deref(), Ok("/a/b/"));
        assert_eq!(settled("/a//../b", policy).as_deref(), Ok("/b"));
        let only_merging = PathPolicy {
            normalise_dot_segments: false,
            ..policy
        };
        assert!(settled("//a/../b", only_merging).is_err());
    }
}
