use leasehold_model::UpstreamName;

use crate::code::Code;
use crate::document::{MirrorDocument, RedirectDocument, WeightedDocument};
use crate::node::Place;
use crate::snapshot::route::matching::Match;
use crate::snapshot::route::target::{Mirror, Redirect, Target};
use crate::validate::{Check, UPSTREAM};

/// What of a route says where its requests go: `upstream`, `upstreams` and `redirect`.
type Written = (
    Option<String>,
    Option<Vec<WeightedDocument>>,
    Option<RedirectDocument>,
);

impl Check<'_> {
    pub(super) fn target(&mut self, written: Written, matches: &Match, place: Place<'_>) -> Target {
        match written {
            (Some(name), None, None) => {
                self.reference(&name, UPSTREAM, place.field("upstream"));
                Target::Upstreams(vec![(UpstreamName::from(name.as_str()), 1)])
            }
            (None, Some(several), None) => {
                Target::Upstreams(self.weighted(several, place.field("upstreams")))
            }
            (None, None, Some(redirect)) => {
                Target::Redirect(self.redirect(redirect, matches, place.field("redirect")))
            }
            (None, None, None) => {
                // Where one of them is there with a fault, that is all that is wrong.
                if self.is_whole_route(place) {
                    let message = "`upstream` is missing";
                    let help = "say where the requests go: `upstream`, `upstreams` or `redirect`";
                    self.fault(Code::MissingField, place, message, help);
                }
                Target::Upstreams(Vec::new())
            }
            _ => {
                let message = "`upstream`, `upstreams` and `redirect` exclude each other";
                self.fault(Code::BadCombination, place, message, "keep one of them");
                Target::Upstreams(Vec::new())
            }
        }
    }

    pub(super) fn mirror(&mut self, written: &MirrorDocument, place: Place<'_>) -> Mirror {
        self.reference(&written.upstream, UPSTREAM, place.field("upstream"));
        Mirror {
            upstream: UpstreamName::from(written.upstream.as_str()),
            percent: written.percent.unwrap_or(ALL),
        }
    }

    fn weighted(
        &mut self,
        written: Vec<WeightedDocument>,
        place: Place<'_>,
    ) -> Vec<(UpstreamName, u32)> {
        let mut read: Vec<(UpstreamName, u32)> = Vec::new();
        for (index, WeightedDocument { name, weight }) in written.into_iter().enumerate() {
            let at = place.item(index).field("name");
            self.reference(&name, UPSTREAM, at);
            let name = UpstreamName::from(name.as_str());
            if read.iter().any(|(other, _)| *other == name) {
                let message = "this upstream stands here twice";
                self.fault(Code::DuplicateName, at, message, "add the weights up");
            }
            read.push((name, weight));
        }
        if !read.is_empty() && read.iter().all(|(_, weight)| *weight == 0) {
            let message = "no upstream has a weight, so none would get a request";
            self.fault(Code::OutOfRange, place, message, "");
        }
        read
    }

    fn redirect(
        &mut self,
        written: RedirectDocument,
        matches: &Match,
        place: Place<'_>,
    ) -> Redirect {
        let status = written.status.unwrap_or(FOUND);
        if !STATUSES.contains(&status) {
            let message = "the status of a redirect is 301, 302, 307 or 308";
            self.fault(Code::OutOfRange, place.field("status"), message, "");
        }
        if let Some(scheme) = &written.scheme
            && !matches!(scheme.as_str(), "http" | "https")
        {
            let at = place.field("scheme");
            self.report.hide_unless_name(at.node());
            let message = "the scheme is `http` or `https`";
            self.fault(Code::UnknownValue, at, message, "");
        }
        let redirect = Redirect {
            status,
            scheme: written.scheme,
            host: written.host.map(|it| self.host(&it, place.field("host"))),
            port: written.port,
            path: written
                .path
                .map(|it| self.plain_path(it, place.field("path"))),
        };
        self.leads_elsewhere(&redirect, matches, place);
        redirect
    }

    /// Reports a redirect that sends every caller back to where they are.
    fn leads_elsewhere(&mut self, redirect: &Redirect, matches: &Match, place: Place<'_>) {
        let path = redirect.path.as_deref();
        let same_path = path.is_none_or(|path| path == matches.path.text());
        let same_place =
            redirect.scheme.is_none() && redirect.host.is_none() && redirect.port.is_none();
        if same_path && same_place {
            let message = "this leads to where the caller is already";
            let help = "say another `scheme`, `host`, `port` or `path`";
            self.fault(Code::BadCombination, place, message, help);
        }
    }

    /// Tells whether nothing of a route was left out because of a fault of its own.
    fn is_whole_route(&self, place: Place<'_>) -> bool {
        let section = self.written.get("routes").map(|entry| &entry.value);
        let mut written = section.map(|it| it.items()).unwrap_or_default().iter();
        let written = written.find(|item| item.span == place.node().span);
        written.is_some_and(|it| it.entries().len() == place.node().entries().len())
    }
}

const FOUND: u16 = 302;
const STATUSES: [u16; 4] = [301, FOUND, 307, 308];
const ALL: u8 = 100;
