//! An API key from an encrypted file, replaced every few seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use leasehold_provider::Material;
use leasehold_provider_native::NativeFile;
use leasehold_secret::Secret;
use leasehold_testkit::origin::AcceptedKeys;
use leasehold_testkit::{Origin, Scratch};
use tokio_util::sync::CancellationToken;

use crate::demo::Stage;
use crate::demo::traffic::tell;

pub(crate) async fn run(stop: impl Future<Output = ()>) -> Result<bool> {
    let scratch = Scratch::new()?;
    let (data, key) = (
        scratch.path().join("native.redb"),
        scratch.path().join("native.key"),
    );
    let first = leasehold_testkit::secret()?;
    let file = NativeFile::create(&data, &key)?;
    file.put(PATH, &material(&first))?;
    let accepted = AcceptedKeys::new([first.clone()]);
    let origin = Origin::api_key(Arc::clone(&accepted)).await?;
    let stage = Stage {
        config: format!(
            "providers: {{ local: {{ kind: native, file: {data:?}, key_file: {key:?} }} }}\n\
             credentials:\n  \
               key: {{ from: {{ provider: local, path: {PATH}, field: value, poll: 250ms }} }}\n\
             upstreams:\n  \
               origin: {{ endpoints: [{:?}], credential: key, inject: {{ header: X-Api-Key }} }}\n",
            origin.url()
        ),
        upstream_shows: "The origin behind it refuses every key but its own, and that key is replaced \
                         every 3 seconds.",
    };
    let traffic = stage
        .play(stop, |over| rotate(file, accepted, first, over))
        .await?;
    origin.stop().await;
    tell(&format!(
        "\n{} requests, {} failed, {} generations of the key. Nothing is left behind.",
        traffic.requests, traffic.failed, traffic.generations
    ));
    Ok(traffic.failed == 0)
}

/// Replaces the key every few seconds, as a careful owner does: the new one is accepted before it is
/// handed out, and the old one refused once it is no longer used.
async fn rotate(
    file: NativeFile,
    accepted: Arc<AcceptedKeys>,
    first: String,
    over: CancellationToken,
) -> Result<()> {
    let mut used = VecDeque::from([first]);
    while over
        .run_until_cancelled(tokio::time::sleep(BETWEEN_ROTATIONS))
        .await
        .is_some()
    {
        let next = leasehold_testkit::secret()?;
        accepted.accept(next.clone());
        let version = file.put(PATH, &material(&next))?;
        tell(&format!("       the key was replaced: version {version}"));
        used.push_back(next);
        if used.len() > 2
            && let Some(old) = used.pop_front()
        {
            accepted.refuse(&old);
        }
    }
    Ok(())
}

fn material(key: &str) -> Material {
    let mut material = Material::default();
    material.insert("value", Secret::new(key));
    material
}

const PATH: &str = "demo/key";
const BETWEEN_ROTATIONS: Duration = Duration::from_secs(3);
