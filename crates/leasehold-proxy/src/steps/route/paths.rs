use std::collections::HashMap;

use super::template::Template;
use crate::gateway::PathMatch;

/// The numbers of routes by their paths. A look-up costs as much with a thousand routes as with one.
#[derive(Debug, Default)]
pub(super) struct Paths {
    exact: HashMap<Box<str>, Vec<usize>>,
    templates: Template,
    prefixes: HashMap<Box<str>, Vec<usize>>,
    longest_prefix: usize,
}

impl Paths {
    /// Returns the routes for exactly these paths.
    pub(super) fn at(&mut self, path: &PathMatch) -> &mut Vec<usize> {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_str().into()).or_default(),
            PathMatch::Template(template) => self.templates.at(template),
            PathMatch::Prefix(prefix) => {
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefixes.entry(prefix.as_str().into()).or_default()
            }
        }
    }

    /// Returns the first route for a path that takes the request.
    pub(super) fn find(&self, path: &str, takes: &impl Fn(usize) -> bool) -> Option<usize> {
        let exact = first(self.exact.get(path), takes);
        exact
            .or_else(|| self.templates.find(path, takes))
            .or_else(|| self.by_prefix(path, takes))
    }

    /// Tries the beginnings of the path that end at a segment, from the longest that can be there.
    fn by_prefix(&self, path: &str, takes: &impl Fn(usize) -> bool) -> Option<usize> {
        let at = |end: usize| first(self.prefixes.get(path.get(..end)?), takes);
        let whole = path.len();
        if whole <= self.longest_prefix
            && let Some(route) = at(whole)
        {
            return Some(route);
        }
        // A prefix that does not end in a slash ends before one, so that `/pay` leaves `/payments`
        // alone.
        let mut window = path.as_bytes();
        window = window.get(..=self.longest_prefix).unwrap_or(window);
        while let Some(slash) = window.iter().rposition(|byte| *byte == b'/') {
            let ends = [slash + 1, slash].into_iter().filter(|end| *end < whole);
            if let Some(route) = ends.into_iter().find_map(at) {
                return Some(route);
            }
            window = window.get(..slash).unwrap_or_default();
        }
        None
    }
}

pub(super) fn first(rules: Option<&Vec<usize>>, takes: &impl Fn(usize) -> bool) -> Option<usize> {
    rules?.iter().copied().find(|route| takes(*route))
}
