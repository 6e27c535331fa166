/// What of the target the upstream sees in another form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// What stands in the path instead of what was matched, where anything does.
    pub prefix: Option<String>,
    /// What the upstream reads as `Host`.
    pub host: HostRewrite,
}

/// What an upstream reads as `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// Its own authority.
    Upstream,
    /// What the consumer sent.
    Preserve,
    /// This.
    Fixed(String),
}

/// What is changed in a head: removals first, then what is set, then what is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Headers that are there once then, by name in small letters.
    pub set: Vec<(String, String)>,
    /// Headers that are there once more then.
    pub add: Vec<(String, String)>,
    /// Headers that are not there then.
    pub remove: Vec<String>,
}
