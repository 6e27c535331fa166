use leasehold_config::{AuthMethod, AwsCredentials, SecretId, TokenFile, Vault};
use leasehold_model::{InstanceName, ProviderName};
use leasehold_provider_vault as room;
use leasehold_provider_vault::VaultConfig;
use tracing::warn;
use url::{Host, Url};

/// Says to the provider's room what the document says of a cluster and of the login there.
pub(crate) fn config(name: &ProviderName, instance: &InstanceName, vault: &Vault) -> VaultConfig {
    for address in vault.addresses.iter().filter(|it| goes_out_in_clear(it)) {
        warn!(
            provider = %name,
            %address,
            "the provider is reached without TLS: who listens on the way reads its tokens and secrets"
        );
    }
    VaultConfig {
        name: name.clone(),
        addresses: vault.addresses.clone(),
        namespace: vault.namespace.clone(),
        ca: vault.ca.clone(),
        auth: auth(&vault.auth),
        instance: instance.clone(),
        token_role: vault.anchor.as_ref().map(|it| it.token_role.clone()),
    }
}

fn auth(declared: &AuthMethod) -> room::AuthMethod {
    match declared {
        AuthMethod::AppRole {
            mount,
            role_id,
            secret_id,
        } => room::AuthMethod::AppRole(room::AppRole {
            mount: mount.clone(),
            role_id: role_id.clone(),
            secret_id: match secret_id {
                SecretId::File(file) => room::SecretId::File(file.clone()),
                SecretId::Env(name) => room::SecretId::Env(name.clone()),
                SecretId::Wrapped(file) => room::SecretId::Wrapped(file.clone()),
            },
        }),
        AuthMethod::Kubernetes(token) => room::AuthMethod::Kubernetes(token_file(token)),
        AuthMethod::Jwt(token) => room::AuthMethod::Jwt(token_file(token)),
        AuthMethod::Certificate {
            mount,
            role,
            certificate,
            key,
        } => room::AuthMethod::Certificate(room::ClientCertificate {
            mount: mount.clone(),
            role: role.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        AuthMethod::AwsIam {
            mount,
            role,
            region,
            server_id,
            credentials,
        } => room::AuthMethod::AwsIam(room::AwsIam {
            mount: mount.clone(),
            role: role.clone(),
            region: region.clone(),
            server_id: server_id.clone(),
            credentials: aws_credentials(credentials),
        }),
    }
}

fn token_file(declared: &TokenFile) -> room::TokenFile {
    room::TokenFile {
        mount: declared.mount.clone(),
        role: declared.role.clone(),
        file: declared.file.clone(),
    }
}

fn aws_credentials(declared: &AwsCredentials) -> room::AwsCredentials {
    match declared {
        AwsCredentials::Environment => room::AwsCredentials::Environment,
        AwsCredentials::File { file, profile } => room::AwsCredentials::File {
            file: file.clone(),
            profile: profile.clone(),
        },
    }
}

/// Tells whether what is sent there leaves the machine, and in clear.
fn goes_out_in_clear(address: &Url) -> bool {
    let loopback = match address.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    address.scheme() == "http" && !loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_machine_in_clear_is_warned_of() {
        let of = |address: &str| goes_out_in_clear(&address.parse().expect("a url"));
        for address in [
            "http://vault:8200",
            "http://10.0.0.7:8200",
            "http://[2001:db8::1]:8200",
        ] {
            assert!(of(address), "{address}");
        }
        for address in [
            "https://vault:8200",
            "http://127.0.0.1:8200",
            "http://[::1]:8200",
            "http://localhost:8200",
        ] {
            assert!(!of(address), "{address}");
        }
    }
}
