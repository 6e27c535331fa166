use std::collections::HashMap;

use super::paths::first;

/// Templates of paths, by their segments. No part of it is looked at twice for one path.
#[derive(Debug, Default)]
pub(super) struct Template {
    literal: HashMap<Box<str>, Self>,
    /// For any one segment.
    any: Option<Box<Self>>,
    /// For one segment and all that follow it.
    rest: Vec<usize>,
    /// For a path that ends here.
    end: Vec<usize>,
}

impl Template {
    /// Returns the routes for exactly this template.
    pub(super) fn at(&mut self, template: &str) -> &mut Vec<usize> {
        let mut node = self;
        for segment in template.split('/').skip(1) {
            node = match segment.as_bytes() {
                [b'{', b'*', ..] => return &mut node.rest,
                [b'{', ..] => node.any.get_or_insert_default(),
                _ => node.literal.entry(segment.into()).or_default(),
            };
        }
        &mut node.end
    }

    /// Returns the first route for a path that takes the request: at each segment, one that names it
    /// comes before one that takes any.
    pub(super) fn find(&self, path: &str, takes: &impl Fn(usize) -> bool) -> Option<usize> {
        if self.literal.is_empty() && self.any.is_none() && self.rest.is_empty() {
            return None;
        }
        self.from(path.strip_prefix('/'), takes)
    }

    fn from(&self, path: Option<&str>, takes: &impl Fn(usize) -> bool) -> Option<usize> {
        let Some(path) = path else {
            return first(Some(&self.end), takes);
        };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        let literal = self.literal.get(segment);
        let any = self.any.as_deref().filter(|_| !segment.is_empty());
        let mut nodes = literal.into_iter().chain(any);
        let found = nodes.find_map(|node| node.from(after, takes));
        let rest = Some(&self.rest).filter(|_| !path.is_empty());
        found.or_else(|| first(rest, takes))
    }
}
