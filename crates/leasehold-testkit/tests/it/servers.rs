use std::fs;
use std::path::Path;
use std::time::Duration;

use leasehold_testkit::{Lab, Postgres, wait};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

#[tokio::test]
async fn an_issued_user_can_log_in_with_its_own_password_only() {
    let lab = Lab::start().await.unwrap();
    let (user, password) = issue(&lab, "app").await;

    let client = lab
        .postgres
        .connect_as(&user, &password, Postgres::DATABASE);
    let client = client.await.unwrap();
    let rows = client.query("select v from t", &[]).await.unwrap();
    assert!(rows.is_empty());
    assert_eq!(
        lab.postgres.login_roles_like("v-").await.unwrap(),
        [user.as_str()]
    );

    let refused = lab.postgres.connect_as(&user, "wrong", Postgres::DATABASE);
    let error = refused.await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD));
}

#[tokio::test]
async fn a_gateway_can_log_in_issue_renew_and_revoke_and_no_more() {
    let lab = Lab::start().await.unwrap();
    let token = log_in(&lab, "gateway").await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        lab.openbao.call(&token, method, path, body).await.unwrap()
    };

    let issued = call("GET", "database/creds/tiny", None).await;
    assert_eq!(issued.status, 200, "{}", issued.text());
    assert_eq!(issued.body["lease_duration"], 3);
    let lease = json!({ "lease_id": issued.body["lease_id"] });
    let renewed = call("POST", "sys/leases/renew", Some(lease.clone())).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let revoked = call("POST", "sys/leases/revoke", Some(lease)).await;
    assert_eq!(revoked.status, 204, "{}", revoked.text());
    assert!(
        lab.postgres
            .login_roles_like("v-")
            .await
            .unwrap()
            .is_empty()
    );

    let anchor = call("POST", "auth/token/create/leasehold", Some(json!({}))).await;
    assert_eq!(anchor.status, 200, "{}", anchor.text());
    assert_eq!(anchor.body["auth"]["orphan"], true);
    assert_eq!(anchor.body["auth"]["lease_duration"], 3600);

    assert_eq!(call("GET", "kv/data/app", None).await.status, 200);
    for path in ["pki/issue/nolease", "pki/issue/lease"] {
        let subject = json!({ "common_name": "example.test" });
        assert_eq!(call("POST", path, Some(subject)).await.status, 200);
    }
    let service = call("GET", "database/static-creds/svc", None).await;
    assert_eq!(service.body["data"]["rotation_period"], 30);
    assert_eq!(call("GET", "sys/mounts", None).await.status, 403);
}

#[tokio::test]
async fn both_audit_devices_write_and_only_one_shows_accessors() {
    let lab = Lab::start().await.unwrap();
    let login = lab.approle("gateway").await.unwrap();
    let secret_id = fs::read_to_string(&login.secret_id_file).unwrap();
    let body = json!({ "role_id": login.role_id, "secret_id": secret_id });
    let answer = lab.openbao.api("POST", "auth/approle/login", Some(body));
    let answer = answer.await.unwrap();
    let accessor = answer["auth"]["accessor"].as_str().unwrap();
    let token = answer["auth"]["client_token"].as_str().unwrap();

    let hashed = fs::read_to_string(lab.openbao.audit_log()).unwrap();
    let shown = fs::read_to_string(lab.openbao.audit_log_with_accessors()).unwrap();
    let request = answer["request_id"].as_str().unwrap();
    assert!(hashed.contains(request) && shown.contains(request));
    assert!(!hashed.contains(accessor) && shown.contains(accessor));
    assert!(!hashed.contains(token) && !shown.contains(token));
}

#[tokio::test]
async fn servers_come_back_with_their_data_on_the_same_port() {
    let mut lab = Lab::start().await.unwrap();
    let (user, password) = issue(&lab, "long").await;
    let version = lab.openbao.kv_put("kv", "app", json!({ "api_key": "v2" }));
    assert_eq!(version.await.unwrap(), 2);

    lab.openbao.stop().await.unwrap();
    assert!(lab.openbao.api("GET", "kv/data/app", None).await.is_err());
    lab.openbao.start_again().await.unwrap();
    let read = lab.openbao.api("GET", "kv/data/app", None).await.unwrap();
    assert_eq!(read["data"]["data"]["api_key"], "v2");

    lab.postgres.stop().await.unwrap();
    assert!(lab.postgres.client().await.is_err());
    lab.postgres.start_again().await.unwrap();
    let client = lab
        .postgres
        .connect_as(&user, &password, Postgres::DATABASE);
    client.await.unwrap();
}

#[tokio::test]
async fn a_sealed_server_refuses_until_it_is_unsealed() {
    let lab = Lab::start().await.unwrap();
    lab.openbao.seal().await.unwrap();
    let root = lab.openbao.root_token();
    let sealed = lab.openbao.call(root, "GET", "kv/data/app", None);
    assert_eq!(sealed.await.unwrap().status, 503);
    lab.openbao.unseal().await.unwrap();
    lab.openbao.api("GET", "kv/data/app", None).await.unwrap();
}

#[tokio::test]
async fn a_dropped_lab_leaves_neither_process_nor_directory() {
    let lab = Lab::start().await.unwrap();
    let dir = lab.dir().to_path_buf();
    let openbao = lab.openbao.process_id().unwrap();
    let postgres = lab.postgres.process_id().unwrap();
    let workers = children(postgres);
    assert!(!workers.is_empty(), "postgres has its own children");
    assert!(runs(openbao) && runs(postgres));

    drop(lab);
    assert!(!runs(openbao) && !runs(postgres));
    assert!(!workers.into_iter().any(runs));
    assert!(!dir.exists());
}

#[tokio::test]
async fn servers_end_when_the_process_that_owns_them_is_killed() {
    let mut owner = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "servers::owner_of_servers",
            "--ignored",
            "--nocapture",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(owner.stdout.take().unwrap());
    let line = std::io::BufRead::lines(output)
        .map(Result::unwrap)
        .find_map(|line| line.split_once(OWNED).map(|(_, rest)| rest.to_owned()))
        .unwrap();
    let (dir, servers) = line.split_once(' ').unwrap();
    let servers: Vec<u32> = servers.split(' ').map(|id| id.parse().unwrap()).collect();
    assert!(servers.iter().all(|id| runs(*id)));

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait::until_true("the servers to end", Duration::from_secs(20), async || {
        Ok(!servers.iter().any(|id| runs(*id)))
    })
    .await
    .unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
#[ignore = "is started, and killed, by the test above"]
async fn owner_of_servers() {
    let lab = Lab::start().await.unwrap();
    let openbao = lab.openbao.process_id().unwrap();
    let postgres = lab.postgres.process_id().unwrap();
    println!("{OWNED}{} {openbao} {postgres}", lab.dir().display());
    std::future::pending::<()>().await;
}

async fn issue(lab: &Lab, role: &str) -> (String, String) {
    let path = format!("database/creds/{role}");
    let issued = lab.openbao.api("GET", &path, None).await.unwrap();
    let text = |name: &str| issued["data"][name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}

async fn log_in(lab: &Lab, role: &str) -> String {
    let login = lab.approle(role).await.unwrap();
    let secret_id = fs::read_to_string(&login.secret_id_file).unwrap();
    let body = json!({ "role_id": login.role_id, "secret_id": secret_id });
    let answer = lab.openbao.api("POST", "auth/approle/login", Some(body));
    let answer = answer.await.unwrap();
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}

/// Tells whether a process runs. One that has ended and that nobody has reaped does not.
fn runs(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    assert!(Path::new(&path).exists());
    let list = fs::read_to_string(path).unwrap();
    list.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

const OWNED: &str = "servers of this process: ";
