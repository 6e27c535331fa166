use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use leasehold_model::{Failure, ProviderName};
use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret, read_trimmed};
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::{longest, same};
use crate::body;
use crate::call::{Call, Operation};
use crate::client::{Answer, Client};
use crate::envelope::{self, Envelope};
use crate::path::VaultPath;
use crate::refusal::{lost, misconfigured, refused, unanswered};
use crate::session;

/// A secret id that is delivered inside a response-wrapping token.
///
/// A wrapping token opens once. That it does not open for us therefore means that somebody else may
/// have opened it: this is raised as an alarm, once for each token, and the token is never sent
/// again. The secret id that came out of one is kept for the logins to come; the next token that is
/// written to the file replaces it.
#[derive(Debug)]
pub(crate) struct Wrapped {
    provider: ProviderName,
    mount: String,
    file: PathBuf,
    latest: Mutex<Option<Delivery>>,
}

/// The latest wrapping token, and what became of it.
#[derive(Debug)]
struct Delivery {
    token: Arc<Secret>,
    fate: Fate,
}

#[derive(Clone, Debug)]
enum Fate {
    /// It is about to be unwrapped, or was, and no answer came back.
    Sent,
    /// It holds no secret id for us.
    Refused(Refusal),
    /// This came out of it.
    Unwrapped(Arc<Secret>),
}

#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// It opens no more.
    Spent,
    /// As [`Refusal::Spent`], and an answer that got lost on the way to us may have been its use.
    SpentOrLost,
    /// Something else than a secret id of this auth method was wrapped.
    Foreign,
}

impl Wrapped {
    pub(super) fn new(provider: &ProviderName, mount: &VaultPath, file: &Path) -> Self {
        Self {
            provider: provider.clone(),
            mount: mount.to_string(),
            file: file.to_path_buf(),
            latest: Mutex::new(None),
        }
    }

    /// Returns the secret id of the token in the file, unwrapping it where that has not been done.
    pub(super) async fn secret_id(&self, client: &Client) -> Result<Arc<Secret>, ProviderError> {
        let (token, fate) = self.delivered()?;
        let sent_before = match fate {
            Some(Fate::Unwrapped(secret_id)) => return Ok(secret_id),
            Some(Fate::Refused(refusal)) => return Err(self.refuse(refusal)),
            Some(Fate::Sent) => true,
            None => false,
        };
        let spent = if sent_before {
            Refusal::SpentOrLost
        } else {
            Refusal::Spent
        };
        match self.made_by(client, &token).await? {
            Some(path) if is_secret_id_of(&self.mount, &path) => {}
            Some(_) => return Err(self.raise(&token, Refusal::Foreign)),
            None => return Err(self.raise(&token, spent)),
        }
        self.settle(&token, Fate::Sent);
        let Some(secret_id) = unwrap(client, &token).await? else {
            return Err(self.raise(&token, spent));
        };
        let secret_id = Arc::new(secret_id);
        self.settle(&token, Fate::Unwrapped(Arc::clone(&secret_id)));
        Ok(secret_id)
    }

    /// Reads the token in the file and tells what became of it, if it was here before.
    ///
    /// A file that is gone or can't be read says nothing against the token that it held.
    fn delivered(&self) -> Result<(Arc<Secret>, Option<Fate>), ProviderError> {
        let read = read_trimmed(&self.file);
        let latest = self.latest.lock();
        let known = latest.as_ref().map(|it| (&it.token, &it.fate));
        match (read, known) {
            (Ok(token), Some((known, fate))) if same(&token, known) => {
                Ok((Arc::clone(known), Some(fate.clone())))
            }
            (Ok(token), _) => Ok((Arc::new(token), None)),
            (Err(_), Some((known, fate @ Fate::Unwrapped(_)))) => {
                Ok((Arc::clone(known), Some(fate.clone())))
            }
            (Err(error), _) => {
                let detail = "the wrapping token could not be read";
                Err(self.error(Failure::Misconfigured, detail).caused_by(error))
            }
        }
    }

    /// Asks what the token was made by; nothing where it opens no more.
    async fn made_by(
        &self,
        client: &Client,
        token: &Secret,
    ) -> Result<Option<String>, ProviderError> {
        #[derive(Deserialize)]
        struct Looked {
            creation_path: String,
        }
        let body = lookup_body(token)
            .ok_or_else(|| self.error(Failure::Misconfigured, "the wrapping token is not text"))?;
        let call = Call::write(Operation::LookUpWrapping, WRAPPING_LOOKUP, body);
        let Some(answer) = exchange(client, &call, None).await? else {
            return Ok(None);
        };
        let looked: Looked = data(&answer)
            .ok_or_else(|| lost(&call, "the answer does not say what the token was made by"))?;
        Ok(Some(looked.creation_path))
    }

    fn settle(&self, token: &Arc<Secret>, fate: Fate) {
        let token = Arc::clone(token);
        *self.latest.lock() = Some(Delivery { token, fate });
    }

    /// Raises the alarm over a token, which is not tried again.
    fn raise(&self, token: &Arc<Secret>, refusal: Refusal) -> ProviderError {
        self.settle(token, Fate::Refused(refusal));
        let (provider, file) = (&self.provider, self.file.display());
        match refusal {
            Refusal::Spent | Refusal::SpentOrLost => tracing::error!(
                %provider,
                %file,
                own_answer_lost = matches!(refusal, Refusal::SpentOrLost),
                "a wrapping token was used by somebody else or has expired: its secret id may be stolen"
            ),
            Refusal::Foreign => tracing::error!(
                %provider,
                %file,
                "a wrapping token was not made for a secret id of this auth method: it may be planted"
            ),
        }
        self.refuse(refusal)
    }

    fn refuse(&self, refusal: Refusal) -> ProviderError {
        self.error(
            Failure::Denied,
            match refusal {
                Refusal::Spent => SPENT_HELP,
                Refusal::SpentOrLost => LOST_HELP,
                Refusal::Foreign => FOREIGN_HELP,
            },
        )
    }

    fn error(&self, failure: Failure, detail: &str) -> ProviderError {
        let operation = format!("{} {}", Operation::Unwrap.verb(), self.mount);
        ProviderError::new(operation, failure, detail)
    }
}

/// Opens the token; nothing where it opens no more.
async fn unwrap(client: &Client, token: &Secret) -> Result<Option<Secret>, ProviderError> {
    #[derive(Deserialize)]
    struct Unwrapped {
        #[serde(deserialize_with = "envelope::secret")]
        secret_id: Secret,
    }
    let call = Call::write(
        Operation::Unwrap,
        WRAPPING_UNWRAP,
        Bytes::from_static(b"{}"),
    );
    let Some(header) = session::header(token) else {
        let detail = "the wrapping token can't stand in a header";
        return Err(misconfigured(&call, detail));
    };
    let Some(answer) = exchange(client, &call, Some(&header)).await? else {
        return Ok(None);
    };
    let unwrapped: Option<Unwrapped> = data(&answer);
    let unwrapped = unwrapped.ok_or_else(|| lost(&call, "no secret id came out"))?;
    Ok(Some(unwrapped.secret_id))
}

/// Makes a call about a token; nothing where the server says that the token opens no more.
async fn exchange(
    client: &Client,
    call: &Call,
    token: Option<&HeaderValue>,
) -> Result<Option<Answer>, ProviderError> {
    let answer = client
        .send(call, token)
        .await
        .map_err(|reason| unanswered(call, reason))?;
    if answer.status.is_success() {
        return Ok(Some(answer));
    }
    let errors = envelope::errors(&answer.body);
    if errors.iter().any(|text| text.contains(OPENS_NO_MORE)) {
        return Ok(None);
    }
    Err(refused(call, &answer))
}

fn data<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Option<T> {
    let data = Envelope::parse(&answer.body).ok()?.data?;
    serde_json::from_str(data.get()).ok()
}

fn lookup_body(token: &Secret) -> Option<Bytes> {
    #[derive(Serialize)]
    struct Body<'a> {
        token: &'a str,
    }
    // EXPOSE: the server is asked about the token; it is written straight into a buffer that is
    // wiped and large enough not to be moved while it is written.
    let token = token.expose();
    let token = token.as_str().ok()?;
    body::write(&Body { token }, longest([token])).ok()
}

/// Tells whether a token that was made at `path` holds a secret id of the auth method at `mount`.
fn is_secret_id_of(mount: &str, path: &str) -> bool {
    let role = path
        .strip_prefix(mount)
        .and_then(|rest| rest.strip_prefix("/role/"))
        .and_then(|rest| rest.strip_suffix("/secret-id"));
    role.is_some_and(|role| !role.is_empty() && !role.contains('/'))
}

const WRAPPING_LOOKUP: VaultPath = VaultPath::fixed("sys/wrapping/lookup");
const WRAPPING_UNWRAP: VaultPath = VaultPath::fixed("sys/wrapping/unwrap");
const OPENS_NO_MORE: &str = "wrapping token is not valid or does not exist";
const SPENT_HELP: &str = "the wrapping token was used already or has expired; unless this gateway \
    was restarted with a token that it had used, somebody else may hold the secret id: destroy it \
    by its accessor, look in the audit log for who unwrapped it, and deliver a new wrapping token";
const LOST_HELP: &str = "the wrapping token was used already or has expired; an answer to this \
    gateway was lost before, which may have been that use: destroy the secret id by its accessor \
    and deliver a new wrapping token";
const FOREIGN_HELP: &str = "the wrapping token was not made by issuing a secret id of this auth \
    method, so it was not unwrapped: find out who wrote it, and deliver one that was";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f27_only_the_path_that_issues_secret_ids_is_believed() {
        let good = "auth/team/approle/role/gateway/secret-id";
        assert!(is_secret_id_of("auth/team/approle", good));
        for bad in [
            "auth/approle/role/gateway/secret-id",
            "auth/team/approle/role/gateway/custom-secret-id",
            "auth/team/approle/role//secret-id",
            "auth/team/approle/role/a/b/secret-id",
            "auth/team/approle/role/secret-id",
            "auth/team/approle/role/gateway/secret-id/lookup",
            "auth/team/approle-2/role/gateway/secret-id",
            "sys/wrapping/wrap",
            "cubbyhole/auth/team/approle/role/gateway/secret-id",
        ] {
            assert!(!is_secret_id_of("auth/team/approle", bad), "{bad}");
        }
    }
}
