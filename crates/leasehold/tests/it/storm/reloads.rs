//! New configurations and new programs under load, many times.

use anyhow::Result;

#[tokio::test]
#[ignore = "takes minutes; `cargo xtask bench reloads`"]
async fn many_reloads_fail_no_request() -> Result<()> {
    let count = option_env!("STORM_COUNT").unwrap_or("200").parse()?;
    crate::reload::under_load(count).await
}

#[tokio::test]
#[ignore = "takes minutes; `cargo xtask bench upgrades`"]
async fn many_upgrades_fail_no_request() -> Result<()> {
    let count = option_env!("STORM_COUNT").unwrap_or("20").parse()?;
    crate::upgrade::under_load(count).await
}
