use std::path::PathBuf;

use url::Url;

use super::Check;
use crate::code::Code;
use crate::document::{
    AppRoleDocument, AuthDocument, AwsCredentialsDocument, AwsCredentialsWord, AwsDocument,
    CertDocument, JwtDocument, KubernetesDocument, SecretIdDocument,
};
use crate::node::Place;
use crate::snapshot::auth::{AuthMethod, AwsCredentials, SecretId, TokenFile};

impl Check<'_> {
    /// Reads the one method that the gateway logs in to `provider` with.
    pub(super) fn auth(
        &mut self,
        auth: AuthDocument,
        provider: &str,
        addresses: &[Url],
        place: Place<'_>,
    ) -> Option<AuthMethod> {
        let written = ["providers", provider, "auth"];
        let methods = [
            auth.approle
                .map(|it| self.approle(it, &written, place.field("approle"))),
            auth.kubernetes
                .map(|it| Some(self.kubernetes(it, place.field("kubernetes")))),
            auth.jwt.map(|it| Some(self.jwt(it, place.field("jwt")))),
            auth.cert
                .map(|it| Some(self.cert(it, addresses, place.field("cert")))),
            auth.aws.map(|it| Some(self.aws(it, place.field("aws")))),
        ];
        let mut methods = methods.into_iter().flatten();
        if let (Some(method), None) = (methods.next(), methods.next()) {
            return method;
        }
        if self.is_whole(&written, place) {
            let message = "the gateway logs in by exactly one method";
            self.fault(Code::BadCombination, place, message, METHODS_HELP);
        }
        None
    }

    fn approle(
        &mut self,
        approle: AppRoleDocument,
        auth: &[&str],
        place: Place<'_>,
    ) -> Option<AuthMethod> {
        let mount = self.mount(approle.mount, "approle", place);
        let written = [auth, &["approle", "secret_id"]].concat();
        let place = place.field("secret_id");
        let whole = self.is_whole(&written, place);
        let secret_id = self.secret_id(approle.secret_id, whole, place);
        Some(AuthMethod::AppRole {
            mount,
            role_id: approle.role_id,
            secret_id: secret_id?,
        })
    }

    fn secret_id(
        &mut self,
        written: SecretIdDocument,
        whole: bool,
        place: Place<'_>,
    ) -> Option<SecretId> {
        let wrapped = written.wrapped.unwrap_or(false);
        match (written.file, written.env) {
            (Some(file), None) if wrapped => Some(SecretId::Wrapped(self.path(file))),
            (Some(file), None) => Some(SecretId::File(self.path(file))),
            (None, Some(_)) if wrapped => {
                let message = "`wrapped` goes with `file` and not with `env`";
                let help = "a wrapping token opens once: the next one could not be delivered \
                            without a restart";
                let place = place.field("wrapped");
                self.fault(Code::BadCombination, place, message, help);
                None
            }
            (None, Some(name)) => {
                self.variable(&name, place.field("env"));
                Some(SecretId::Env(name))
            }
            (Some(_), Some(_)) | (None, None) => {
                if !whole {
                    return None;
                }
                let message = "a secret id comes from exactly one of `file` and `env`";
                self.fault(Code::BadCombination, place, message, "");
                None
            }
        }
    }

    fn kubernetes(&mut self, written: KubernetesDocument, place: Place<'_>) -> AuthMethod {
        let file = written.token_file;
        AuthMethod::Kubernetes(TokenFile {
            mount: self.mount(written.mount, "kubernetes", place),
            role: written.role,
            file: self.path(file.unwrap_or_else(|| PathBuf::from(SERVICE_ACCOUNT_TOKEN))),
        })
    }

    fn jwt(&mut self, written: JwtDocument, place: Place<'_>) -> AuthMethod {
        AuthMethod::Jwt(TokenFile {
            mount: self.mount(written.mount, "jwt", place),
            role: written.role,
            file: self.path(written.file),
        })
    }

    fn cert(&mut self, written: CertDocument, addresses: &[Url], place: Place<'_>) -> AuthMethod {
        if addresses.iter().any(|address| address.scheme() != "https") {
            let message = "a certificate can only be shown to `https` addresses";
            let help = "reach every address of the provider over TLS, or log in otherwise";
            self.fault(Code::BadCombination, place, message, help);
        }
        AuthMethod::Certificate {
            mount: self.mount(written.mount, "cert", place),
            role: written.role,
            certificate: self.path(written.certificate),
            key: self.path(written.key),
        }
    }

    fn aws(&mut self, written: AwsDocument, place: Place<'_>) -> AuthMethod {
        let region = written.region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        if !is_region(&region) {
            self.report.hide_unless_name(place.field("region").node());
            let message = "this is not an AWS region";
            let help = "write its code, like `eu-west-1`";
            self.fault(Code::BadName, place.field("region"), message, help);
        }
        if let Some(server_id) = &written.server_id {
            self.header_value(server_id, place.field("server_id"));
        }
        AuthMethod::AwsIam {
            mount: self.mount(written.mount, "aws", place),
            role: written.role,
            region,
            server_id: written.server_id,
            credentials: match written.credentials {
                AwsCredentialsDocument::Word(AwsCredentialsWord::Environment) => {
                    AwsCredentials::Environment
                }
                AwsCredentialsDocument::File(written) => AwsCredentials::File {
                    file: self.path(written.file),
                    profile: written
                        .profile
                        .unwrap_or_else(|| DEFAULT_PROFILE.to_owned()),
                },
            },
        }
    }

    fn mount(&mut self, written: Option<String>, default: &str, place: Place<'_>) -> String {
        match written {
            Some(text) => self.segments(&text, place.field("mount")),
            None => default.to_owned(),
        }
    }

    /// Checks the name of an environment variable.
    fn variable(&mut self, name: &str, place: Place<'_>) {
        let plain = |each: u8| each.is_ascii_alphanumeric() || each == b'_';
        let starts = |each: u8| !each.is_ascii_digit();
        if name.bytes().all(plain) && name.bytes().next().is_some_and(starts) {
            return;
        }
        self.report.hide(place.node());
        let message = "this is not the name of an environment variable";
        let help = "write the variable's name, like `LEASEHOLD_SECRET_ID`, never its value";
        self.fault(Code::BadName, place, message, help);
    }

    /// Checks a text that is sent in a header.
    fn header_value(&mut self, text: &str, place: Place<'_>) {
        let visible = |each: u8| each.is_ascii_graphic() || each == b' ';
        if !text.is_empty() && text.trim() == text && text.bytes().all(visible) {
            return;
        }
        self.report.hide_unless_name(place.node());
        let message = "this can't stand in a header";
        self.fault(Code::BadHeader, place, message, "write ASCII text");
    }
}

fn is_region(text: &str) -> bool {
    let plain = |each: u8| each.is_ascii_lowercase() || each.is_ascii_digit() || each == b'-';
    !text.is_empty() && text.len() <= LONGEST_REGION && text.bytes().all(plain)
}

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// The region of `sts.amazonaws.com`, which Vault asks unless it is told otherwise.
const DEFAULT_REGION: &str = "us-east-1";
const LONGEST_REGION: usize = 32;
const DEFAULT_PROFILE: &str = "default";
const METHODS_HELP: &str = "write one of `approle`, `kubernetes`, `jwt`, `cert` and `aws`";
