//! `leasehold doctor` as an operator runs it.

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Lab, Scratch, scan};
use serde_json::{Value, json};

use crate::operator::command;
use crate::support::{lab, vault_provider};

#[tokio::test]
async fn the_doctor_tells_by_its_exit_code_and_gives_the_command_that_mends() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let scratch = Scratch::new()?;
    let config = scratch.path().join("leasehold.yaml");
    std::fs::write(&config, configuration(&lab).await?)?;
    let config = config.to_str().context("a path")?;
    let before = tokens(&lab).await?;

    let well = command(&["doctor", "--config", config]).await?;
    ensure!(
        well.code == 0 && well.stdout.contains("0 errors"),
        "{well:?}"
    );
    println!("{}", well.stdout);

    let role = "auth/approle/role/gateway";
    let short = json!({ "token_ttl": "10s", "token_max_ttl": "1h" });
    lab.openbao.api("POST", role, Some(short)).await?;
    let ill = command(&["doctor", "--config", config, "--json"]).await?;
    ensure!(ill.code == 1, "{ill:?}");
    let report: Value = serde_json::from_str(&ill.stdout)?;
    ensure!(
        report.pointer("/0/provider") == Some(&json!("vault")),
        "{report}"
    );
    let findings = report.pointer("/0/findings").and_then(Value::as_array);
    let mut findings = findings.context("findings")?.iter();
    let error = findings
        .find(|it| it["severity"] == "error")
        .context("an error")?;
    let mend = error["mend"].as_str().context("a command")?;
    ensure!(
        mend == format!("bao write {role} token_ttl=1h token_max_ttl=24h"),
        "{mend}"
    );
    let in_words = command(&["doctor", "--config", config]).await?;
    ensure!(
        in_words.code == 1 && in_words.stdout.lines().any(|it| it == mend),
        "{in_words:?}"
    );
    lab.openbao.shell(mend).await?;
    ensure!(
        command(&["doctor", "--config", config]).await?.code == 0,
        "not mended by {mend}"
    );
    ensure!(tokens(&lab).await? == before, "a token stays behind");

    lab.openbao.seal().await?;
    let blind = command(&["doctor", "--config", config]).await?;
    ensure!(
        blind.code == 2 && blind.stdout.contains("operator unseal"),
        "{blind:?}"
    );
    let secret_id = std::fs::read_to_string(lab.dir().join("gateway.secret-id"))?;
    let said = [well.stdout, ill.stdout, in_words.stdout, blind.stdout].join("\n");
    let hits = scan(said.as_bytes(), &[secret_id.trim().to_owned()])?;
    ensure!(hits.is_empty(), "secrets in what was said: {hits:?}");
    let none = command(&["doctor", "--config", "none.yaml"]).await?;
    ensure!(none.code == 2, "{none:?}");
    Ok(())
}

async fn configuration(lab: &Lab) -> Result<String> {
    Ok(format!(
        "instance: x\n\
         listeners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
         {}\
         credentials: {{ user: {{ from: {{ provider: vault, lease: database/creds/app }} }} }}\n\
         upstreams:\n  \
           u:\n    \
             endpoints: [\"http://127.0.0.1:1\"]\n    \
             credential: user\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n\
         routes: [{{ name: r, upstream: u, consumers: anyone }}]\n",
        vault_provider(lab).await?
    ))
}

async fn tokens(lab: &Lab) -> Result<usize> {
    let answer = lab
        .openbao
        .api("LIST", "auth/token/accessors", None)
        .await?;
    let keys = answer.pointer("/data/keys").and_then(Value::as_array);
    Ok(keys.context("accessors")?.len())
}
