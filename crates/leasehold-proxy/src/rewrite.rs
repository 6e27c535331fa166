use http::Uri;
use http::uri::PathAndQuery;

use crate::gateway::PathMatch;

/// Returns the path with `replacement` instead of what the route matched: the prefix of a route for a
/// prefix, what stands before the rest of a template with one, the whole path of any other.
pub(crate) fn rewritten(path: &str, matched: &PathMatch, replacement: &str) -> String {
    let rest = match matched {
        PathMatch::Exact(_) => None,
        PathMatch::Prefix(prefix) => after_prefix(path, prefix),
        PathMatch::Template(template) => after_template(path, template),
    };
    match rest {
        // Whole segments follow whole segments, with one slash between them: that is what keeps a
        // rewrite from making another path of what was checked.
        Some(rest) => format!("{}/{rest}", replacement.trim_end_matches('/')),
        None => replacement.to_owned(),
    }
}

/// Returns the target with another path and the same query; `None` where that is no target.
pub(crate) fn with_path(target: &Uri, path: &str) -> Option<Uri> {
    let target = match target.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    target.ok().map(Uri::from)
}

/// Returns what follows the prefix and a slash; `None` where nothing does.
fn after_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    if prefix.ends_with('/') {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

fn after_template<'a>(path: &'a str, template: &str) -> Option<&'a str> {
    let before = template.find("/{*")?;
    let segments = template.get(..before)?.matches('/').count();
    // What stands before the first slash is nothing.
    path.splitn(segments + 2, '/').nth(segments + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_matched_is_replaced_by_whole_segments() {
        let prefix = |text: &str| PathMatch::Prefix(text.to_owned());
        let template = |text: &str| PathMatch::Template(text.to_owned());
        for (path, matched, replacement, want) in [
            ("/api/x", prefix("/api/"), "/v2/", "/v2/x"),
            ("/api/x", prefix("/api/"), "/v2", "/v2/x"),
            ("/api/x", prefix("/api"), "/v2/", "/v2/x"),
            ("/api/x", prefix("/api"), "/", "/x"),
            ("/api", prefix("/api"), "/v2", "/v2"),
            ("/api/", prefix("/api/"), "/v2", "/v2/"),
            ("/api/", prefix("/api"), "/", "/"),
            ("/x/y", prefix("/"), "/v2/", "/v2/x/y"),
            ("/api//x", prefix("/api"), "/v2", "/v2//x"),
            ("/a", PathMatch::Exact("/a".to_owned()), "/b/c", "/b/c"),
            ("/u/7", template("/u/{id}"), "/b", "/b"),
            ("/f/7/a/b", template("/f/{id}/{*rest}"), "/g/", "/g/a/b"),
            ("/a/b", template("/{*rest}"), "/g", "/g/a/b"),
        ] {
            assert_eq!(
                rewritten(path, &matched, replacement),
                want,
                "{path} {matched:?}"
            );
        }
    }

    #[test]
    fn the_query_stays() {
        let target: Uri = "/a?b=%2F".parse().expect("a target");
        let target = with_path(&target, "/c").expect("a target");
        assert_eq!(target.to_string(), "/c?b=%2F");
    }
}
