use std::collections::{BTreeMap, BTreeSet};

/// Which requests a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Match {
    /// The host.
    pub host: HostMatch,
    /// The path.
    pub path: PathMatch,
    /// The methods; every method where there is none.
    pub methods: BTreeSet<String>,
    /// What headers must be, by their names in small letters.
    pub headers: BTreeMap<String, HeaderTest>,
    /// Parameters of the query with their values, as they are sent.
    pub query: BTreeMap<String, String>,
}

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// All.
    Any,
    /// This one, in small letters and without a port.
    Exact(String),
    /// Those below this one, which is in small letters: `example.com` for `*.example.com`.
    Below(String),
}

/// Which paths a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This one.
    Exact(String),
    /// Those that are like it.
    Template(String),
    /// Those that begin with it, by whole segments.
    Prefix(String),
}

impl PathMatch {
    /// Returns the path as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Exact(text) | Self::Template(text) | Self::Prefix(text)) = self;
        text
    }
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeaderTest {
    /// There once, with this value.
    Exact(String),
    /// There or not.
    Present(bool),
}

/// What is done about paths that two servers may read differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// Whether encoded slashes go on as they are; they are refused otherwise.
    pub forward_encoded_slashes: bool,
    /// Whether dot segments are resolved; they are refused otherwise.
    pub normalise_dot_segments: bool,
    /// Whether several slashes in a row become one.
    pub merge_slashes: bool,
}
