//! Credentials that are bound to hosts: whoever is shown one stands there.

use url::Url;

use super::Check;
use crate::code::Code;
use crate::node::Place;
use crate::snapshot::bound::{BoundHost, split};
use crate::snapshot::route::Route;
use crate::snapshot::route::edit::HostRewrite;
use crate::snapshot::route::matching::HostMatch;
use crate::snapshot::upstream::Upstream;
use crate::snapshot::upstream_traffic::HostPolicy;
use crate::snapshot::{Credential, ProviderKind, Snapshot};
use crate::words;

impl Check<'_> {
    pub(super) fn hosts(
        &mut self,
        written: Option<Vec<String>>,
        place: Place<'_>,
    ) -> Vec<BoundHost> {
        let written = written.unwrap_or_default();
        let mut read = Vec::new();
        for (index, text) in written.iter().enumerate() {
            let place = place.item(index);
            if let Some(host) = BoundHost::parse(text) {
                read.push(host);
                continue;
            }
            self.report.hide_unless_name(place.node());
            let message = "this is not a host";
            let help = "write it like `api.internal`, `*.internal` or `10.0.0.7`, with a port like \
                        `api.internal:8443` where it is to be that one";
            self.fault(Code::BadHost, place, message, help);
        }
        read
    }

    /// Reports whoever would be shown a credential elsewhere than it is bound to.
    pub(super) fn bound_credentials_stay(&mut self, snapshot: &Snapshot, root: Place<'_>) {
        for credential in snapshot
            .credentials
            .iter()
            .filter(|it| !it.hosts.is_empty())
        {
            for upstream in &snapshot.upstreams {
                let mut shown = upstream.credentials.iter();
                if shown.any(|it| it.credential == credential.name) {
                    self.upstream_is_within(credential, upstream, root);
                    self.hosts_of_routes_are_within(credential, upstream, snapshot, root);
                }
            }
            self.servers_are_within(credential, snapshot, root);
        }
    }

    fn upstream_is_within(
        &mut self,
        credential: &Credential,
        upstream: &Upstream,
        root: Place<'_>,
    ) {
        let place = root.field("upstreams").field(upstream.name.as_str());
        let at_endpoints = place.field("endpoints");
        // Where an endpoint had a fault of its own, the numbers don't agree.
        let whole = at_endpoints.node().items().len() == upstream.endpoints.len();
        for (index, url) in upstream.endpoints.iter().enumerate() {
            let place = if whole {
                at_endpoints.item(index)
            } else {
                at_endpoints
            };
            if !takes(credential, url) {
                self.elsewhere(credential, place);
            }
            if upstream.traffic.proxy.is_some() && url.scheme() == "http" {
                let name = words::shown(credential.name.as_str(), "the credential");
                let message = format!("{name} is bound to hosts, and the proxy could read it");
                let help = "make the endpoint an `https` URL, or remove `proxy`";
                self.fault(Code::OutsideHosts, place, message, help);
            }
        }
        let sni = upstream.traffic.tls.sni.as_ref();
        if sni.is_some_and(|name| !names(credential, name)) {
            self.elsewhere(credential, place.field("tls").field("sni"));
        }
        if let HostPolicy::Fixed(host) = &upstream.traffic.host
            && !names(credential, split(host).0)
        {
            self.elsewhere(credential, place.field("host"));
        }
    }

    /// Reports routes by which a consumer could say which host it is for: servers with many names serve
    /// others by those.
    fn hosts_of_routes_are_within(
        &mut self,
        credential: &Credential,
        upstream: &Upstream,
        snapshot: &Snapshot,
        root: Place<'_>,
    ) {
        let section = root.field("routes");
        let whole = section.node().items().len() == snapshot.routes.len();
        for (index, route) in snapshot.routes.iter().enumerate() {
            if !route.leads_to(&upstream.name) {
                continue;
            }
            let place = if whole { section.item(index) } else { section };
            let preserved = upstream.traffic.host == HostPolicy::Preserve;
            match &route.rewrite.host {
                HostRewrite::Fixed(host) if !names(credential, split(host).0) => {
                    self.elsewhere(credential, place.field("rewrite").field("host"));
                }
                HostRewrite::Upstream if preserved => {
                    self.said_by_callers(credential, route, place)
                }
                HostRewrite::Preserve => self.said_by_callers(credential, route, place),
                HostRewrite::Fixed(_) | HostRewrite::Upstream => {}
            }
        }
    }

    fn said_by_callers(&mut self, credential: &Credential, route: &Route, place: Place<'_>) {
        let within = match &route.matches.host {
            HostMatch::Any => false,
            HostMatch::Exact(host) => names(credential, host),
            HostMatch::Below(name) => credential.hosts.iter().any(|it| it.names_all_below(name)),
        };
        if !within {
            let name = words::shown(credential.name.as_str(), "the credential");
            let message =
                format!("{name} is bound to hosts, and callers of this route say the host");
            let help = "match a host within its `hosts` here, or don't preserve what callers send";
            self.fault(Code::OutsideHosts, place, message, help);
        }
    }

    fn servers_are_within(
        &mut self,
        credential: &Credential,
        snapshot: &Snapshot,
        root: Place<'_>,
    ) {
        for provider in &snapshot.providers {
            let ProviderKind::Oauth(server) = &provider.kind else {
                continue;
            };
            if server.parent == credential.name && !takes(credential, &server.token_endpoint) {
                let place = root.field("providers").field(provider.name.as_str());
                self.elsewhere(credential, place.field("token_endpoint"));
            }
        }
    }

    fn elsewhere(&mut self, credential: &Credential, place: Place<'_>) {
        let name = words::shown(credential.name.as_str(), "the credential");
        let message = format!("{name} is bound to other hosts");
        let help =
            "add this one to its `hosts` if it may be sent there, or show another credential";
        self.fault(Code::OutsideHosts, place, message, help);
    }
}

fn takes(credential: &Credential, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default();
    credential.hosts.iter().any(|it| it.takes(host, port))
}

fn names(credential: &Credential, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    credential.hosts.iter().any(|it| it.names(&name))
}
