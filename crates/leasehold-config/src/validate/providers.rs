use std::collections::BTreeMap;

use leasehold_model::ProviderName;
use url::Url;

use super::source::is_segment;
use super::{Check, in_order};
use crate::code::Code;
use crate::document::{AnchorDocument, OneOrMany, ProviderDocument};
use crate::node::Place;
use crate::snapshot::{Anchor, Native, Provider, ProviderKind, Vault};

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
                anchor,
            } => {
                let addresses = self.addresses(address, place.field("address"));
                let namespace = namespace.map(|it| self.segments(&it, place.field("namespace")));
                let auth = self.auth(*auth, name, &addresses, place.field("auth"));
                let anchor = anchor.map(|it| self.anchor(it, place.field("anchor")));
                Some(ProviderKind::Vault(Vault {
                    addresses,
                    namespace,
                    ca: ca.map(|path| self.path(path)),
                    auth: auth?,
                    anchor,
                }))
            }
            ProviderDocument::Native { file, key_file } => Some(ProviderKind::Native(Native {
                file: self.path(file),
                key_file: self.path(key_file),
            })),
            ProviderDocument::Oauth {
                token_endpoint,
                ca,
                default_life,
                client,
            } => {
                let written = (token_endpoint, ca, default_life);
                self.oauth(name, written, *client, place)
                    .map(ProviderKind::Oauth)
            }
        }
    }

    fn addresses(&mut self, written: OneOrMany, place: Place<'_>) -> Vec<Url> {
        match written {
            OneOrMany::One(text) => self.origin(&text, place).into_iter().collect(),
            OneOrMany::Many(texts) => self.origins(&texts, place),
        }
    }

    fn anchor(&mut self, anchor: AnchorDocument, place: Place<'_>) -> Anchor {
        let AnchorDocument { token_role } = anchor;
        let place = place.field("token_role");
        if !is_segment(&token_role) || token_role.contains('/') {
            self.report.hide_unless_name(place.node());
            let help =
                "write the role's name alone, like `leasehold` for `auth/token/roles/leasehold`";
            self.fault(
                Code::BadName,
                place,
                "this is not the name of a token role",
                help,
            );
        }
        Anchor { token_role }
    }

    /// Reads a list of URLs that are scheme, host and port.
    pub(super) fn origins(&mut self, texts: &[String], place: Place<'_>) -> Vec<Url> {
        let read = texts.iter().enumerate();
        read.filter_map(|(index, text)| self.origin(text, place.item(index)))
            .collect()
    }
}
