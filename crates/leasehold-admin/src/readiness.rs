use leasehold_model::RouteName;
use serde::Serialize;

/// How the gateway stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it is shutting down.
    pub draining: bool,
    /// How each of its routes stands.
    pub routes: Vec<RouteReadiness>,
}

impl Readiness {
    /// Tells whether requests should be sent to this instance: it serves at least one of its routes.
    ///
    /// One route without its credential is no reason to take the others out of service with it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let serves = self.routes.is_empty() || self.routes.iter().any(|route| route.ready);
        serves && !self.draining
    }

    /// Returns how the route of that name stands.
    pub(crate) fn route(&self, name: &str) -> Option<&RouteReadiness> {
        self.routes
            .iter()
            .find(|route| route.route.as_str() == name)
    }
}

/// How a route stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteReadiness {
    /// The route.
    pub route: RouteName,
    /// Whether its requests can be forwarded.
    pub ready: bool,
    /// Why not, in the words that logs and metrics use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_route_that_serves_is_enough() {
        assert!(readiness(false, &[]).is_ready());
        assert!(readiness(false, &[false, true]).is_ready());
        assert!(!readiness(false, &[false, false]).is_ready());
    }

    #[test]
    fn an_instance_that_drains_is_not_ready() {
        assert!(!readiness(true, &[]).is_ready());
        assert!(!readiness(true, &[true]).is_ready());
    }

    fn readiness(draining: bool, routes: &[bool]) -> Readiness {
        let routes = routes.iter().map(|ready| RouteReadiness {
            route: "r".into(),
            ready: *ready,
            cause: None,
        });
        Readiness {
            draining,
            routes: routes.collect(),
        }
    }
}
