use std::collections::BTreeSet;
use std::time::Duration;

use url::Url;

use crate::code::Code;
use crate::document::{CorsDocument, OriginsDocument, OriginsWord};
use crate::node::Place;
use crate::snapshot::route::cors::{Cors, Origins};
use crate::snapshot::route::matching::Match;
use crate::validate::Check;

impl Check<'_> {
    pub(super) fn cors(
        &mut self,
        written: CorsDocument,
        matches: &Match,
        place: Place<'_>,
    ) -> Cors {
        let origins = self.origins_of_pages(written.origins, place.field("origins"));
        let credentials = written.credentials.unwrap_or_default();
        if credentials && origins == Origins::Any {
            let message = "credentials of users are for origins that are named, and not for `any`";
            let help = "list the origins, or leave `credentials` out";
            self.fault(
                Code::BadCombination,
                place.field("credentials"),
                message,
                help,
            );
        }
        let at_max_age = place.field("max_age");
        let max_age = written.max_age.as_ref();
        Cors {
            origins,
            methods: self.cors_methods(written.methods, matches, place.field("methods")),
            headers: self.header_names(&written.headers, place.field("headers")),
            expose: self.header_names(&written.expose, place.field("expose")),
            credentials,
            max_age: self.duration(max_age, DEFAULT_MAX_AGE, Duration::ZERO, at_max_age),
        }
    }

    fn origins_of_pages(&mut self, written: OriginsDocument, place: Place<'_>) -> Origins {
        let origins = match written {
            OriginsDocument::Word(OriginsWord::Any) => return Origins::Any,
            OriginsDocument::These(origins) => origins,
        };
        for (index, origin) in origins.iter().enumerate() {
            // Origins are compared byte by byte, so there is one way to write them.
            let parsed = Url::parse(origin).ok();
            let serialised = parsed.map(|url| url.origin().ascii_serialization());
            if serialised.as_ref() != Some(origin) {
                let place = place.item(index);
                self.report.hide_unless_name(place.node());
                let message = "this is not an origin as browsers send it";
                let help = "scheme and host in small letters, and a port only where it is not that \
                            of the scheme: `https://app.example.com`";
                self.fault(Code::BadOrigin, place, message, help);
            }
        }
        Origins::These(origins.into_iter().collect())
    }

    fn cors_methods(
        &mut self,
        written: Option<Vec<String>>,
        matches: &Match,
        place: Place<'_>,
    ) -> Vec<String> {
        let methods: BTreeSet<_> = match written {
            Some(methods) => self.methods(methods, place),
            None if matches.methods.is_empty() => DEFAULT_METHODS.map(str::to_owned).into(),
            None => matches.methods.clone(),
        };
        methods.into_iter().collect()
    }

    fn header_names(&mut self, written: &[String], place: Place<'_>) -> Vec<String> {
        let names = written.iter().enumerate();
        names
            .map(|(index, name)| self.header_name(name, place.item(index)))
            .collect()
    }
}

/// What pages may use without asking.
const DEFAULT_METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(5 * 60);
