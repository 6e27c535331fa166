//! A lab with upstreams of its own, and what is left of gateways in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use leasehold_ledger::{Contents, Held, Ledger, LedgerError};
use leasehold_testkit::origin::{AcceptedKeys, ApiKey, Database};
use leasehold_testkit::{Lab, Origin, wait};
use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, vault_provider};

/// Servers, and a gateway's configuration with an anchor, a ledger and three leased credentials.
///
/// | route | credential | what its upstream does |
/// | --- | --- | --- |
/// | `/lasting/` | `lasting`, 1 h | logs in to PostgreSQL with it |
/// | `/refused/` | `refused`, 1 h | refuses it, which makes the gateway replace it |
/// | `/brief/` | `brief`, 3 s of at most 8 s | logs in to PostgreSQL with it |
pub(super) struct Scene {
    pub(super) lab: Lab,
    /// The configuration, but for what all have in common.
    pub(super) parts: String,
    _database: Origin<Database>,
    _refusing: Origin<ApiKey>,
}

/// What gateways hold, as OpenBao and PostgreSQL see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Remains {
    pub(super) users: BTreeSet<String>,
    pub(super) leases: BTreeSet<String>,
    /// The accessors of all tokens that are not the lab's own.
    pub(super) tokens: BTreeSet<String>,
}

impl Scene {
    pub(super) async fn new(lab: Lab) -> Result<Self> {
        let credentials = format!(
            "  lasting: {{ from: {LONG} }}\n  \
               refused: {{ from: {LONG} }}\n  \
               brief: {{ from: {{ provider: vault, lease: database/creds/tiny }} }}\n"
        );
        Self::with(lab, &credentials, &["lasting", "refused", "brief"]).await
    }

    /// As [`Self::new`], with nothing but a credential `own` that each consumer has one of, at `/own/`.
    pub(super) async fn one_each(lab: Lab) -> Result<Self> {
        let credentials = format!("  own: {{ from: {LONG}, per: consumer }}\n");
        Self::with(lab, &credentials, &["own"]).await
    }

    async fn with(lab: Lab, credentials: &str, names: &[&str]) -> Result<Self> {
        let database = Origin::database(&lab.postgres).await?;
        let refusing = Origin::api_key(AcceptedKeys::new::<String>([])).await?;
        let mut parts = format!(
            "{}    anchor: {{ token_role: leasehold }}\nledger: {{ file: {:?} }}\ncredentials:\n{credentials}",
            vault_provider(&lab).await?,
            ledger_in(&lab),
        );
        let upstream = |name: &&str| {
            let (url, inject) = match *name {
                "refused" => (refusing.url(), HEADER),
                _ => (database.url(), BASIC),
            };
            format!("  {name}: {{ endpoints: [{url:?}], credential: {name}, inject: {inject} }}\n")
        };
        let route = |name: &&str| {
            format!(
                "  - {{ name: {name}, match: {{ path: /{name}/ }}, upstream: {name}, consumers: [tester, other] }}\n"
            )
        };
        parts.push_str("upstreams:\n");
        parts.extend(names.iter().map(upstream));
        parts.push_str("routes:\n");
        parts.extend(names.iter().map(route));
        Ok(Self {
            lab,
            parts,
            _database: database,
            _refusing: refusing,
        })
    }

    /// Starts a gateway and waits until every route has its credential.
    pub(super) async fn serve(&self) -> Result<Gateway> {
        let mut gateway = Gateway::start(&self.parts).await?;
        for route in ["lasting", "refused", "brief"] {
            gateway.ready(route).await?;
        }
        Ok(gateway)
    }

    pub(super) fn ledger_file(&self) -> PathBuf {
        ledger_in(&self.lab)
    }

    /// Reads the ledger that a gateway left; an empty one where it never came to have one.
    pub(super) fn ledger(&self) -> Result<Contents> {
        match Ledger::inspect(self.ledger_file()) {
            Err(LedgerError::Missing { .. }) => Ok(Contents::default()),
            contents => contents.context("read the ledger"),
        }
    }

    /// Waits until the ledger of the gateway that runs names so many leases.
    pub(super) async fn noted(&self, leases: usize) -> Result<()> {
        wait::until_true("the leases to be in the ledger", PATIENCE, async || {
            Ok(self.ledger_in_use().await?.leases.len() == leases)
        })
        .await
    }

    /// Reads a copy of the ledger of a gateway that runs, between two commits.
    pub(super) async fn ledger_in_use(&self) -> Result<Held> {
        let copy = self.lab.dir().join("copy.redb");
        wait::until("a whole copy of the ledger", PATIENCE, async || {
            fs::copy(self.ledger_file(), &copy)?;
            Ok(Ledger::inspect(&copy).ok().map(held))
        })
        .await
    }

    pub(super) async fn remains(&self) -> Result<Remains> {
        let users = self.lab.postgres.login_roles_like("v-").await?;
        let mut leases = BTreeSet::new();
        for role in ["long", "tiny"] {
            let of_role = self.keys(&format!("{LEASES}/{role}")).await?;
            leases.extend(
                of_role
                    .iter()
                    .map(|it| format!("database/creds/{role}/{it}")),
            );
        }
        Ok(Remains {
            users: users.into_iter().collect(),
            leases,
            tokens: self.tokens().await?,
        })
    }

    /// Waits until no user is left: OpenBao confirms the end of a token first, and ends what hung on it
    /// unknown to the gateway in its own time after that.
    pub(super) async fn swept(&self) -> Result<()> {
        let no_user = async || Ok(self.remains().await?.users.is_empty());
        wait::until_true("users that nobody knew of to be gone", PATIENCE, no_user).await
    }

    /// Fails unless nothing is left at OpenBao, in PostgreSQL or in the ledger.
    pub(super) async fn nothing_is_left(&self) -> Result<()> {
        self.nothing_is_left_but(&BTreeSet::new(), &BTreeSet::new())
            .await
    }

    /// As [`Self::nothing_is_left`], but for tokens that the
    /// ledger never knew: their answers were cut off.
    pub(super) async fn nothing_is_left_but(
        &self,
        strays: &BTreeSet<String>,
        shells: &BTreeSet<String>,
    ) -> Result<()> {
        let left = self.remains().await?;
        ensure!(left.users.is_empty(), "users left: {:?}", left.users);
        let leases: Vec<_> = left.leases.difference(shells).collect();
        ensure!(leases.is_empty(), "leases left: {leases:?}");
        let tokens: Vec<_> = left.tokens.difference(strays).collect();
        ensure!(tokens.is_empty(), "tokens left: {tokens:?}");
        let held = held(self.ledger()?);
        ensure!(held.is_empty(), "in the ledger: {held:?}");
        Ok(())
    }

    async fn tokens(&self) -> Result<BTreeSet<String>> {
        let mut tokens = BTreeSet::new();
        for accessor in self.keys("auth/token/accessors").await? {
            let body = Some(json!({ "accessor": accessor }));
            let root = self.lab.openbao.root_token();
            let path = "auth/token/lookup-accessor";
            let token = self.lab.openbao.call(root, "POST", path, body).await?;
            // One that ended in the meantime is not found.
            let name = token.at("/data/display_name");
            if name.is_some_and(|name| name != "root") {
                tokens.insert(accessor);
            }
        }
        Ok(tokens)
    }

    async fn keys(&self, path: &str) -> Result<Vec<String>> {
        let root = self.lab.openbao.root_token();
        let answer = self.lab.openbao.call(root, "LIST", path, None).await?;
        let keys = answer.body.pointer("/data/keys").and_then(Value::as_array);
        let keys = keys.into_iter().flatten();
        Ok(keys.filter_map(Value::as_str).map(str::to_owned).collect())
    }
}

impl Remains {
    /// Takes the leases out that OpenBao has not answered anybody with.
    pub(super) fn take_shells(&mut self, issued: &BTreeSet<String>) -> BTreeSet<String> {
        let shells = self.leases.difference(issued).cloned().collect();
        self.leases = self.leases.intersection(issued).cloned().collect();
        shells
    }

    /// Returns what of this is in `now`, too. Tokens are meant that a ledger knew.
    pub(super) fn still_in(&self, now: &Self, known: &BTreeSet<String>) -> Self {
        let both = |of: &BTreeSet<_>, now| of.intersection(now).cloned().collect();
        let tokens: BTreeSet<_> = both(&self.tokens, &now.tokens);
        Self {
            users: both(&self.users, &now.users),
            leases: both(&self.leases, &now.leases),
            tokens: tokens.intersection(known).cloned().collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.leases.is_empty() && self.tokens.is_empty()
    }
}

/// Reads OpenBao's audit log as it grows.
pub(super) struct AuditLog {
    file: fs::File,
    /// The beginning of a line that is still being written.
    rest: String,
}

impl AuditLog {
    /// Begins at the end of what there is.
    pub(super) fn follow(file: &Path) -> Result<Self> {
        let mut file = fs::File::open(file)?;
        file.seek(SeekFrom::End(0))?;
        let rest = String::new();
        Ok(Self { file, rest })
    }

    /// Returns the entries that have come since.
    pub(super) fn read(&mut self) -> Result<Vec<Value>> {
        self.file.read_to_string(&mut self.rest)?;
        let Some((whole, rest)) = self.rest.rsplit_once('\n') else {
            return Ok(Vec::new());
        };
        let entries = whole.lines().map(serde_json::from_str);
        let entries = entries.collect::<Result<_, _>>()?;
        self.rest = rest.to_owned();
        Ok(entries)
    }
}

/// Returns what a ledger says is held at the provider.
pub(super) fn held(mut contents: Contents) -> Held {
    contents.providers.remove("vault").unwrap_or_default()
}

/// Returns every accessor that a ledger knows.
pub(super) fn accessors(held: &Held) -> BTreeSet<String> {
    let sessions = held.sessions.iter().map(|it| &it.accessor);
    let anchors = held.anchors.iter().map(|it| &it.accessor);
    sessions.chain(anchors).map(ToString::to_string).collect()
}

fn ledger_in(lab: &Lab) -> PathBuf {
    lab.dir().join("ledger.redb")
}

const LONG: &str = "{ provider: vault, lease: database/creds/long }";
const LEASES: &str = "sys/leases/lookup/database/creds";
const BASIC: &str = "{ basic: { username: username, password: password } }";
const HEADER: &str = "{ header: X-Api-Key, field: password }";
