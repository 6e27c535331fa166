use std::collections::BTreeMap;

use leasehold_model::ProviderName;
use url::Url;

use super::source::is_segment;
use super::{Check, in_order};
use crate::code::Code;
use crate::document::{AnchorDocument, AppRoleDocument, AuthDocument, OneOrMany, ProviderDocument};
use crate::node::Place;
use crate::snapshot::{Anchor, AppRole, Native, Provider, ProviderKind, Vault};

impl Check<'_> {
    pub(super) fn providers(
        &mut self,
        providers: BTreeMap<String, ProviderDocument>,
        root: Place<'_>,
    ) -> Vec<Provider> {
        let place = root.field("providers");
        let providers = in_order(providers, place).into_iter();
        let read = providers.map(|(name, provider)| Provider {
            kind: self.provider(provider, place.field(&name)),
            name: ProviderName::from(name.as_str()),
        });
        read.collect()
    }

    fn provider(&mut self, provider: ProviderDocument, place: Place<'_>) -> ProviderKind {
        match provider {
            ProviderDocument::Vault {
                address,
                namespace,
                ca,
                auth,
                anchor,
            } => ProviderKind::Vault(Vault {
                addresses: self.addresses(address, place.field("address")),
                namespace: namespace.map(|text| self.segments(&text, place.field("namespace"))),
                ca: ca.map(|path| self.path(path)),
                approle: self.approle(auth, place.field("auth").field("approle")),
                anchor: anchor.map(|anchor| self.anchor(anchor, place.field("anchor"))),
            }),
            ProviderDocument::Native { file, key_file } => ProviderKind::Native(Native {
                file: self.path(file),
                key_file: self.path(key_file),
            }),
        }
    }

    fn addresses(&mut self, written: OneOrMany, place: Place<'_>) -> Vec<Url> {
        match written {
            OneOrMany::One(text) => self.origin(&text, place).into_iter().collect(),
            OneOrMany::Many(texts) => self.origins(&texts, place),
        }
    }

    fn approle(&mut self, auth: AuthDocument, place: Place<'_>) -> AppRole {
        let AppRoleDocument {
            mount,
            role_id,
            secret_id,
        } = auth.approle;
        AppRole {
            mount: mount.map_or_else(
                || DEFAULT_APPROLE_MOUNT.to_owned(),
                |text| self.segments(&text, place.field("mount")),
            ),
            role_id,
            secret_id_file: self.path(secret_id.file),
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

const DEFAULT_APPROLE_MOUNT: &str = "approle";
