use url::Host;

/// A host that a credential may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundHost {
    /// Its name or address, as URLs have it.
    host: String,
    /// Whether those below it are meant instead.
    below: bool,
    /// The port, where it is no other.
    port: Option<u16>,
}

impl BoundHost {
    /// Reads `api.internal`, `*.internal` or an address, each with a port where that is to be the only one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, port) = split(text);
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|it| *it != 0)?),
            None => None,
        };
        let (name, below) = match name.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let host = Host::parse(name).ok()?;
        let is_name = matches!(host, Host::Domain(_));
        let host = host.to_string();
        let is_pattern = host.contains('*') || host.starts_with('.') || host.ends_with('.');
        (!is_pattern && (is_name || !below)).then_some(Self { host, below, port })
    }

    /// Tells whether this host and port are meant.
    pub(crate) fn takes(&self, host: &str, port: Option<u16>) -> bool {
        self.names(host) && (self.port.is_none() || self.port == port)
    }

    /// Tells whether a host of this name is meant, at whatever port.
    pub(crate) fn names(&self, host: &str) -> bool {
        if !self.below {
            return self.host == host;
        }
        let rest = host.strip_suffix(&*self.host);
        rest.is_some_and(|it| it.len() > 1 && it.ends_with('.'))
    }

    /// Tells whether every host below this name is meant.
    pub(crate) fn names_all_below(&self, name: &str) -> bool {
        self.below && (self.host == name || self.names(name))
    }
}

/// Splits a host from its port.
pub(crate) fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_meant_by_name_by_pattern_and_by_port() {
        for (bound, host, port, meant) in [
            ("api.internal", "api.internal", 443, true),
            ("API.internal", "api.internal", 443, true),
            ("api.internal", "xapi.internal", 443, false),
            ("api.internal", "api.internal.example", 443, false),
            ("api.internal:8443", "api.internal", 8443, true),
            ("api.internal:8443", "api.internal", 443, false),
            ("*.internal", "api.internal", 443, true),
            ("*.internal", "a.b.internal", 443, true),
            ("*.internal", "internal", 443, false),
            ("*.internal", "xinternal", 443, false),
            ("10.0.0.7", "10.0.0.7", 80, true),
            ("10.0.0.7", "10.0.0.70", 80, false),
            ("[2001:db8::1]:8443", "[2001:db8::1]", 8443, true),
            ("[2001:db8::1]", "[2001:db8::1]", 80, true),
        ] {
            let read = BoundHost::parse(bound).expect(bound);
            assert_eq!(read.takes(host, Some(port)), meant, "{bound} {host} {port}");
        }
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "*.10.0.0.1",
            "a:0",
            "a:x",
            "a:",
            "*.*.a",
            "a/b",
            "u@a",
            "a.",
            ".a",
        ] {
            assert_eq!(BoundHost::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_of_hosts_is_meant_where_all_of_them_are() {
        let below = BoundHost::parse("*.internal").expect("a pattern");
        assert!(below.names_all_below("internal") && below.names_all_below("eu.internal"));
        assert!(!below.names_all_below("example"));
        let one = BoundHost::parse("api.internal").expect("a host");
        assert!(!one.names_all_below("api.internal"));
    }
}
