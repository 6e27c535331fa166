//! OAuth 2.0 authorization servers, and what proves the gateway to be their client.

use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::CredentialName;
use url::{Host, Url};

use super::url::has_user_info;
use super::{CREDENTIAL, Check};
use crate::code::Code;
use crate::document::{DurationText, OauthClientDocument, OauthMethodWord};
use crate::fault::Fault;
use crate::node::Place;
use crate::secret_scan;
use crate::snapshot::oauth::{ClientId, ClientMethod, Oauth};
use crate::snapshot::{Per, ProviderKind, Snapshot};

impl Check<'_> {
    /// Reads an authorization server.
    pub(super) fn oauth(
        &mut self,
        name: &str,
        (endpoint, ca, life): (String, Option<PathBuf>, Option<DurationText>),
        client: OauthClientDocument,
        place: Place<'_>,
    ) -> Option<Oauth> {
        let at_client = place.field("client");
        let whole = self.is_whole(&["providers", name, "client"], at_client);
        self.reference(
            &client.credential,
            CREDENTIAL,
            at_client.field("credential"),
        );
        let at_endpoint = place.field("token_endpoint");
        let token_endpoint = self.token_endpoint(&endpoint, client.method, at_endpoint);
        let at_life = place.field("default_life");
        let default_life = self.duration(life.as_ref(), DEFAULT_LIFE, LEAST_LIFE, at_life);
        let method = self.client_method(&client, at_client);
        let parent = CredentialName::from(client.credential.as_str());
        let client_id = self.client_id(client.id, client.id_field, whole, at_client);
        Some(Oauth {
            token_endpoint: token_endpoint?,
            ca: ca.map(|path| self.path(path)),
            default_life,
            parent,
            client_id: client_id?,
            method,
        })
    }

    /// Reports what proves a client and can't be held for that.
    pub(super) fn clients_are_leased(&mut self, snapshot: &Snapshot, root: Place<'_>) {
        for provider in &snapshot.providers {
            let ProviderKind::Oauth(oauth) = &provider.kind else {
                continue;
            };
            let mut credentials = snapshot.credentials.iter();
            let parent = credentials.find(|it| it.name == oauth.parent);
            let Some(parent) = parent else {
                continue;
            };
            let mut providers = snapshot.providers.iter();
            let from = providers.find(|it| it.name == parent.provider);
            let is_token = from.is_some_and(|it| matches!(it.kind, ProviderKind::Oauth(_)));
            let message = if is_token {
                "the client would be proved by a token of an OAuth server"
            } else if parent.per != Per::Instance {
                "the client would be proved by what each consumer has one of"
            } else {
                continue;
            };
            let place = root.field("providers").field(provider.name.as_str());
            let place = place.field("client").field("credential");
            let help =
                "name a credential of the gateway's own that comes from another kind of provider";
            self.fault(Code::BadCombination, place, message, help);
        }
    }

    /// Reads the URL of a token endpoint, which may have a path.
    fn token_endpoint(
        &mut self,
        text: &str,
        method: OauthMethodWord,
        place: Place<'_>,
    ) -> Option<Url> {
        self.mask_url(text, place);
        let problem = match Url::parse(text) {
            Ok(url) if has_user_info(&url) => {
                let what = "the user name or password of a URL";
                let fault = secret_scan::in_document(place.span(), what);
                self.report.add(fault);
                return None;
            }
            Ok(url) => match problem(&url, method) {
                None => return Some(url),
                Some(problem) => problem,
            },
            Err(_) => "is not a URL",
        };
        let fault = Fault::new(Code::BadUrl, place.span(), format!("this {problem}"));
        let help = "write the whole URL, like `https://idp.example.com/oauth/token`";
        self.report.add(fault.with_help(help));
        None
    }

    fn client_id(
        &mut self,
        id: Option<String>,
        field: Option<String>,
        whole: bool,
        place: Place<'_>,
    ) -> Option<ClientId> {
        match (id, field) {
            (Some(id), None) => {
                if id.is_empty() || id.contains(char::is_control) {
                    let message = "this is no client identifier";
                    let help = "write it as the authorization server has it";
                    self.fault(Code::BadName, place.field("id"), message, help);
                }
                Some(ClientId::Fixed(id))
            }
            (None, Some(field)) => {
                self.field_name(&field, place.field("id_field"));
                Some(ClientId::Field(field))
            }
            _ if !whole => None,
            _ => {
                let message = "a client has exactly one of `id` and `id_field`";
                let help =
                    "write `id: leasehold`, or `id_field: client_id` where the credential holds it";
                self.fault(Code::BadCombination, place, message, help);
                None
            }
        }
    }

    fn client_method(&mut self, client: &OauthClientDocument, place: Place<'_>) -> ClientMethod {
        let written = [
            ("secret", &client.secret),
            ("key", &client.key),
            ("key_id", &client.key_id),
            ("certificate", &client.certificate),
            ("chain", &client.chain),
        ];
        let takes = fields_of(client.method);
        for (name, value) in written {
            let Some(value) = value else { continue };
            if !takes.contains(&name) {
                let message = format!("`{name}` does not go with this `method`");
                let help = format!("remove it: the method has {}", takes.join(", "));
                self.fault(Code::BadCombination, place.field(name), message, &help);
            } else if name != "key_id" {
                self.field_name(value, place.field(name));
            }
        }
        let or = |field: &Option<String>, default: &str| {
            field.clone().unwrap_or_else(|| default.to_owned())
        };
        let secret = or(&client.secret, "client_secret");
        let key = or(&client.key, "private_key");
        match client.method {
            OauthMethodWord::ClientSecretBasic => ClientMethod::SecretBasic { secret },
            OauthMethodWord::ClientSecretPost => ClientMethod::SecretPost { secret },
            OauthMethodWord::PrivateKeyJwt => ClientMethod::PrivateKeyJwt {
                key,
                key_id: client.key_id.clone(),
            },
            OauthMethodWord::TlsClientAuth => ClientMethod::Tls {
                certificate: or(&client.certificate, "certificate"),
                key,
                chain: client.chain.clone(),
            },
        }
    }
}

const fn fields_of(method: OauthMethodWord) -> &'static [&'static str] {
    match method {
        OauthMethodWord::ClientSecretBasic | OauthMethodWord::ClientSecretPost => &["secret"],
        OauthMethodWord::PrivateKeyJwt => &["key", "key_id"],
        OauthMethodWord::TlsClientAuth => &["certificate", "key", "chain"],
    }
}

fn problem(url: &Url, method: OauthMethodWord) -> Option<&'static str> {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Some("URL has no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if method == OauthMethodWord::TlsClientAuth => {
            return Some("URL is not `https`, and a certificate is shown at a TLS handshake");
        }
        "http" if loopback => {}
        "http" => return Some("URL is not `https`: the client's secret would go in clear"),
        _ => return Some("URL is neither `http` nor `https`"),
    }
    if url.port() == Some(0) {
        return Some("URL has the port 0");
    }
    let extra = url.query().is_some() || url.fragment().is_some();
    extra.then_some("URL has a query or a fragment")
}

const DEFAULT_LIFE: Duration = Duration::from_secs(5 * 60);
const LEAST_LIFE: Duration = Duration::from_secs(1);
