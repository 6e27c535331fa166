//! The native provider by the command line, with a gateway running beside it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Origin, Scratch, scan, secret, wait};

use crate::support::{Gateway, PATIENCE};

#[tokio::test]
async fn a_version_put_by_the_command_line_reaches_the_running_gateway() -> Result<()> {
    let scratch = Scratch::new()?;
    let (first, second) = (secret()?, secret()?);
    let put = native(
        scratch.path(),
        &["put", "demo/key", "--field", "key"],
        &first,
    )?;
    ensure!(put.status.success(), "{put:?}");
    let origin = Origin::echo().await?;
    let (file, key) = (scratch.path().join("data"), scratch.path().join("key"));
    let mut gateway = Gateway::start(&format!(
        "providers: {{ local: {{ kind: native, file: {file:?}, key_file: {key:?} }} }}\n\
         credentials:\n  \
           key: {{ from: {{ provider: local, path: demo/key, field: key, poll: 100ms }} }}\n\
         upstreams:\n  \
           origin:\n    \
             endpoints: [{:?}]\n    \
             credential: key\n    \
             inject: {{ header: Authorization, prefix: 'Bearer ' }}\n\
         routes: [{{ name: origin, upstream: origin, consumers: [tester] }}]\n",
        origin.url()
    ))
    .await?;
    gateway.ready("origin").await?;
    let answer = gateway.get("/").await?;
    ensure!(
        answer.text.contains(&format!("Bearer {first}")),
        "{answer:?}"
    );

    let put = native(
        scratch.path(),
        &["put", "demo/key", "--json"],
        &format!(r#"{{"key":"{second}"}}"#),
    )?;
    ensure!(put.status.success(), "{put:?}");
    ensure!(text(&put.stdout).contains("version 2"), "{put:?}");
    wait::until_true("the new version", PATIENCE, async || {
        Ok(gateway
            .request("/")
            .send()
            .await?
            .text()
            .await?
            .contains(&second))
    })
    .await?;
    gateway.stop().await?;

    let list = native(scratch.path(), &["list"], "")?;
    ensure!(
        text(&list.stdout).contains("demo/key  version 2"),
        "{list:?}"
    );
    let delete = native(scratch.path(), &["delete", "demo/key"], "")?;
    ensure!(delete.status.success(), "{delete:?}");

    let secrets = [first, second];
    for output in [&put, &list, &delete] {
        ensure!(
            scan(
                &[output.stdout.as_slice(), &output.stderr].concat(),
                &secrets
            )?
            .is_empty()
        );
    }
    ensure!(
        scan(&std::fs::read(&file)?, &secrets)?.is_empty(),
        "plaintext in the file"
    );
    let log = gateway.process().stderr()? + &gateway.process().stdout()?;
    ensure!(scan(log.as_bytes(), &secrets)?.is_empty(), "{log}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_object_of_texts_is_refused_by_its_place_alone() -> Result<()> {
    let scratch = Scratch::new()?;
    let canary = secret()?;
    for input in [
        format!("\"{canary}\""),
        format!("{{\"key\": \"{canary}\", \"x\": 7}}"),
        format!("{{\"{canary}"),
    ] {
        let put = native(scratch.path(), &["put", "demo/key", "--json"], &input)?;
        ensure!(!put.status.success(), "{put:?}");
        ensure!(text(&put.stderr).contains("line 1, column"), "{put:?}");
        ensure!(!text(&put.stderr).contains(&canary), "{put:?}");
    }
    let empty = native(scratch.path(), &["put", "demo/key"], "")?;
    ensure!(
        text(&empty.stderr).contains("standard input is empty"),
        "{empty:?}"
    );
    Ok(())
}

/// Puts a version with the one field `key`.
pub(crate) fn put(dir: &Path, path: &str, value: &str) -> Result<()> {
    let put = native(dir, &["put", path, "--field", "key"], value)?;
    ensure!(put.status.success(), "{put:?}");
    Ok(())
}

/// Puts a version with these fields.
pub(crate) fn put_all(dir: &Path, path: &str, fields: &serde_json::Value) -> Result<()> {
    let put = native(dir, &["put", path, "--json"], &fields.to_string())?;
    ensure!(put.status.success(), "{put:?}");
    Ok(())
}

/// Deletes what is put at a path.
pub(crate) fn delete(dir: &Path, path: &str) -> Result<()> {
    let delete = native(dir, &["delete", path], "")?;
    ensure!(delete.status.success(), "{delete:?}");
    Ok(())
}

fn native(dir: &Path, args: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .arg("native")
        .args(args)
        .arg("--file")
        .arg(dir.join("data"))
        .arg("--key-file")
        .arg(dir.join("key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("a pipe")?
        .write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
