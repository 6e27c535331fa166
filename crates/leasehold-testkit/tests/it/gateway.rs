use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_testkit::{GatewayProcess, Scratch};

/// A stand-in: this room is built before the gateway is, and only the handling of a process is
/// tested here.
const SCRIPT: &str = r#"#!/bin/sh
trap 'echo drained; exit 7' TERM
echo '{"fields":{"message":"listening","listener":"public","address":"127.0.0.1:4711"}}' >&2
echo '{"fields":{"message":"admin listening","address":"127.0.0.1:4712"}}' >&2
cat "$3"
while :; do sleep 0.01; done
"#;

#[tokio::test]
async fn a_gateway_is_started_found_and_stopped() {
    let (_scratch, binary) = stand_in();
    let mut gateway = GatewayProcess::start(&binary, "instance: x").await.unwrap();
    assert_eq!(gateway.address("public").await.unwrap().port(), 4711);
    assert_eq!(gateway.admin_address().await.unwrap().port(), 4712);
    let status = gateway.terminate(Duration::from_secs(10)).await.unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(gateway.stdout().unwrap(), "instance: xdrained\n");
    assert!(gateway.stderr().unwrap().contains("4712"));
    let mode = gateway
        .config_file()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_killed_gateway_has_no_time_to_drain() {
    let (_scratch, binary) = stand_in();
    let mut gateway = GatewayProcess::start(&binary, "").await.unwrap();
    let status = gateway.kill().await.unwrap();
    assert_eq!(status.signal(), Some(9));
    assert!(!gateway.stdout().unwrap().contains("drained"));
    assert!(gateway.terminate(Duration::from_secs(1)).await.is_err());
}

fn stand_in() -> (Scratch, PathBuf) {
    let scratch = Scratch::new().unwrap();
    let binary = scratch.path().join("gateway");
    fs::write(&binary, SCRIPT).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    (scratch, binary)
}
