use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use url::Url;

use crate::config::SetupError;

/// The addresses of a cluster's nodes, and which of them served last.
#[derive(Debug)]
pub(crate) struct Addresses {
    list: Vec<Url>,
    served_last: AtomicUsize,
}

impl Addresses {
    pub(crate) fn new(list: Vec<Url>) -> Result<Self, SetupError> {
        if list.is_empty() {
            return Err(SetupError::NoAddress);
        }
        for address in &list {
            check(address)?;
        }
        Ok(Self {
            list,
            served_last: AtomicUsize::new(0),
        })
    }

    /// Tells whether any node is reached over TLS.
    pub(crate) fn any_tls(&self) -> bool {
        self.list.iter().any(|address| address.scheme() == "https")
    }

    /// Starts one call's way through the addresses, from the one that served last.
    pub(crate) fn round(&self) -> Round<'_> {
        let mut left: VecDeque<usize> = (0..self.list.len()).collect();
        left.rotate_left(self.served_last.load(Ordering::Relaxed) % self.list.len().max(1));
        Round {
            addresses: self,
            left,
            current: 0,
            passed: Vec::new(),
        }
    }
}

/// One call's way through the addresses: each is tried at most once.
pub(crate) struct Round<'a> {
    addresses: &'a Addresses,
    left: VecDeque<usize>,
    current: usize,
    passed: Vec<String>,
}

impl<'a> Round<'a> {
    /// Returns the next address to try.
    pub(crate) fn next(&mut self) -> Option<&'a Url> {
        self.current = self.left.pop_front()?;
        self.addresses.list.get(self.current)
    }

    /// Remembers that the current address served; returns whether another one did before.
    pub(crate) fn served(&self) -> bool {
        let last = &self.addresses.served_last;
        last.swap(self.current, Ordering::Relaxed) != self.current
    }

    /// Passes the current address over.
    pub(crate) fn pass_over(&mut self, reason: &str) {
        let address = self.addresses.list.get(self.current);
        let address = address.map_or("", Url::as_str);
        self.passed.push(format!("{address} {reason}"));
    }

    /// Passes the current address over for the one that it redirects to, where that is configured
    /// and has not been tried.
    pub(crate) fn redirect(&mut self, location: Option<&Url>) {
        let Some(location) = location else {
            return self.pass_over("redirects without saying where to");
        };
        let origin = location.origin().ascii_serialization();
        let listed = self.addresses.list.iter();
        let listed = listed
            .map(Url::origin)
            .position(|it| it == location.origin());
        let Some(listed) = listed else {
            return self.pass_over(&format!("redirects to {origin}, which is not configured"));
        };
        self.pass_over(&format!("redirects to {origin}"));
        if let Some(at) = self.left.iter().position(|&index| index == listed) {
            self.left.remove(at);
            self.left.push_front(listed);
        }
    }

    /// Returns why each address was passed over.
    pub(crate) fn reasons(&self) -> String {
        self.passed.join("; ")
    }
}

fn check(address: &Url) -> Result<(), SetupError> {
    let problem = if !matches!(address.scheme(), "http" | "https") {
        "is neither http nor https"
    } else if address.host_str().is_none() {
        "has no host"
    } else if !address.username().is_empty() || address.password().is_some() {
        "holds a user name or password, which Vault does not read"
    } else if address.path() != "/" || address.query().is_some() || address.fragment().is_some() {
        "goes on after the port, where the API's own path begins"
    } else {
        return Ok(());
    };
    Err(SetupError::Address {
        address: address.origin().ascii_serialization(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a url")
    }

    fn three() -> Addresses {
        let list = ["https://a:8200", "https://b:8200", "https://c:8200"];
        Addresses::new(list.map(url).to_vec()).expect("addresses")
    }

    fn hosts(mut round: Round<'_>) -> Vec<&str> {
        std::iter::from_fn(|| round.next().and_then(Url::host_str)).collect()
    }

    #[test]
    fn a_round_tries_each_address_once_from_the_one_that_served_last() {
        let addresses = three();
        assert_eq!(hosts(addresses.round()), ["a", "b", "c"]);
        let mut round = addresses.round();
        assert_eq!(round.next(), Some(&url("https://a:8200")));
        assert_eq!(round.next(), Some(&url("https://b:8200")));
        assert!(round.served(), "another than before");
        assert_eq!(hosts(addresses.round()), ["b", "c", "a"]);
        let mut round = addresses.round();
        round.next();
        assert!(!round.served(), "the same as before");
    }

    #[test]
    fn a_redirect_leads_to_a_configured_address_at_once_and_nowhere_twice() {
        let addresses = three();
        let mut round = addresses.round();
        round.next();
        round.redirect(Some(&url("https://c:8200/v1/kv/data/app")));
        assert_eq!(round.next(), Some(&url("https://c:8200")));
        round.redirect(Some(&url("https://a:8200/v1/kv/data/app")));
        assert_eq!(round.next(), Some(&url("https://b:8200")), "a was tried");
        assert_eq!(round.next(), None);
    }

    #[test]
    fn a_redirect_elsewhere_is_named_and_not_followed() {
        let addresses = three();
        let mut round = addresses.round();
        round.next();
        // Another scheme or port is another origin.
        round.redirect(Some(&url("http://b:8200/v1/x")));
        round.redirect(None);
        assert_eq!(round.next(), Some(&url("https://b:8200")));
        assert_eq!(
            round.reasons(),
            "https://a:8200/ redirects to http://b:8200, which is not configured; \
             https://a:8200/ redirects without saying where to"
        );
    }

    #[test]
    fn an_address_that_is_not_a_node_is_refused_without_repeating_its_password() {
        for address in [
            "ftp://vault",
            "unix:/run/vault",
            "https://user:canary@vault:8200",
            "https://vault:8200/v1",
            "https://vault:8200/?x",
        ] {
            let error = Addresses::new(vec![url(address)]).expect_err(address);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(matches!(
            Addresses::new(Vec::new()),
            Err(SetupError::NoAddress)
        ));
    }
}
