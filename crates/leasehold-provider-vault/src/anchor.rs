//! Anchors: orphan, periodic tokens that leases hang on, so that they outlive the login.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use leasehold_model::{Accessor, AnchorEpoch, Failure, InstanceName, SessionEpoch};
use leasehold_provider::{ProviderError, SessionGrant};
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use serde_json::{Map, Value, json};

use crate::answer;
use crate::call::{Call, Operation};
use crate::client::Answer;
use crate::config::{SetupError, VaultConfig};
use crate::envelope::Auth;
use crate::path::VaultPath;
use crate::provider::VaultProvider;
use crate::refusal::misconfigured;
use crate::session::{self, Tokens};

/// The anchors that are held, each under the number that the engine gave it, and how they are made.
#[derive(Debug)]
pub(crate) struct Anchors {
    /// Where they are minted; nowhere where the configuration names no token role.
    path: Option<VaultPath>,
    instance: InstanceName,
    tokens: Tokens<AnchorEpoch>,
    accessors: Mutex<BTreeMap<AnchorEpoch, Accessor>>,
}

/// What an anchor is known by. One that turned out to be dead has no token any more.
struct Anchor {
    token: Option<HeaderValue>,
    accessor: Option<Accessor>,
}

impl Anchors {
    pub(crate) fn new(config: &VaultConfig) -> Result<Self, SetupError> {
        Ok(Self {
            path: config.token_role.as_deref().map(role_path).transpose()?,
            instance: config.instance.clone(),
            tokens: Tokens::default(),
            accessors: Mutex::default(),
        })
    }

    /// Returns the header that a call by the anchor carries; none where there is no live anchor.
    pub(crate) fn header(&self, epoch: AnchorEpoch) -> Option<HeaderValue> {
        self.tokens.header(epoch)
    }

    /// Drops the token of an anchor that turned out to be dead.
    pub(crate) fn bury(&self, epoch: AnchorEpoch) {
        self.tokens.bury(epoch);
    }

    fn mint_call(&self, epoch: AnchorEpoch) -> Result<Call, ProviderError> {
        let Some(path) = self.path.clone() else {
            let operation = Operation::MintAnchor.verb();
            let detail = "no token role is configured";
            return Err(ProviderError::new(
                operation,
                Failure::Misconfigured,
                detail,
            ));
        };
        let instance = self.instance.as_str();
        // What stands in the metadata is in clear in each entry of the server's audit log.
        let body = json!({
            "display_name": instance,
            "meta": { "instance": instance, "epoch": epoch.to_string() },
        });
        Ok(Call::write(Operation::MintAnchor, path, bytes(&body)))
    }

    fn known(&self, epoch: AnchorEpoch) -> Anchor {
        Anchor {
            token: self.tokens.header(epoch),
            accessor: self.accessors.lock().get(&epoch).cloned(),
        }
    }

    fn open(&self, epoch: AnchorEpoch, auth: Auth) {
        if let Some(accessor) = auth.accessor() {
            self.accessors.lock().insert(epoch, accessor);
        }
        self.tokens.open(epoch, auth.client_token);
    }

    fn close(&self, epoch: AnchorEpoch) -> bool {
        self.accessors.lock().remove(&epoch);
        self.tokens.close(epoch)
    }
}

impl VaultProvider {
    pub(crate) async fn mint(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> Result<SessionGrant, ProviderError> {
        let call = self.anchors.mint_call(anchor)?;
        let answer = self.in_session(epoch, &call).await?;
        let (auth, grant) = answer::session(&call, &answer)?;
        let minted = Anchor {
            token: session::header(&auth.client_token),
            accessor: auth.accessor(),
        };
        if let Err(mut error) = self.admit_anchor(epoch, &call, &auth, &minted).await {
            // Whatever it died of, another can be minted.
            if error.failure == Failure::LeaseGone {
                error.failure = Failure::Transient;
            }
            return Err(self.give_anchor_back(epoch, &minted, error).await);
        }
        self.anchors.open(anchor, auth);
        Ok(grant)
    }

    /// Refuses a token that leases must not hang on.
    ///
    /// Whether it has a period is asked by a renewal, since a lookup does not tell it of a token
    /// whose period is its role's. The renewal asks for half of what was granted: a period is granted
    /// whole whatever was asked for. It shows as well that the anchor can be renewed at all.
    async fn admit_anchor(
        &self,
        epoch: SessionEpoch,
        mint: &Call,
        auth: &Auth,
        minted: &Anchor,
    ) -> Result<(), ProviderError> {
        if minted.token.is_none() {
            return Err(misconfigured(mint, "the answer gave no token"));
        }
        if let Err(problem) = admit(auth) {
            return Err(misconfigured(mint, problem));
        }
        let granted = Duration::from_secs(auth.lease_duration);
        let asked = Duration::from_secs(auth.lease_duration / 2);
        let (call, answer) = self.renew_known(epoch, minted, Some(asked)).await?;
        let (_, renewed) = answer::session(&call, &answer)?;
        if renewed.ttl.is_some_and(|ttl| ttl > asked) && granted > Duration::from_secs(1) {
            return Ok(());
        }
        let role = mint.path.to_string();
        let role = role.rsplit('/').next().unwrap_or_default();
        let detail = format!(
            "the token has no period, so it would end at its maximum life with all of its leases: \
             bao write auth/token/roles/{role} orphan=true token_period=1h"
        );
        Err(misconfigured(mint, detail))
    }

    /// Revokes an anchor that was refused, so that it does not live on unknown to anybody.
    async fn give_anchor_back(
        &self,
        epoch: SessionEpoch,
        minted: &Anchor,
        mut error: ProviderError,
    ) -> ProviderError {
        let Err(left) = self.revoke_known(epoch, minted).await else {
            return error;
        };
        error.detail.push_str("; it could not be given back");
        if error.source.is_none() {
            error = error.caused_by(left);
        }
        error
    }

    pub(crate) async fn prolong_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> Result<SessionGrant, ProviderError> {
        let known = self.anchors.known(anchor);
        match self.renew_known(epoch, &known, None).await {
            Ok((call, answer)) => answer::session(&call, &answer).map(|(_, grant)| grant),
            Err(error) => {
                if error.failure == Failure::LeaseGone {
                    self.anchors.bury(anchor);
                }
                Err(error)
            }
        }
    }

    pub(crate) async fn end_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> Result<(), ProviderError> {
        let known = self.anchors.known(anchor);
        let outcome = self.revoke_known(epoch, &known).await;
        let ended = match &outcome {
            Ok(()) => true,
            Err(error) => error.failure == Failure::LeaseGone,
        };
        // That it was dead already is no failure, so long as there was an anchor at all.
        if ended && self.anchors.close(anchor) {
            return Ok(());
        }
        outcome
    }

    /// Ends a token of an earlier process.
    pub(crate) async fn end_former(
        &self,
        epoch: SessionEpoch,
        accessor: &Accessor,
    ) -> Result<(), ProviderError> {
        let body = bytes(&json!({ "accessor": accessor.as_str() }));
        let call = Call::write(Operation::RevokeFormer, REVOKE_ACCESSOR, body);
        match self.in_session(epoch, &call).await {
            Ok(_) => Ok(()),
            Err(error) if error.failure == Failure::LeaseGone => Ok(()),
            Err(mut error) => {
                if error.failure == Failure::Denied {
                    error.detail.push_str(NEEDS_ACCESSOR);
                }
                Err(error)
            }
        }
    }

    async fn renew_known(
        &self,
        epoch: SessionEpoch,
        anchor: &Anchor,
        increment: Option<Duration>,
    ) -> Result<(Call, Answer), ProviderError> {
        let mut body = Map::new();
        if let Some(increment) = increment {
            body.insert("increment".to_owned(), increment.as_secs().into());
        }
        let paths = (RENEW_ACCESSOR, RENEW_SELF);
        self.about(epoch, anchor, Operation::RenewAnchor, paths, body)
            .await
    }

    async fn revoke_known(
        &self,
        epoch: SessionEpoch,
        anchor: &Anchor,
    ) -> Result<(), ProviderError> {
        let paths = (REVOKE_ACCESSOR, REVOKE_SELF);
        self.about(epoch, anchor, Operation::RevokeAnchor, paths, Map::new())
            .await
            .map(drop)
    }

    /// Makes a call about an anchor: by its accessor in the session, and with the anchor's own token
    /// where the policy forbids that. Calls by accessor reach any token of the namespace, so a policy
    /// may well forbid them.
    async fn about(
        &self,
        epoch: SessionEpoch,
        anchor: &Anchor,
        operation: Operation,
        (by_accessor, by_itself): (VaultPath, VaultPath),
        body: Map<String, Value>,
    ) -> Result<(Call, Answer), ProviderError> {
        let call = Call::write(operation, by_itself, bytes(&Value::Object(body.clone())));
        let Some(token) = &anchor.token else {
            let detail = "there is no such anchor, or it is dead";
            return Err(ProviderError::new(
                call.to_string(),
                Failure::LeaseGone,
                detail,
            ));
        };
        if let Some(accessor) = &anchor.accessor {
            let mut body = body;
            body.insert("accessor".to_owned(), accessor.as_str().into());
            let call = Call::write(operation, by_accessor, bytes(&Value::Object(body)));
            match self.in_session(epoch, &call).await {
                Ok(answer) => return Ok((call, answer)),
                Err(error) if error.failure != Failure::Denied => return Err(error),
                Err(_forbidden) => {}
            }
        }
        match self.with_token(token, &call).await {
            Ok(answer) => Ok((call, answer)),
            Err(mut error) => {
                match error.failure {
                    Failure::SessionDead => error.failure = Failure::LeaseGone,
                    Failure::Denied => error.detail.push_str(NEEDS_EITHER),
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

/// Refuses a token that leases must not hang on, by what the minting says of it, in words for the
/// operator.
fn admit(auth: &Auth) -> Result<(), &'static str> {
    if auth.has_policy("root") {
        return Err("the token has the root policy: set allowed_policies of the token role");
    }
    if auth.num_uses != 0 {
        return Err(
            "the token may be used a limited number of times, and its leases die with its last use: \
             set token_num_uses of the token role to 0",
        );
    }
    if !auth.orphan {
        return Err(
            "the token is not an orphan, so it would die with the session and take its leases \
             along: set orphan=true of the token role",
        );
    }
    if auth.lease_duration == 0 {
        return Err("the token never expires: set token_period of the token role");
    }
    if !auth.renewable {
        return Err("the token can't be renewed: set renewable=true of the token role");
    }
    Ok(())
}

fn role_path(role: &str) -> Result<VaultPath, SetupError> {
    let fail = |problem| SetupError::TokenRole {
        role: role.to_owned(),
        problem,
    };
    if role.contains('/') {
        return Err(fail("has a slash"));
    }
    let name = VaultPath::parse(role).map_err(|problem| fail(problem.as_str()))?;
    Ok(VaultPath::fixed("auth/token/create").join(&name))
}

fn bytes(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

const RENEW_ACCESSOR: VaultPath = VaultPath::fixed("auth/token/renew-accessor");
const REVOKE_ACCESSOR: VaultPath = VaultPath::fixed("auth/token/revoke-accessor");
const RENEW_SELF: VaultPath = VaultPath::fixed("auth/token/renew-self");
const REVOKE_SELF: VaultPath = VaultPath::fixed("auth/token/revoke-self");
const NEEDS_ACCESSOR: &str =
    "; the policy must grant update on auth/token/revoke-accessor, or nobody can";
const NEEDS_EITHER: &str = "; either the session's policy must grant update on \
                            auth/token/renew-accessor and revoke-accessor, or the anchor needs the \
                            default policy";

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(json: &str) -> Auth {
        serde_json::from_str(json).expect("auth")
    }

    #[test]
    fn a_token_that_leases_must_not_hang_on_is_refused() {
        let good = r#"{"client_token":"s.x","accessor":"a","lease_duration":3600,"renewable":true,
            "orphan":true,"num_uses":0,"policies":["default","gateway"]}"#;
        assert_eq!(admit(&auth(good)), Ok(()));
        for (part, bad, why) in [
            ("\"gateway\"", "\"root\"", "root policy"),
            ("\"num_uses\":0", "\"num_uses\":5", "number of times"),
            ("\"orphan\":true", "\"orphan\":false", "orphan"),
            ("3600", "0", "never expires"),
            ("\"renewable\":true", "\"renewable\":false", "renewed"),
        ] {
            let refused = admit(&auth(&good.replace(part, bad)));
            assert!(refused.is_err_and(|it| it.contains(why)), "{bad}");
        }
    }

    #[test]
    fn a_token_role_is_one_name() {
        assert_eq!(
            role_path("leasehold").ok(),
            Some(VaultPath::fixed("auth/token/create/leasehold"))
        );
        for role in ["", "a/b", "..", "a\nb"] {
            let refused = role_path(role);
            assert!(
                matches!(refused, Err(SetupError::TokenRole { .. })),
                "{role:?}"
            );
        }
    }
}
