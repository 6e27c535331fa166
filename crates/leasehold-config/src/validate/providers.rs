use std::collections::BTreeMap;

use leasehold_model::ProviderName;
use url::Url;

use super::{Check, in_order};
use crate::document::{OneOrMany, ProviderDocument};
use crate::node::Place;
use crate::snapshot::{Native, Provider, ProviderKind, Vault};

impl Check<'_> {
    pub(super) fn providers(
        &mut self,
        providers: BTreeMap<String, ProviderDocument>,
        root: Place<'_>,
    ) -> Vec<Provider> {
        let place = root.field("providers");
        let providers = in_order(providers, place).into_iter();
        let read = providers.filter_map(|(name, provider)| {
            let kind = self.provider(&name, provider, place.field(&name))?;
            let name = ProviderName::from(name.as_str());
            Some(Provider { name, kind })
        });
        read.collect()
    }

    fn provider(
        &mut self,
        name: &str,
        provider: ProviderDocument,
        place: Place<'_>,
    ) -> Option<ProviderKind> {
        match provider {
            ProviderDocument::Vault {
                address,
                namespace,
                ca,
                auth,
            } => {
                let addresses = self.addresses(address, place.field("address"));
                let namespace = namespace.map(|it| self.segments(&it, place.field("namespace")));
                let auth = self.auth(*auth, name, &addresses, place.field("auth"));
                Some(ProviderKind::Vault(Vault {
                    addresses,
                    namespace,
                    ca: ca.map(|path| self.path(path)),
                    auth: auth?,
                }))
            }
            ProviderDocument::Native { file, key_file } => Some(ProviderKind::Native(Native {
                file: self.path(file),
                key_file: self.path(key_file),
            })),
        }
    }

    fn addresses(&mut self, written: OneOrMany, place: Place<'_>) -> Vec<Url> {
        match written {
            OneOrMany::One(text) => self.origin(&text, place).into_iter().collect(),
            OneOrMany::Many(texts) => self.origins(&texts, place),
        }
    }

    /// Reads a list of URLs that are scheme, host and port.
    pub(super) fn origins(&mut self, texts: &[String], place: Place<'_>) -> Vec<Url> {
        let read = texts.iter().enumerate();
        read.filter_map(|(index, text)| self.origin(text, place.item(index)))
            .collect()
    }
}
