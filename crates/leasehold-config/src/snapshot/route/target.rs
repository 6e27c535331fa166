use leasehold_model::UpstreamName;

/// What is done with the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They go to one of these upstreams, at least one, each with its weight; the sum is not zero.
    Upstreams(Vec<(UpstreamName, u32)>),
    /// The gateway answers them itself.
    Redirect(Redirect),
}

impl Target {
    /// Returns the upstreams that there may be requests for.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamName> {
        let all = match self {
            Self::Upstreams(all) => all.as_slice(),
            Self::Redirect(_) => &[],
        };
        all.iter().map(|(name, _weight)| name)
    }
}

/// Where a caller is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 307 or 308.
    pub status: u16,
    /// `http` or `https`; that of the request where there is none.
    pub scheme: Option<String>,
    /// The host; that of the request where there is none.
    pub host: Option<String>,
    /// The port; that of the scheme where there is none.
    pub port: Option<u16>,
    /// What stands in the path instead of what was matched, where anything does.
    pub path: Option<String>,
}

/// Who gets copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The upstream.
    pub upstream: UpstreamName,
    /// Of how many in a hundred, 1 to 100.
    pub percent: u8,
}
