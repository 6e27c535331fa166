//! What the broker writes down before it asks, and what it finds after a crash. The ledger is a real
//! one, whose thread knows nothing of virtual time: these tests run in real time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use leasehold_broker::End;
use leasehold_ledger::{Contents, IntentState, LeaseState, Ledger};
use leasehold_model::{Failure, InstanceName};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::fake::{FakeProvider, Operation, VirtualClock};
use crate::lab::{Lab, PROVIDER, consumer};

#[tokio::test]
async fn an_intent_is_on_disk_before_the_provider_is_asked() {
    let files = Files::new();
    let mut lab = Lab::anchored(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    files.keep(&mut lab);
    let seen = Arc::new(AtomicUsize::new(0));
    let (count, from, to) = (Arc::clone(&seen), files.ledger(), files.copy());
    lab.provider.on_fetch(move || {
        let contents = inspect_copy(&from, &to).expect("nobody writes now");
        let held = &contents.providers[PROVIDER];
        let [intent] = held.intents.as_slice() else {
            panic!("{held:?}");
        };
        assert_eq!(intent.state, IntentState::Open);
        assert_eq!(intent.credential.as_str(), "tested");
        assert_eq!(intent.holder.as_str(), "anchor-1");
        count.fetch_add(1, Ordering::Relaxed);
    });
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    assert_eq!(lab.stop().await, End::default());
    assert!(files.is_empty(), "{:?}", files.inspect());
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_means_that_nothing_is_issued() {
    let files = Files::new();
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    let (ledger, former) = files.open();
    ledger.close().expect("closed in order");
    lab.broker.keep_ledger(ledger, &former);
    let lab = lab.run();
    lab.until(|it| it.provider.has_session()).await;
    let refused = "operation=\"fetch\",outcome=\"transient\"";
    lab.until(|it| it.metrics().contains(refused)).await;
    assert_eq!(lab.provider.fetched(), 0);
    assert!(handle.current(lab.now()).is_err());
    assert!(!lab.metrics().contains("leasehold_ledger_failures 0"));
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test]
async fn what_a_killed_process_left_is_given_back_by_the_next() {
    let files = Files::new();
    let provider = Arc::new(FakeProvider::granting(3600, true));
    files.run_and_kill(&provider).await;
    let contents = files.inspect();
    let held = &contents.providers[PROVIDER];
    assert_eq!(held.leases.len(), 2, "{held:?}");
    let consumers = held.leases.iter().filter_map(|it| it.consumer.clone());
    assert_eq!(consumers.collect::<Vec<_>>(), [consumer("a")]);
    assert_eq!((held.anchors.len(), held.sessions.len()), (1, 1));
    // The clock of these tests began in 1970.
    let ends = held.leases.iter().map(|it| it.deadline);
    let ends: Vec<_> = ends
        .filter_map(|it| it.duration_since(UNIX_EPOCH).ok())
        .collect();
    assert!(
        ends.iter().all(|it| (3600..3660).contains(&it.as_secs())),
        "{ends:?}"
    );

    let clock = Arc::new(VirtualClock::start());
    let mut lab = Lab::of(Arc::clone(&provider), clock, true);
    let handle = lab.leased("tested");
    files.keep(&mut lab);
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    lab.until(|it| it.provider.ended().len() == 2).await;
    assert_eq!(sorted(provider.revoked()), ["lease-1", "lease-2"]);
    assert_eq!(sorted(provider.ended()), ["anchor-1", "session-1"]);
    assert_eq!(provider.fetched(), 3);
    for outcome in ["found", "revoked"] {
        let line = format!("leasehold_orphans_total{{provider=\"fake\",outcome=\"{outcome}\"}} 2");
        lab.until(|it| it.metrics().contains(&line)).await;
    }
    assert_eq!(lab.stop().await, End::default());
    assert!(files.is_empty(), "{:?}", files.inspect());
}

#[tokio::test]
async fn a_lease_that_ran_out_while_nobody_was_there_is_claimed_and_not_called_revoked() {
    let files = Files::new();
    let provider = Arc::new(FakeProvider::granting(3600, true));
    files.run_and_kill(&provider).await;
    let clock = VirtualClock::ahead(Duration::from_secs(2 * 3600));
    let mut lab = Lab::of(Arc::clone(&provider), Arc::new(clock), true);
    let handle = lab.leased("tested");
    files.keep(&mut lab);
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    let claimed = "leasehold_orphans_total{provider=\"fake\",outcome=\"expiry_claimed\"} 2";
    lab.until(|it| it.metrics().contains(claimed)).await;
    assert!(!lab.metrics().contains("outcome=\"revoked\""));
    assert_eq!(lab.stop().await, End::default());
    let totals = files.inspect().providers[PROVIDER].totals.clone();
    // The one that serves now was revoked in order.
    assert_eq!(
        (totals.leases_expiry_claimed, totals.leases_revoked),
        (2, 1)
    );
    assert!(files.is_empty(), "{:?}", files.inspect());
}

#[tokio::test]
async fn what_could_not_be_given_back_in_time_is_counted_at_the_end_and_left_to_the_next() {
    let files = Files::new();
    let provider = Arc::new(FakeProvider::granting(3600, true));
    files.run_and_kill(&provider).await;
    // Without a lease of its own that serves it does not begin with those of others.
    provider.fail_only(Operation::Fetch, Failure::Transient);
    let clock = Arc::new(VirtualClock::start());
    let mut lab = Lab::of(Arc::clone(&provider), clock, true);
    let _handle = lab.leased("tested");
    files.keep(&mut lab);
    let lab = lab.run();
    let failed = "operation=\"fetch\",outcome=\"transient\"";
    lab.until(|it| it.metrics().contains(failed)).await;
    let end = lab.stop().await;
    assert_eq!((end.orphans, end.is_clean()), (2, false), "{end:?}");
    assert_eq!(files.inspect().providers[PROVIDER].leases.len(), 2);
}

#[tokio::test]
async fn what_the_provider_would_not_end_is_kept_until_it_has_run_out() {
    let files = Files::new();
    let provider = Arc::new(FakeProvider::granting(3600, true));
    files.run_and_kill(&provider).await;
    provider.fail_only(Operation::RevokeFormer, Failure::Denied);
    let refused = "operation=\"revoke_former\",outcome=\"denied\"} 2";
    // They were granted an hour.
    for (hours, left) in [(0, 2), (2, 0)] {
        let clock = VirtualClock::ahead(Duration::from_secs(hours * 3600));
        let mut lab = Lab::of(Arc::clone(&provider), Arc::new(clock), true);
        let handle = lab.leased("tested");
        files.keep(&mut lab);
        let lab = lab.run();
        drop(lab.ready(&handle).await);
        lab.until(|it| it.metrics().contains(refused)).await;
        assert_eq!(lab.stop().await, End::default());
        let contents = files.inspect();
        let held = &contents.providers[PROVIDER];
        assert_eq!(held.anchors.len() + held.sessions.len(), left, "{held:?}");
    }
    assert!(files.is_empty(), "{:?}", files.inspect());
}

#[tokio::test]
async fn what_was_left_at_a_provider_that_is_not_used_any_more_stays_in_the_ledger() {
    let files = Files::new();
    let provider = Arc::new(FakeProvider::granting(3600, true));
    files.run_and_kill(&provider).await;
    let before = files.inspect().providers;
    let clock = Arc::new(VirtualClock::start());
    let mut broker = Lab::without_provider(&clock);
    let (ledger, former) = files.open();
    broker.keep_ledger(ledger, &former);
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert_eq!(
        broker.run(stopped, Duration::from_secs(1)).await,
        End::default()
    );
    assert_eq!(files.inspect().providers, before);
}

#[tokio::test]
async fn an_issue_without_an_answer_is_collected_with_what_it_hung_on() {
    let files = Files::new();
    let provider = Arc::new(FakeProvider::granting(3600, true));
    let clock = Arc::new(VirtualClock::start());
    let mut lab = Lab::of(Arc::clone(&provider), Arc::clone(&clock), false);
    drop(lab.leased("tested"));
    files.keep(&mut lab);
    provider.fail_only(Operation::Fetch, Failure::MaybeIssued);
    let (from, to) = (files.ledger(), files.copy());
    let has_leaked = || {
        let contents = inspect_copy(&from, &to)?;
        let intent = contents.providers.get(PROVIDER)?.intents.first()?.state;
        Some(intent == IntentState::MaybeLeaked)
    };
    let mut run = Box::pin(lab.broker.run(CancellationToken::new(), Duration::ZERO));
    while has_leaked() != Some(true) {
        let moment = Duration::from_millis(10);
        assert!(timeout(moment, &mut run).await.is_err(), "it runs on");
    }
    drop(run);
    let contents = files.inspect();
    let held = &contents.providers[PROVIDER];
    let [intent] = held.intents.as_slice() else {
        panic!("{held:?}");
    };
    assert_eq!(intent.state, IntentState::MaybeLeaked);

    provider.fail_with(None);
    let mut lab = Lab::of(Arc::clone(&provider), clock, false);
    let handle = lab.leased("tested");
    files.keep(&mut lab);
    let lab = lab.run();
    drop(lab.ready(&handle).await);
    lab.until(|it| it.provider.ended() == [intent.holder.as_str()])
        .await;
    assert_eq!(lab.stop().await, End::default());
    assert!(files.is_empty(), "{:?}", files.inspect());
    let totals = &files.inspect().providers[PROVIDER].totals;
    assert_eq!(totals.intents_collected, 1);
}

#[tokio::test]
async fn renewal_and_rotation_leave_the_ledger_with_what_is_held() {
    let files = Files::new();
    let mut lab = Lab::new(FakeProvider::granting(3600, true));
    let handle = lab.leased("tested");
    files.keep(&mut lab);
    let lab = lab.run();
    let in_use = lab.ready(&handle).await;
    let name = handle.credential().clone();
    drop(lab.control.rotate(&name, None).await.expect("accepted"));
    let (from, to) = (files.ledger(), files.copy());
    let holds = |leases: &[(&str, LeaseState)]| {
        let Some(contents) = inspect_copy(&from, &to) else {
            return false;
        };
        let held = &contents.providers[PROVIDER];
        let held_leases = held.leases.iter();
        let found: Vec<_> = held_leases
            .map(|it| (it.lease_id.as_str(), it.state))
            .collect();
        found == leases && held.intents.is_empty()
    };
    let retired = ("lease-1", LeaseState::Retired);
    let held = ("lease-2", LeaseState::Held);
    lab.until(|_| holds(&[retired, held])).await;
    drop(in_use);
    lab.until(|it| it.provider.revoked() == ["lease-1"]).await;
    lab.until(|_| holds(&[held])).await;
    assert_eq!(lab.stop().await, End::default());
    let contents = files.inspect();
    let totals = &contents.providers[PROVIDER].totals;
    assert_eq!((totals.leases_revoked, totals.unmatched), (2, 0));
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

/// A directory with a ledger in it.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger.redb")
    }

    fn copy(&self) -> PathBuf {
        self.0.path().join("copy.redb")
    }

    fn open(&self) -> (Ledger, leasehold_ledger::Former) {
        Ledger::open(self.ledger(), &InstanceName::from("tested")).expect("a ledger")
    }

    fn keep(&self, lab: &mut Lab) {
        let (ledger, former) = self.open();
        lab.broker.keep_ledger(ledger, &former);
    }

    /// Runs a broker until it holds a lease for everybody and one for a consumer, and stops it without
    /// a word to the provider, as a kill does.
    async fn run_and_kill(&self, provider: &Arc<FakeProvider>) {
        let clock = Arc::new(VirtualClock::start());
        let mut lab = Lab::of(Arc::clone(provider), clock, true);
        let handle = lab.leased("tested");
        let family = lab.family("own", 10, Duration::from_secs(3600));
        self.keep(&mut lab);
        let mut run = Box::pin(lab.broker.run(CancellationToken::new(), Duration::ZERO));
        let own = family.handle(&consumer("a")).expect("a place");
        let limit = Duration::from_secs(60);
        let served = async { (handle.acquired(limit).await, own.acquired(limit).await) };
        tokio::select! {
            end = &mut run => panic!("{end:?}"),
            (first, second) = served => drop((first.expect("served"), second.expect("served"))),
        }
    }

    fn inspect(&self) -> Contents {
        Ledger::inspect(self.ledger()).expect("a ledger")
    }

    fn is_empty(&self) -> bool {
        self.inspect()
            .providers
            .values()
            .all(leasehold_ledger::Held::is_empty)
    }
}

/// Reads a ledger that is in use, from a copy: the file is as its last commit left it. `None` where a
/// commit came in between.
fn inspect_copy(from: &Path, to: &Path) -> Option<Contents> {
    std::fs::copy(from, to).expect("a copy");
    Ledger::inspect(to).ok()
}
