//! Waits for conditions, each with a deadline.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Polls `check` until it answers, and returns the answer.
///
/// `what` completes the sentence "waited in vain for …".
///
/// # Errors
///
/// When `check` fails, or has not answered within `limit`.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut check: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let polling = async {
        loop {
            if let Some(answer) = check().await? {
                return Ok(answer);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(limit, polling)
        .await
        .with_context(|| format!("waited {limit:?} in vain for {what}"))?
}

/// Polls `check` until it holds.
///
/// # Errors
///
/// As [`until`].
pub async fn until_true(
    what: &str,
    limit: Duration,
    mut check: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    until(what, limit, async || Ok(check().await?.then_some(()))).await
}

const POLL_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_waited_for_is_named_when_it_never_comes() {
        let error = until_true("godot", Duration::from_millis(30), async || Ok(false))
            .await
            .expect_err("the condition never holds");
        assert!(error.to_string().contains("godot"), "{error}");
    }

    #[tokio::test]
    async fn the_first_answer_ends_the_wait() {
        let mut polls = 0;
        let answer = until("three", Duration::from_secs(5), async || {
            polls += 1;
            Ok((polls == 3).then_some(polls))
        });
        assert_eq!(answer.await.expect("an answer"), 3);
    }
}
