use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{CredentialName, ProviderName};

use super::{Check, PROVIDER, in_order};
use crate::code::Code;
use crate::document::{CredentialDocument, ProviderDocument, SourceDocument};
use crate::node::Place;
use crate::snapshot::{Credential, Source};
use crate::words;

impl Check<'_> {
    pub(super) fn credentials(
        &mut self,
        credentials: BTreeMap<String, CredentialDocument>,
        providers: &BTreeMap<String, ProviderDocument>,
        root: Place<'_>,
    ) -> Vec<Credential> {
        let section = root.field("credentials");
        let mut read = Vec::new();
        for (name, credential) in in_order(credentials, section) {
            let from = credential.from;
            let place = section.field(&name).field("from");
            self.reference(&from.provider, PROVIDER, place.field("provider"));
            if let Some(field) = &from.field {
                self.field_name(field, place.field("field"));
            }
            let kind = providers.get(&from.provider).map(Kind::of);
            let whole = self.is_whole(&["credentials", &name, "from"], place);
            if let Some(source) = self.source(&from, kind, whole, place) {
                read.push(Credential {
                    name: CredentialName::from(name.as_str()),
                    provider: ProviderName::from(from.provider.as_str()),
                    source,
                    field: from.field,
                });
            }
        }
        read
    }

    /// Reads what to ask the provider for; `kind` is unknown where the provider has a fault.
    fn source(
        &mut self,
        from: &SourceDocument,
        kind: Option<Kind>,
        whole: bool,
        place: Place<'_>,
    ) -> Option<Source> {
        let written = [
            ("lease", Kind::Vault, &from.lease),
            ("kv", Kind::Vault, &from.kv),
            ("path", Kind::Native, &from.path),
        ];
        let mut written = written
            .into_iter()
            .filter_map(|(form, of, text)| text.as_ref().map(|text| (form, of, text)));
        let (Some((form, of, text)), None) = (written.next(), written.next()) else {
            if !whole {
                return None;
            }
            let message = "a credential comes from exactly one of `lease`, `kv` and `path`";
            self.fault(Code::BadCombination, place, message, SOURCE_HELP);
            return None;
        };
        if kind.is_some_and(|kind| kind != of) {
            let provider = words::shown(&from.provider, "this provider");
            let message = format!("{provider} has no `{form}`: it is {}", of.other_in_words());
            self.fault(
                Code::ProviderMismatch,
                place.field(form),
                message,
                SOURCE_HELP,
            );
        }
        self.lone_fields(from, form, place);
        let path = self.segments(text, place.field(form));
        if form == "lease" {
            return Some(Source::Leased { path });
        }
        let poll = self.duration(
            from.poll.as_ref(),
            of.default_poll(),
            LEAST_POLL,
            place.field("poll"),
        );
        // Between two polls a value is unconfirmed for a fifth more than the interval.
        let max_stale = self.duration(
            from.max_stale.as_ref(),
            DEFAULT_MAX_STALE.max(poll * 2),
            poll * 2,
            place.field("max_stale"),
        );
        let (mount, path) = match of {
            Kind::Native => (String::new(), path),
            Kind::Vault => self.below_mount(from, path, place)?,
        };
        Some(Source::Versioned {
            mount,
            path,
            poll,
            max_stale,
        })
    }

    /// Reports `mount`, `poll` and `max_stale` where they say nothing.
    fn lone_fields(&mut self, from: &SourceDocument, form: &str, place: Place<'_>) {
        if from.mount.is_some() && form != "kv" {
            let message = format!("`mount` goes with `kv` and not with `{form}`");
            self.fault(Code::BadCombination, place.field("mount"), message, "");
        }
        let ages = [("poll", &from.poll), ("max_stale", &from.max_stale)];
        for (name, _) in ages
            .iter()
            .filter(|(_, age)| age.is_some() && form == "lease")
        {
            let message = format!("`{name}` does not go with `lease`");
            let help = format!("a lease ages by its own times: remove `{name}`");
            self.fault(Code::BadCombination, place.field(name), message, &help);
        }
    }

    /// Parts a KV path into its mount and the rest.
    fn below_mount(
        &mut self,
        from: &SourceDocument,
        path: String,
        place: Place<'_>,
    ) -> Option<(String, String)> {
        if let Some(mount) = &from.mount {
            return Some((self.segments(mount, place.field("mount")), path));
        }
        match path.split_once('/') {
            Some((mount, path)) => Some((mount.to_owned(), path.to_owned())),
            None => {
                let message = "this is a mount without a path below it";
                let help = "write mount and path, like `kv/payments/api`";
                self.fault(Code::BadPath, place.field("kv"), message, help);
                None
            }
        }
    }

    /// Checks a path at a provider: segments between slashes, none empty, none that climbs.
    pub(super) fn segments(&mut self, text: &str, place: Place<'_>) -> String {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.split('/').all(is_segment) {
            return path.to_owned();
        }
        self.report.hide_unless_name(place.node());
        let message = "this is not a path at a provider";
        let help = "write names between slashes, like `payments/api`, without a slash before them";
        self.fault(Code::BadPath, place, message, help);
        path.to_owned()
    }
}

/// What a provider is, as far as its sources go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vault,
    Native,
}

impl Kind {
    const fn of(provider: &ProviderDocument) -> Self {
        match provider {
            ProviderDocument::Vault { .. } => Self::Vault,
            ProviderDocument::Native { .. } => Self::Native,
        }
    }

    /// Names the kind that this one was taken for.
    const fn other_in_words(self) -> &'static str {
        match self {
            Self::Vault => "the native provider",
            Self::Native => "Vault",
        }
    }

    const fn default_poll(self) -> Duration {
        match self {
            Self::Vault => Duration::from_secs(30),
            Self::Native => Duration::from_secs(1),
        }
    }
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && !matches!(segment, "." | "..")
        && segment.bytes().all(|each| each.is_ascii_graphic())
        && !segment.contains(['?', '#', '%', '\\'])
}

const DEFAULT_MAX_STALE: Duration = Duration::from_secs(60 * 60);
const LEAST_POLL: Duration = Duration::from_millis(100);
const SOURCE_HELP: &str = "Vault has `lease: database/creds/orders` and `kv: kv/payments/api`; the \
                           native provider has `path: payments/api`, and cannot lease";
