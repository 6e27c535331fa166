//! Turns the document into a snapshot: fills in defaults, reads addresses, durations and digests,
//! follows references, and reports everything that is wrong on the way.

mod auth;
mod bound;
mod consumers;
mod credentials;
mod gateway;
mod injection;
mod issuers;
mod jwt;
mod limits;
mod listeners;
mod oauth;
mod per;
mod providers;
mod routes;
mod source;
mod telemetry;
mod text;
mod upstream_traffic;
mod upstreams;
mod url;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::document::Document;
use crate::fault::Fault;
use crate::node::{Node, Place};
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::words;

/// Reads a document that has the shape of one.
///
/// `written` is the whole tree and says which names are declared, also by a part with a fault;
/// `sound` is the tree that the document was made from. What is returned is the configuration only
/// if the report is empty then.
pub(crate) fn validate(
    document: Document,
    base: &Path,
    written: &Node,
    sound: &Node,
    report: &mut Report,
) -> Snapshot {
    let root = Place::root(sound);
    let mut check = Check {
        written,
        base,
        report,
    };
    let fields = check.header_fields(&document.credentials, root);
    let admin = check.admin(document.admin, root);
    let key_header = check.consumer_key_header(document.consumer_key_header, root);
    let snapshot = Snapshot {
        instance: check.instance(document.instance, root),
        workers: gateway::workers(document.workers),
        listeners: check.listeners(document.listeners, admin.address, root),
        admin,
        access_record: check.access_record(document.access_record, root),
        telemetry: check.telemetry(document.telemetry, root),
        ledger: check.ledger(document.ledger),
        shutdown: check.shutdown(document.shutdown, root),
        token_issuers: check.token_issuers(document.token_issuers, &key_header, root),
        identity_headers: check.identity_headers(document.identity_headers, root),
        consumer_key_header: key_header,
        credentials: check.credentials(document.credentials, &document.providers, root),
        providers: check.providers(document.providers, root),
        upstreams: check.upstreams(document.upstreams, &fields, root),
        consumers: check.consumers(document.consumers, root),
        rate_limits: check.rate_limits(document.rate_limits, root),
        concurrency_limits: check.concurrency_limits(document.concurrency_limits, root),
        path_policy: routes::matching::path_policy(document.path_policy),
        routes: check.routes(document.routes, root),
    };
    check.clients_are_leased(&snapshot, root);
    check.issued_for_somebody(&snapshot, root);
    check.credentials_are_for_somebody(&snapshot, root);
    check.bound_credentials_stay(&snapshot, root);
    check.edits_leave_what_is_ours(&snapshot, root);
    check.identity_is_apart(&snapshot, root);
    check.answers_are_looked_through(&snapshot, root);
    snapshot
}

/// What every part of the validation needs.
struct Check<'a> {
    written: &'a Node,
    base: &'a Path,
    report: &'a mut Report,
}

impl Check<'_> {
    fn fault(&mut self, code: Code, place: Place<'_>, message: impl Into<String>, help: &str) {
        let fault = Fault::new(code, place.span(), message);
        self.report.add(if help.is_empty() {
            fault
        } else {
            fault.with_help(help)
        });
    }

    /// Takes a path of the document from the directory that the document stands in.
    fn path(&self, written: PathBuf) -> PathBuf {
        self.base.join(written)
    }

    /// Tells whether the mapping that was written at `path` is still whole at `place`.
    ///
    /// Where a part of it had a fault of its own, what it lacks is not worth another one.
    fn is_whole(&self, path: &[&str], place: Place<'_>) -> bool {
        let written = path.iter().try_fold(self.written, |node, key| {
            node.get(key).map(|entry| &entry.value)
        });
        written.is_some_and(|node| node.entries().len() == place.node().entries().len())
    }

    /// Reports a reference that leads to nothing that is declared in `section`.
    fn reference(&mut self, name: &str, noun: Noun, place: Place<'_>) {
        let declared = self.written.get(noun.section);
        let declared = declared
            .map(|entry| entry.value.entries())
            .unwrap_or_default();
        if declared.iter().any(|entry| entry.key == name) {
            return;
        }
        self.report.hide_unless_name(place.node());
        let names = || declared.iter().map(|entry| entry.key.as_str());
        let meant = words::nearest(name, names()).filter(|meant| words::may_be_shown(meant));
        let help = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if declared.is_empty() => format!("nothing is declared under `{}`", noun.section),
            None => format!("declared are {}", words::list(names())),
        };
        let name = words::shown(name, "this");
        let message = format!("{name} is not a declared {}", noun.singular);
        self.fault(noun.unknown, place, message, &help);
    }
}

/// Puts what was declared in the order of the document.
fn in_order<T>(mut declared: BTreeMap<String, T>, section: Place<'_>) -> Vec<(String, T)> {
    let entries = section.node().entries().iter();
    entries
        .filter_map(|entry| declared.remove_entry(&entry.key))
        .collect()
}

/// Something that is declared in one place and referred to from others.
#[derive(Clone, Copy)]
struct Noun {
    singular: &'static str,
    section: &'static str,
    unknown: Code,
}

const PROVIDER: Noun = Noun {
    singular: "provider",
    section: "providers",
    unknown: Code::UnknownProvider,
};
const CREDENTIAL: Noun = Noun {
    singular: "credential",
    section: "credentials",
    unknown: Code::UnknownCredential,
};
const UPSTREAM: Noun = Noun {
    singular: "upstream",
    section: "upstreams",
    unknown: Code::UnknownUpstream,
};
const ISSUER: Noun = Noun {
    singular: "token issuer",
    section: "token_issuers",
    unknown: Code::UnknownIssuer,
};
const CONSUMER: Noun = Noun {
    singular: "consumer",
    section: "consumers",
    unknown: Code::UnknownConsumer,
};
