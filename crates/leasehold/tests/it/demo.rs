//! The demonstration, as a newcomer runs it.

use std::fs;
use std::process::Output;

use anyhow::{Result, ensure};
use leasehold_testkit::Scratch;

use crate::support::lab_turn;

#[tokio::test]
async fn the_demonstration_fails_no_request_and_leaves_nothing_behind() -> Result<()> {
    let text = demonstrate(&["--seconds", "10"]).await?;
    ensure!(
        text.contains("version 3"),
        "the key was replaced twice:\n{text}"
    );
    Ok(())
}

#[tokio::test]
async fn the_demonstration_with_openbao_gives_every_user_back() -> Result<()> {
    let _turn = lab_turn().await;
    let text = demonstrate(&["--openbao", "--seconds", "40"]).await?;
    for event in ["lease renewed", "rotating", "lease revoked"] {
        ensure!(text.contains(event), "no {event:?} in\n{text}");
    }
    ensure!(text.contains("; 0 left in the database"), "{text}");
    Ok(())
}

async fn demonstrate(args: &[&str]) -> Result<String> {
    let temporary = Scratch::new()?;
    let output: Output = tokio::process::Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .arg("demo")
        .args(args)
        .env("TMPDIR", temporary.path())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{output:?}");
    ensure!(text.contains("curl -i -H 'X-Api-Key: "), "{text}");
    ensure!(text.contains(" requests, 0 failed, "), "{text}");
    let left: Vec<_> = fs::read_dir(temporary.path())?.collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(text)
}
