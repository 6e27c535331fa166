use anyhow::Result;
use serde_json::{Value, json};

use crate::{OpenBao, Postgres};

/// Configures everything that [`crate::Lab`] promises.
pub(crate) async fn all(bao: &OpenBao, postgres: &Postgres) -> Result<()> {
    key_value(bao).await?;
    database(bao, postgres).await?;
    pki(bao).await?;
    post(bao, "sys/mounts/transit", json!({ "type": "transit" })).await?;
    logins(bao).await
}

/// Makes a role that creates one PostgreSQL user a credential.
pub(super) async fn database_role(
    bao: &OpenBao,
    name: &str,
    ttl: &str,
    max_ttl: &str,
) -> Result<()> {
    let role = json!({
        "db_name": CONNECTION,
        "creation_statements": creation_statement(),
        "default_ttl": ttl,
        "max_ttl": max_ttl,
    });
    post(bao, &format!("database/roles/{name}"), role).await
}

async fn key_value(bao: &OpenBao) -> Result<()> {
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    post(bao, "sys/mounts/kv", mount).await?;
    bao.kv_put("kv", "app", json!({ "api_key": "v1-secret" }))
        .await?;
    post(bao, "sys/mounts/kv1", json!({ "type": "kv" })).await?;
    post(bao, "kv1/legacy", json!({ "api_key": "v1-secret" })).await
}

async fn database(bao: &OpenBao, postgres: &Postgres) -> Result<()> {
    let mount = json!({ "type": "database" });
    post(bao, "sys/mounts/database", mount).await?;
    let url = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/{}?sslmode=disable",
        postgres.port(),
        Postgres::DATABASE
    );
    // The passwords are sent to PostgreSQL as they are, so that it hashes them in its own, cheap
    // way; `password_authentication` would have OpenBao hash them 4,096 times.
    let connection = json!({
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "*",
        "connection_url": url,
        "username": Postgres::MANAGER,
        "password": postgres.manager_password(),
        "max_open_connections": 8,
    });
    post(bao, &format!("database/config/{CONNECTION}"), connection).await?;
    for (name, ttl, max_ttl) in DATABASE_ROLES {
        database_role(bao, name, ttl, max_ttl).await?;
    }
    let bad_renew = json!({
        "db_name": CONNECTION,
        "creation_statements": creation_statement(),
        "renew_statements": "SELECT no_such_function();",
        "default_ttl": "30s",
        "max_ttl": "10m",
    });
    post(bao, "database/roles/badrenew", bad_renew).await?;
    let service = json!({
        "db_name": CONNECTION,
        "username": Postgres::STATIC_USER,
        "rotation_period": "30s",
    });
    post(bao, "database/static-roles/svc", service).await
}

async fn pki(bao: &OpenBao) -> Result<()> {
    let mount = json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } });
    post(bao, "sys/mounts/pki", mount).await?;
    let root = json!({
        "common_name": "lab root", "ttl": "87600h", "key_type": "ec", "key_bits": 256,
    });
    post(bao, "pki/root/generate/internal", root).await?;
    for (name, lease) in [("nolease", false), ("lease", true)] {
        let role = json!({
            "allow_any_name": true, "ttl": "1h", "generate_lease": lease,
            "key_type": "ec", "key_bits": 256,
        });
        post(bao, &format!("pki/roles/{name}"), role).await?;
    }
    Ok(())
}

async fn logins(bao: &OpenBao) -> Result<()> {
    let policy = json!({ "policy": POLICY });
    post(bao, "sys/policies/acl/gateway", policy).await?;
    let anchor = json!({
        "orphan": true,
        "renewable": true,
        "token_period": "1h",
        "allowed_policies": ["gateway"],
    });
    post(bao, "auth/token/roles/leasehold", anchor).await?;
    post(bao, "sys/auth/approle", json!({ "type": "approle" })).await?;
    for (name, role) in approles() {
        post(bao, &format!("auth/approle/role/{name}"), role).await?;
    }
    Ok(())
}

fn approles() -> [(&'static str, Value); 5] {
    let role = |ttl: &str, max_ttl: &str| json!({ "token_policies": "gateway", "token_ttl": ttl, "token_max_ttl": max_ttl });
    let periodic = json!({ "token_policies": "gateway", "token_period": "60s" });
    let batch = json!({ "token_policies": "gateway", "token_type": "batch", "token_ttl": "60s" });
    [
        ("gateway", role("1h", "24h")),
        ("gateway-short", role("60s", "180s")),
        ("gateway-tiny", role("6s", "15s")),
        ("gateway-periodic", periodic),
        ("gateway-batch", batch),
    ]
}

fn creation_statement() -> String {
    format!(
        "CREATE ROLE \"{{{{name}}}}\" WITH LOGIN PASSWORD '{{{{password}}}}' \
         VALID UNTIL '{{{{expiration}}}}' IN ROLE {};",
        Postgres::GROUP
    )
}

async fn post(bao: &OpenBao, path: &str, body: Value) -> Result<()> {
    bao.api("POST", path, Some(body)).await?;
    Ok(())
}

const CONNECTION: &str = "pg";
const DATABASE_ROLES: [(&str, &str, &str); 4] = [
    ("app", "60s", "180s"),
    ("short", "10s", "30s"),
    ("tiny", "3s", "8s"),
    ("long", "1h", "24h"),
];
/// What a gateway may do: read credentials, look after its own leases and mint its anchor.
const POLICY: &str = r#"
path "database/creds/*" { capabilities = ["read"] }
path "database/static-creds/*" { capabilities = ["read"] }
path "kv/data/*" { capabilities = ["read"] }
path "kv/metadata/*" { capabilities = ["read"] }
path "kv1/*" { capabilities = ["read"] }
path "pki/issue/*" { capabilities = ["update"] }
path "pki/sign/*" { capabilities = ["update"] }
path "transit/keys/*" { capabilities = ["read"] }
path "transit/sign/*" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }
path "auth/token/create/leasehold" { capabilities = ["update"] }
path "auth/token/renew-accessor" { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
"#;
