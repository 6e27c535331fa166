use std::collections::BTreeSet;
use std::time::Duration;

/// Which pages of other origins may read the answers in a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Their origins.
    pub origins: Origins,
    /// The methods that they may use.
    pub methods: Vec<String>,
    /// The request headers that they may set, in small letters.
    pub headers: Vec<String>,
    /// The answer's headers that they may read, in small letters.
    pub expose: Vec<String>,
    /// Whether the browser may send cookies and the like; never where all origins may read.
    pub credentials: bool,
    /// How long a browser may remember the answer to its question.
    pub max_age: Duration,
}

/// Which origins may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All.
    Any,
    /// These, exactly; at least one.
    These(BTreeSet<String>),
}
