use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_model::{CredentialName, UpstreamName};
use url::Url;

use super::injection::Fields;
use super::{CREDENTIAL, Check, in_order, upstream_traffic};
use crate::code::Code;
use crate::document::{
    EndpointDocument, InjectionDocument, SuspectDocument, TimeoutsDocument, UpstreamDocument,
};
use crate::node::Place;
use crate::snapshot::upstream::{CredentialUse, Suspect, Timeouts, Upstream};
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
            let leased = upstream.inject.as_ref();
            let leased = leased.is_some_and(|it| it.client_certificate.is_some());
            self.handshakes(leased, &traffic, &endpoints, place);
            read.push(Upstream {
                name: UpstreamName::from(name.as_str()),
                traffic,
                endpoints,
                ca: upstream.ca.map(|path| self.path(path)),
                credential: self.credential_use(
                    (upstream.credential, upstream.inject, upstream.suspect),
                    fields,
                    &name,
                    place,
                ),
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
    fn handshakes(&mut self, leased: bool, traffic: &Traffic, endpoints: &[Url], place: Place<'_>) {
        let files = traffic.tls.client.is_some();
        let at = if leased {
            place.field("inject").field("client_certificate")
        } else {
            place.field("tls").field("client")
        };
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

    /// Reads what the upstream is shown: a credential and its place, or nothing.
    fn credential_use(
        &mut self,
        written: (
            Option<String>,
            Option<InjectionDocument>,
            Option<SuspectDocument>,
        ),
        fields: &Fields,
        upstream: &str,
        place: Place<'_>,
    ) -> Option<CredentialUse> {
        let (credential, injection, written_suspect) = written;
        if let Some(credential) = &credential {
            self.reference(credential, CREDENTIAL, place.field("credential"));
        }
        let path = ["upstreams", upstream, "inject"];
        let whole_upstream = self.is_whole(&["upstreams", upstream], place);
        let at_inject = place.field("inject");
        match (credential, injection) {
            (Some(credential), Some(injection)) => {
                let field = fields.get(&credential).cloned();
                let whole = self.is_whole(&path, at_inject);
                Some(CredentialUse {
                    injection: self.injection(injection, field, whole, at_inject)?,
                    credential: CredentialName::from(credential.as_str()),
                    suspect: suspect(written_suspect),
                })
            }
            (None, None) if written_suspect.is_none() => None,
            _ if !whole_upstream => None,
            (None, None) => self.alone("suspect", "credential", place.field("suspect")),
            (Some(_), None) => self.alone("credential", "inject", place.field("credential")),
            (None, Some(_)) => self.alone("inject", "credential", at_inject),
        }
    }

    fn alone<T>(&mut self, present: &str, absent: &str, place: Place<'_>) -> Option<T> {
        let message = format!("`{present}` says nothing without `{absent}`");
        let help = "name the credential and say where it is placed: `credential: payments-key` \
                    and `inject: { header: X-Api-Key }`";
        self.fault(Code::BadCombination, place, message, help);
        None
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

fn suspect(written: Option<SuspectDocument>) -> Suspect {
    let SuspectDocument { statuses, retry } = written.unwrap_or_default();
    let statuses = statuses.map(BTreeSet::from_iter);
    Suspect {
        statuses: statuses.unwrap_or_else(|| BTreeSet::from([UNAUTHORIZED])),
        retry: retry.unwrap_or(true),
    }
}

const UNAUTHORIZED: u16 = 401;
const DEFAULT_CONNECT: Duration = Duration::from_secs(5);
const DEFAULT_RESPONSE: Duration = Duration::from_secs(60);
const LEAST_TIMEOUT: Duration = Duration::from_millis(1);
