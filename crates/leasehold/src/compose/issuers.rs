//! The keys of those who issue tokens: kept over reloads, as long as the declaration stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_config::{Jwks, JwksSource, Snapshot, TokenIssuer};
use leasehold_consumer::{
    Algorithm, CertificateName, Consumers, Issuer, IssuerKeys, KeyDigest, KeyFetcher, KeySource,
    TokenRule,
};
use leasehold_model::{Clock, ConsumerName, IssuerName};
use leasehold_proxy::IdentityHeaders;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{ComposeError, header_name};

/// Keys by issuer.
pub(crate) type AllKeys = BTreeMap<IssuerName, Arc<KeptKeys>>;

/// The keys of an issuer, and who fetches them until nobody has them any more.
pub(crate) struct KeptKeys {
    identifier: String,
    declared: Jwks,
    keys: Arc<IssuerKeys>,
    /// Until it is at work.
    fetcher: Mutex<Option<KeyFetcher>>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl KeptKeys {
    fn new(issuer: &TokenIssuer, clock: &Arc<dyn Clock>) -> Result<Self, ComposeError> {
        let keys = Arc::new(IssuerKeys::new(issuer.keys.max_stale));
        let source = match &issuer.keys.from {
            JwksSource::File(path) => KeySource::File(path.clone()),
            JwksSource::Url { url, ca } => KeySource::Url {
                url: url.clone(),
                ca: ca.clone(),
            },
        };
        let (name, refresh) = (issuer.name.clone(), issuer.keys.refresh);
        let fetcher = KeyFetcher::new(name, &source, refresh, Arc::clone(&keys), Arc::clone(clock));
        let fetcher = fetcher.map_err(|source| ComposeError::Issuer {
            issuer: issuer.name.clone(),
            source,
        })?;
        let stop = CancellationToken::new();
        Ok(Self {
            identifier: issuer.identifier.clone(),
            declared: issuer.keys.clone(),
            keys,
            fetcher: Mutex::new(Some(fetcher)),
            _guard: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Tells whether they are what is declared: another issuer's keys are never taken for these.
    fn is_for(&self, issuer: &TokenIssuer) -> bool {
        self.identifier == issuer.identifier && self.declared == issuer.keys
    }

    fn follow(&self, tasks: &TaskTracker) {
        let fetcher = self.fetcher.lock().take();
        if let Some(fetcher) = fetcher {
            let stop = self.stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(fetcher.run()).await });
        }
    }
}

/// Returns the keys of all issuers that are declared: those of before where these are the same.
pub(super) fn keys(
    snapshot: &Snapshot,
    former: Option<&AllKeys>,
    clock: &Arc<dyn Clock>,
) -> Result<AllKeys, ComposeError> {
    let mut all = BTreeMap::new();
    for issuer in &snapshot.token_issuers {
        let before = former.and_then(|it| it.get(&issuer.name));
        let kept = match before.filter(|it| it.is_for(issuer)) {
            Some(kept) => Arc::clone(kept),
            None => Arc::new(KeptKeys::new(issuer, clock)?),
        };
        all.insert(issuer.name.clone(), kept);
    }
    Ok(all)
}

/// Begins to fetch what is not fetched yet.
pub(crate) fn follow(all: &AllKeys, tasks: &TaskTracker) {
    all.values().for_each(|it| it.follow(tasks));
}

pub(super) fn consumers(snapshot: &Snapshot, all: &AllKeys) -> Result<Consumers, ComposeError> {
    let declared = || snapshot.consumers.iter();
    let keys = declared().flat_map(|consumer| {
        let keys = consumer.keys.iter();
        keys.map(|digest| (consumer.name.clone(), KeyDigest(*digest)))
    });
    let tokens = declared().flat_map(|consumer| {
        let tokens = consumer.tokens.iter();
        tokens.map(|it| TokenRule {
            consumer: consumer.name.clone(),
            issuer: it.issuer.clone(),
            subject: it.subject.clone(),
            claims: it.claims.clone(),
        })
    });
    let certificates = declared().flat_map(|consumer| {
        let certificates = consumer.certificates.iter();
        certificates.map(|it| (consumer.name.clone(), certificate(it)))
    });
    let mut issuers = Vec::new();
    for declared in &snapshot.token_issuers {
        // Every issuer that is declared has its place there.
        if let Some(kept) = all.get(&declared.name) {
            issuers.push(issuer(declared, kept)?);
        }
    }
    let scopes = declared().map(|it| (it.name.clone(), it.scopes.clone()));
    let scopes: Vec<(ConsumerName, Vec<String>)> = scopes.collect();
    let header = header_name(&snapshot.consumer_key_header)?;
    Ok(Consumers::new(header, keys)
        .with_tokens(issuers, tokens.collect())
        .with_certificates(certificates)
        .with_scopes(scopes))
}

fn issuer(declared: &TokenIssuer, kept: &KeptKeys) -> Result<Issuer, ComposeError> {
    let algorithms = declared.algorithms.iter();
    Ok(Issuer {
        name: declared.name.clone(),
        identifier: declared.identifier.clone(),
        audiences: declared.audiences.clone(),
        algorithms: algorithms
            .filter_map(|it| Algorithm::from_name(it))
            .collect(),
        clock_skew: declared.clock_skew,
        header: header_name(&declared.header)?,
        longest: declared.max_token_size,
        keys: Arc::clone(&kept.keys),
    })
}

fn certificate(declared: &leasehold_config::ConsumerCertificate) -> CertificateName {
    match declared {
        leasehold_config::ConsumerCertificate::SanUri(uri) => CertificateName::SanUri(uri.clone()),
        leasehold_config::ConsumerCertificate::SanDns(name) => {
            CertificateName::SanDns(name.clone())
        }
        leasehold_config::ConsumerCertificate::Subject(text) => {
            CertificateName::Subject(text.clone())
        }
        leasehold_config::ConsumerCertificate::Sha256(digest) => CertificateName::Sha256(*digest),
    }
}

pub(super) fn identity(
    declared: &leasehold_config::IdentityHeaders,
) -> Result<IdentityHeaders, ComposeError> {
    let name = |text: &Option<String>| text.as_deref().map(header_name).transpose();
    Ok(IdentityHeaders {
        consumer: name(&declared.consumer)?,
        subject: name(&declared.subject)?,
        issuer: name(&declared.issuer)?,
        scopes: name(&declared.scopes)?,
        authenticated_by: name(&declared.authenticated_by)?,
    })
}
