use std::collections::BTreeSet;
use std::path::Path;

use leasehold_ledger::Ledger;

use crate::lab::{Lab, file_of_started, intent, issued, open, renewed, revoked, start};

const RUNS: u64 = 20;

#[test]
fn a_writer_killed_at_any_moment_leaves_every_change_it_was_answered() {
    let lab = Lab::new();
    let mut acknowledged = Acknowledged::default();
    let mut total = 0;
    for run in 1..=RUNS {
        let (mut child, mut lines) = start("crash::writer", &lab.file(), "");
        // At another moment each time: some early in the first commits, some in the midst.
        let wanted = fastrand::u64(1..60);
        let mut reports = lines
            .by_ref()
            .map_while(Result::ok)
            .filter_map(|line| Report::parse(&line));
        for report in reports
            .by_ref()
            .take(usize::try_from(wanted).expect("small"))
        {
            acknowledged.add(&report);
            total += 1;
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        for report in reports {
            acknowledged.add(&report);
            total += 1;
        }
        acknowledged.assert_in(&lab.file(), run);
    }
    assert!(total >= RUNS, "{total} acknowledged");
    let (ledger, former) = open(&lab.file()).expect("opened");
    assert!(!former.is_empty());
    ledger.close().expect("closed");
}

/// Is the process that is killed: issues and revokes without end, and reports what is on disk.
#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn writer() {
    let Some(file) = file_of_started() else {
        return;
    };
    let (ledger, _) = open(&file).expect("opened");
    let life = ledger.incarnation();
    for id in 0.. {
        ledger.write(intent(id, "a1")).await.expect("written");
        println!("\nintent {life} {id}");
        let lease = format!("{life}/{id}");
        ledger.write(issued(id, &lease)).await.expect("written");
        println!("\nlease {life} {id}");
        ledger.note(renewed(&lease, id));
        if id % 3 == 0 {
            ledger.write(revoked(&lease)).await.expect("written");
            println!("\nrevoked {life} {id}");
        }
    }
}

/// A line of the writer: which change is on disk.
struct Report {
    what: String,
    life: String,
    id: u64,
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let what = words.next()?.to_owned();
        if !["intent", "lease", "revoked"].contains(&what.as_str()) {
            return None;
        }
        let life = words.next()?.to_owned();
        let id = words.next()?.parse().ok()?;
        Some(Self { what, life, id })
    }
}

/// The last that was acknowledged of each lease.
#[derive(Default)]
struct Acknowledged {
    intents: BTreeSet<(String, u64)>,
    leases: BTreeSet<(String, u64)>,
    revoked: BTreeSet<(String, u64)>,
}

impl Acknowledged {
    fn add(&mut self, report: &Report) {
        let key = (report.life.clone(), report.id);
        match report.what.as_str() {
            "intent" => self.intents.insert(key),
            "lease" => self.leases.insert(key),
            _ => self.revoked.insert(key),
        };
    }

    fn assert_in(&self, file: &Path, run: u64) {
        let contents = Ledger::inspect(file).expect("contents");
        let held = contents.providers.get("vault").cloned();
        let held = held.unwrap_or_default();
        let intents: BTreeSet<_> = held
            .intents
            .iter()
            .map(|it| (it.incarnation.to_string(), it.id.0))
            .collect();
        let leases: BTreeSet<_> = held
            .leases
            .iter()
            .map(|it| it.lease_id.as_str().to_owned())
            .collect();
        let lease = |(life, id): &(String, u64)| leases.contains(&format!("{life}/{id}"));
        for key in &self.revoked {
            assert!(!lease(key), "run {run}: {key:?} was revoked and is there");
        }
        for key in self.leases.difference(&self.revoked) {
            // The change that was under way at the kill may be there unacknowledged.
            let may_be_revoked = key.1.is_multiple_of(3) && self.is_last(key);
            assert!(
                lease(key) || may_be_revoked,
                "run {run}: {key:?} is missing"
            );
            assert!(
                !intents.contains(key),
                "run {run}: {key:?} is a lease and an intent"
            );
        }
        for key in self.intents.difference(&self.leases) {
            assert!(
                intents.contains(key) || lease(key),
                "run {run}: {key:?} is missing"
            );
        }
        let revoked = u64::try_from(self.revoked.len()).expect("fits");
        assert!(
            held.totals.leases_revoked >= revoked,
            "run {run}: {:?}",
            held.totals
        );
        assert!(
            held.totals.leases_revoked <= revoked + run,
            "run {run}: {:?}",
            held.totals
        );
    }

    fn is_last(&self, key: &(String, u64)) -> bool {
        let of_life = self.intents.iter().filter(|it| it.0 == key.0);
        of_life.map(|it| it.1).max() == Some(key.1)
    }
}
