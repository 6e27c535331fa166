use std::collections::BTreeMap;

use leasehold_model::{CredentialName, ProviderName};

use super::source::Kind;
use super::{Check, PROVIDER, in_order};
use crate::document::{CredentialDocument, ProviderDocument};
use crate::node::Place;
use crate::snapshot::Credential;

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
            let CredentialDocument { from, per, hosts } = credential;
            let place = section.field(&name);
            let at_from = place.field("from");
            self.reference(&from.provider, PROVIDER, at_from.field("provider"));
            if let Some(field) = &from.field {
                self.field_name(field, at_from.field("field"));
            }
            let kind = providers.get(&from.provider).map(Kind::of);
            let whole = self.is_whole(&["credentials", &name, "from"], at_from);
            let form = self.form(&from, whole, at_from);
            let per = self.per(per, form, place.field("per"));
            let hosts = self.hosts(hosts, place.field("hosts"));
            let source = form.and_then(|form| self.source(&from, form, (kind, per), at_from));
            if let Some(source) = source {
                read.push(Credential {
                    name: CredentialName::from(name.as_str()),
                    provider: ProviderName::from(from.provider.as_str()),
                    source,
                    field: from.field,
                    per,
                    hosts,
                });
            }
        }
        read
    }
}
