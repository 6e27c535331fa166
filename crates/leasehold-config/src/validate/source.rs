//! What a provider is asked for.

use std::time::Duration;

use super::Check;
use crate::code::Code;
use crate::document::{OneOrMany, ProviderDocument, SourceDocument, TokenDocument};
use crate::node::Place;
use crate::snapshot::{Per, Source};
use crate::words;

impl Check<'_> {
    /// Reads by which field a source says what it is; a source that is not `whole` has a fault.
    pub(super) fn form(
        &mut self,
        from: &SourceDocument,
        whole: bool,
        place: Place<'_>,
    ) -> Option<Form> {
        let mut written = Form::ALL.into_iter().filter(|form| form.is_in(from));
        if let (Some(form), None) = (written.next(), written.next()) {
            return Some(form);
        }
        if whole {
            let names = Form::ALL.map(Form::name);
            let message = format!(
                "a credential comes from exactly one of {}",
                words::list(names)
            );
            self.fault(Code::BadCombination, place, message, SOURCE_HELP);
        }
        None
    }

    /// Reads what to ask the provider for; `kind` is unknown where the provider has a fault.
    pub(super) fn source(
        &mut self,
        from: &SourceDocument,
        form: Form,
        (kind, per): (Option<Kind>, Per),
        place: Place<'_>,
    ) -> Option<Source> {
        if let Some(kind) = kind.filter(|kind| !form.is_of(*kind)) {
            let provider = words::shown(&from.provider, "this provider");
            let other = kind.in_words();
            let message = format!("{provider} has no `{}`: it is {other}", form.name());
            let place = place.field(form.name());
            self.fault(Code::ProviderMismatch, place, message, SOURCE_HELP);
        }
        self.lone_fields(from, form, place);
        if let (Form::Jwt, Some(jwt)) = (form, &from.jwt) {
            return self.minted((from, jwt), kind, per, place);
        }
        if let Some(token) = &from.oauth {
            return Some(self.token(token, place.field("oauth")));
        }
        let path = self.segments(form.of(from)?, place.field(form.name()));
        let parameters = || from.parameters.clone();
        Some(match form {
            Form::Lease => Source::Leased {
                path,
                parameters: parameters(),
            },
            Form::Certificate => Source::Certificate {
                path: self.signing(path, place.field("certificate")),
                parameters: parameters(),
            },
            Form::Static => Source::Rotating {
                path,
                max_stale: self.stale(from, DEFAULT_MAX_STALE, LEAST_STALE, place),
            },
            Form::Kv | Form::Kv1 | Form::Path => return self.stored(from, form, path, place),
            Form::Token | Form::Jwt => return None,
        })
    }

    /// Reads what a token is asked for.
    fn token(&mut self, written: &TokenDocument, place: Place<'_>) -> Source {
        let TokenDocument {
            scope,
            audience,
            resource,
        } = written;
        let mut form = Vec::new();
        let resources: &[String] = match resource {
            None => &[],
            Some(OneOrMany::One(one)) => std::slice::from_ref(one),
            Some(OneOrMany::Many(many)) => many,
        };
        let single = [("scope", scope), ("audience", audience)].into_iter();
        let single = single.filter_map(|(name, it)| Some((name, it.as_ref()?)));
        let resources = resources.iter().map(|it| ("resource", it));
        for (name, value) in single.chain(resources) {
            if value.trim().is_empty() || value.contains(char::is_control) {
                self.report.hide_unless_name(place.field(name).node());
                let message = format!("this is no `{name}`");
                let help = "write it on one line, or leave it out";
                self.fault(Code::BadCombination, place.field(name), message, help);
            }
            form.push((name.to_owned(), value.clone()));
        }
        Source::Token { form }
    }

    /// Reads a value that is looked at again and again.
    fn stored(
        &mut self,
        from: &SourceDocument,
        form: Form,
        path: String,
        place: Place<'_>,
    ) -> Option<Source> {
        let default = if form == Form::Path {
            Kind::Native.default_poll()
        } else {
            Kind::Vault.default_poll()
        };
        let poll = self.duration(from.poll.as_ref(), default, LEAST_POLL, place.field("poll"));
        // Between two polls a value is unconfirmed for a fifth more than the interval.
        let least = poll.saturating_mul(2);
        let max_stale = self.stale(from, DEFAULT_MAX_STALE.max(least), least, place);
        let (mount, path) = match form {
            Form::Kv if from.mount.is_some() => {
                let mount = from.mount.as_deref().unwrap_or_default();
                (self.segments(mount, place.field("mount")), path)
            }
            Form::Kv | Form::Kv1 => self.below_mount(&path, place.field(form.name()))?,
            Form::Path
            | Form::Lease
            | Form::Static
            | Form::Certificate
            | Form::Token
            | Form::Jwt => (String::new(), path),
        };
        Some(if form == Form::Kv1 {
            Source::Hinted {
                path: format!("{mount}/{path}"),
                poll,
                max_stale,
            }
        } else {
            Source::Versioned {
                mount,
                path,
                poll,
                max_stale,
            }
        })
    }

    fn stale(
        &mut self,
        from: &SourceDocument,
        default: Duration,
        least: Duration,
        place: Place<'_>,
    ) -> Duration {
        let place = place.field("max_stale");
        self.duration(from.max_stale.as_ref(), default, least, place)
    }

    /// Reports fields that say nothing beside the form.
    fn lone_fields(&mut self, from: &SourceDocument, form: Form, place: Place<'_>) {
        let written = [
            ("mount", from.mount.is_some()),
            ("poll", from.poll.is_some()),
            ("max_stale", from.max_stale.is_some()),
            ("parameters", !from.parameters.is_empty()),
        ];
        for (name, is_written) in written {
            if is_written && !form.takes(name) {
                let message = format!("`{name}` does not go with `{}`", form.name());
                let help = format!("{}: remove `{name}`", form.nature());
                self.fault(Code::BadCombination, place.field(name), message, &help);
            }
        }
    }

    /// Parts a KV path into its mount and the rest.
    fn below_mount(&mut self, path: &str, place: Place<'_>) -> Option<(String, String)> {
        match path.split_once('/') {
            Some((mount, path)) => Some((mount.to_owned(), path.to_owned())),
            None => {
                let message = "this is a mount without a path below it";
                let help = "write mount and path, like `kv/payments/api`";
                self.fault(Code::BadPath, place, message, help);
                None
            }
        }
    }

    /// Refuses a path that would make the key at the provider and send it.
    fn signing(&mut self, path: String, place: Place<'_>) -> String {
        let mut segments = path.rsplit('/').skip(1);
        if segments.next() == Some("issue") {
            let message = "this path makes the key at the provider and sends it";
            let help = "write the path that signs, like `pki/sign/web`: the key is made in memory";
            self.fault(Code::BadPath, place, message, help);
        }
        path
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

/// By which field a source says what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Lease,
    Static,
    Certificate,
    Kv,
    Kv1,
    Path,
    Token,
    Jwt,
}

impl Form {
    const ALL: [Self; 8] = [
        Self::Lease,
        Self::Static,
        Self::Certificate,
        Self::Kv,
        Self::Kv1,
        Self::Path,
        Self::Token,
        Self::Jwt,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Static => "static",
            Self::Certificate => "certificate",
            Self::Kv => "kv",
            Self::Kv1 => "kv1",
            Self::Path => "path",
            Self::Token => "oauth",
            Self::Jwt => "jwt",
        }
    }

    /// Tells whether each fetch makes a new credential, so that each consumer can have its own.
    pub(super) const fn is_issued(self) -> bool {
        matches!(self, Self::Lease | Self::Certificate | Self::Jwt)
    }

    /// Tells whether the field is written.
    fn is_in(self, from: &SourceDocument) -> bool {
        match self {
            Self::Token => from.oauth.is_some(),
            Self::Jwt => from.jwt.is_some(),
            // Where the key of a token is.
            Self::Path if from.jwt.is_some() => false,
            _ => self.of(from).is_some(),
        }
    }

    /// Returns the path that is written in the field.
    fn of(self, from: &SourceDocument) -> Option<&str> {
        let written = match self {
            Self::Lease => &from.lease,
            Self::Static => &from.rotating,
            Self::Certificate => &from.certificate,
            Self::Kv => &from.kv,
            Self::Kv1 => &from.kv1,
            Self::Path => &from.path,
            Self::Token | Self::Jwt => &None,
        };
        written.as_deref()
    }

    /// Tells whether a provider of the kind has it.
    const fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Lease | Self::Static | Self::Certificate | Self::Kv | Self::Kv1 => {
                matches!(kind, Kind::Vault)
            }
            Self::Path => matches!(kind, Kind::Native),
            Self::Token => matches!(kind, Kind::Oauth),
            Self::Jwt => matches!(kind, Kind::Vault | Kind::Native),
        }
    }

    /// Tells whether a field of the source says something beside the form.
    fn takes(self, field: &str) -> bool {
        match field {
            "mount" => self == Self::Kv,
            "parameters" => matches!(self, Self::Lease | Self::Certificate),
            "poll" => matches!(self, Self::Kv | Self::Kv1 | Self::Path),
            _ => !self.is_issued() && self != Self::Token,
        }
    }

    /// Says what the form is, as the reason why a field is out of place beside it.
    const fn nature(self) -> &'static str {
        match self {
            Self::Lease => "a lease is one path and ages by its own times",
            Self::Static => "the provider says when it changes the password",
            Self::Certificate => "a certificate is one path and says until when it is valid",
            Self::Token => "a token is what the server issues and says until when it is valid",
            Self::Jwt => "a token is signed anew and says until when it is good",
            Self::Kv | Self::Kv1 | Self::Path => "a stored value is read as it is",
        }
    }
}

/// What a provider is, as far as its sources go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vault,
    Native,
    Oauth,
}

impl Kind {
    pub(super) const fn of(provider: &ProviderDocument) -> Self {
        match provider {
            ProviderDocument::Vault { .. } => Self::Vault,
            ProviderDocument::Native { .. } => Self::Native,
            ProviderDocument::Oauth { .. } => Self::Oauth,
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Vault => "Vault",
            Self::Native => "the native provider",
            Self::Oauth => "an OAuth server",
        }
    }

    const fn default_poll(self) -> Duration {
        match self {
            Self::Vault => Duration::from_secs(30),
            Self::Native | Self::Oauth => Duration::from_secs(1),
        }
    }
}

pub(super) fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && !matches!(segment, "." | "..")
        && segment.bytes().all(|each| each.is_ascii_graphic())
        && !segment.contains(['?', '#', '%', '\\'])
}

const DEFAULT_MAX_STALE: Duration = Duration::from_secs(60 * 60);
const LEAST_POLL: Duration = Duration::from_millis(100);
/// A password that changed is read within seconds of the change.
const LEAST_STALE: Duration = Duration::from_secs(5);
const SOURCE_HELP: &str = "Vault has `lease: database/creds/orders`, `static: \
                           database/static-creds/orders`, `certificate: pki/sign/web`, `kv: \
                           kv/payments/api` and `kv1: kv1/payments/api`; the native provider has \
                           `path: payments/api`, and cannot lease; both have `jwt`; an OAuth server has `oauth: \
                           { scope: crm.read }`";
