//! Looks at the server's side of a configuration and says what an operator should mend, and how.

mod anchor;
mod audit;
mod finding;
mod login;
mod mend;
mod need;
mod policy;
mod rights;
mod roles;
mod server;
mod visit;

use leasehold_model::{Clock, CredentialName};
use leasehold_provider::Source;

pub use self::finding::{Finding, Report, Severity};
use self::mend::Mender;
use self::need::Need;
use self::visit::{Server, Visit};
use crate::config::VaultConfig;

/// What the server is to be looked at for.
#[derive(Clone, Debug)]
pub struct Examination {
    /// What is fetched there.
    pub credentials: Vec<(CredentialName, Source)>,
    /// The token role that anchors are made through, where there are anchors.
    pub token_role: Option<String>,
    /// Whether credentials may be issued, looked at and revoked where the lifetime of their leases
    /// can't be read.
    pub issue: bool,
}

/// Logs in, looks, and gives back what that took.
///
/// What can't be looked at is a finding too; [`Report::looked`] tells whether there was a login to look
/// with. No finding holds a secret.
pub async fn examine(config: &VaultConfig, examination: &Examination, clock: &dyn Clock) -> Report {
    let mut report = Report::default();
    report.extend(server::addresses(&config.addresses));
    let server = match Server::new(config) {
        Ok(server) => server,
        Err(error) => return report.blind(Finding::error("setup", visit::chain(&error))),
    };
    let Some(program) = server::health(&server, clock, &mut report).await else {
        return report;
    };
    let mut mender = Mender::new(program, config.namespace.clone());
    if let Some(finding) = login::must_not_be_tried(config) {
        return report.blind(finding);
    }
    let visit = match Visit::open(&server, config, clock.wall()).await {
        Ok(visit) => visit,
        Err(error) => return report.blind(login::refused(&error, config, &mender)),
    };
    report.looked = true;
    look_around(&visit, examination, &mut mender, &mut report).await;
    if let Some(finding) = visit.close().await {
        report.push(finding);
    }
    report
}

async fn look_around(
    visit: &Visit,
    examination: &Examination,
    mender: &mut Mender,
    report: &mut Report,
) {
    let needs = need::of(&examination.credentials, examination.token_role.as_deref());
    let token = visit.token().await;
    mender.set_up(
        token.as_ref().ok(),
        needs.clone(),
        examination.token_role.clone(),
    );
    match &token {
        Ok(token) => login::examine(visit.auth(), token, examination, mender, report),
        Err(reason) => report.push(
            Finding::error("login", format!("the login can't be looked up: {reason}"))
                .mended_by(mender.role("token_no_default_policy=false")),
        ),
    }
    let role = mender.login_role().map(str::to_owned);
    rights::examine(visit, &needs, role.as_deref(), mender, report).await;
    if let Some(token_role) = &examination.token_role {
        anchor::examine(visit, token_role, &needs, mender, report).await;
    }
    roles::examine(visit, examination, mender, report).await;
    audit::examine(visit, mender, report).await;
}
