mod credentials;

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::UpstreamName;
use url::Url;

use super::injection::Fields;
use super::{Check, in_order, upstream_traffic};
use crate::code::Code;
use crate::document::{EndpointDocument, TimeoutsDocument, UpstreamDocument};
use crate::node::Place;
use crate::snapshot::upstream::{Timeouts, Upstream};
use crate::snapshot::upstream_traffic::Traffic;

impl Check<'_> {
    pub(super) fn upstreams(
        &mut self,
        upstreams: BTreeMap<String, UpstreamDocument>,
        fields: &Fields,
        root: Place<'_>,
    ) -> Vec<Upstream> {
        let section = root.field("upstreams");
        let mut read = Vec::new();
        for (name, mut upstream) in in_order(upstreams, section) {
            let place = section.field(&name);
            let traffic = self.traffic(&mut upstream, place);
            let endpoints = self.endpoints(&upstream.endpoints, place.field("endpoints"));
            self.handshakes(
                credentials::at_handshake(&upstream, place),
                &traffic,
                &endpoints,
                place,
            );
            let credentials = self.credentials_shown(&mut upstream, fields, &name, place);
            read.push(Upstream {
                name: UpstreamName::from(name.as_str()),
                traffic,
                endpoints,
                ca: upstream.ca.map(|path| self.path(path)),
                credentials,
                timeouts: self.timeouts(upstream.timeouts.unwrap_or_default(), place),
            });
        }
        read
    }

    fn endpoints(&mut self, written: &[EndpointDocument], place: Place<'_>) -> Vec<Url> {
        let places = written.iter().enumerate();
        let read = places.filter_map(|(index, written)| {
            let (url, place) = upstream_traffic::url(written, place.item(index));
            self.origin(url, place)
        });
        read.collect()
    }

    /// Reports certificates that would have to be shown where there is no handshake, or two at one.
    fn handshakes(
        &mut self,
        leased: Option<Place<'_>>,
        traffic: &Traffic,
        endpoints: &[Url],
        place: Place<'_>,
    ) {
        let files = traffic.tls.client.is_some();
        let at = leased.unwrap_or_else(|| place.field("tls").field("client"));
        let leased = leased.is_some();
        if leased && files {
            let message = "two certificates can't be shown at one handshake";
            let help = "remove this one, or `client` within `tls`";
            self.fault(Code::BadCombination, at, message, help);
        } else if (leased || files) && endpoints.iter().any(|it| it.scheme() != "https") {
            let message = "a certificate is shown at a TLS handshake, and an endpoint is `http`";
            let help = "make each of the `endpoints` an `https` URL";
            self.fault(Code::BadCombination, at, message, help);
        }
    }

    fn timeouts(&mut self, written: TimeoutsDocument, place: Place<'_>) -> Timeouts {
        let place = place.field("timeouts");
        let TimeoutsDocument { connect, response } = written;
        let mut span = |written: Option<_>, default, name| {
            self.duration(written.as_ref(), default, LEAST_TIMEOUT, place.field(name))
        };
        Timeouts {
            connect: span(connect, DEFAULT_CONNECT, "connect"),
            response: span(response, DEFAULT_RESPONSE, "response"),
        }
    }
}

const DEFAULT_CONNECT: Duration = Duration::from_secs(5);
const DEFAULT_RESPONSE: Duration = Duration::from_secs(60);
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
