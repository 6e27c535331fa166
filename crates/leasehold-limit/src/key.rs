use std::net::IpAddr;

use leasehold_model::{ConsumerName, RouteName};

/// What requests have in common that are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Per {
    /// Who sends them.
    pub consumer: bool,
    /// The route that they take.
    pub route: bool,
    /// The address that they come from.
    pub address: bool,
}

/// Who sends a request, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The consumer, where it is known.
    pub consumer: Option<&'a ConsumerName>,
    /// The route.
    pub route: &'a RouteName,
    /// The address, where there is one.
    pub address: Option<IpAddr>,
}

/// What a request is counted by. Requests of nobody known have one key in common, and so have those that
/// come from no address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    consumer: Option<ConsumerName>,
    route: Option<RouteName>,
    /// An IPv4 address, or the first 64 bits of one of IPv6: who has one of those has all below it.
    address: Option<IpAddr>,
}

impl Key {
    /// Returns the key of a request.
    #[must_use]
    pub fn of(per: Per, caller: Caller<'_>) -> Self {
        Self {
            consumer: caller.consumer.filter(|_| per.consumer).cloned(),
            route: per.route.then(|| caller.route.clone()),
            address: caller.address.filter(|_| per.address).map(block),
        }
    }
}

fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => IpAddr::from((address.to_bits() & NETWORK).to_be_bytes()),
    }
}

/// The upper 64 bits.
const NETWORK: u128 = u128::MAX << 64;

/// Makes the key of a consumer for a test of what counts by it.
#[cfg(test)]
pub(crate) fn key(consumer: &str) -> Key {
    let per = Per {
        consumer: true,
        ..Per::default()
    };
    let caller = Caller {
        consumer: Some(&consumer.into()),
        route: &"r".into(),
        address: None,
    };
    Key::of(per, caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ipv6_are_counted_by_their_network() {
        let same = |one: &str, other: &str| of(one) == of(other);
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }

    #[test]
    fn a_key_has_what_is_counted_by_and_nothing_else() {
        let (consumer, route) = ("c".into(), "r".into());
        let caller = Caller {
            consumer: Some(&consumer),
            route: &route,
            address: "192.0.2.1".parse().ok(),
        };
        let per = Per {
            consumer: true,
            route: true,
            address: false,
        };
        let key = Key::of(per, caller);
        assert_eq!((key.consumer, key.route), (Some(consumer), Some(route)));
        assert_eq!(key.address, None);
    }

    fn of(address: &str) -> Key {
        let per = Per {
            address: true,
            ..Per::default()
        };
        let caller = Caller {
            consumer: None,
            route: &"r".into(),
            address: address.parse().ok(),
        };
        Key::of(per, caller)
    }
}
