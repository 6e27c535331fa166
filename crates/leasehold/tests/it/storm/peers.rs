//! What a request costs here and with the gateways that operators know, in one interleaved run.
//!
//! Absolute figures move with the machine from hour to hour; what is compared is CPU time a request, and only
//! within one run. Each peer runs on the first core with one worker and puts a credential in the place of the
//! consumer's own; the load generator and the origin, which refuses whoever did not, have the second.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leasehold_testkit::{Lab, Scratch};

use self::load::Load;
use self::peer::{Origin, Peer, Place};
use self::report::Figures;
use crate::support::lab;

mod idle;
mod load;
mod peer;
mod report;

#[tokio::test]
#[ignore = "takes minutes and other gateways; `cargo xtask bench peers`"]
async fn a_request_costs_what_it_costs() -> Result<()> {
    let rounds: usize = option_env!("STORM_COUNT").unwrap_or("8").parse()?;
    let wanted = |scenario: &&Scenario| {
        option_env!("STORM_SCENARIOS").is_none_or(|it| it.split(',').any(|id| id == scenario.id))
    };
    let (_turn, lab) = lab().await?;
    let rig = Rig::set_up(&lab).await?;
    let mut peers = rig.start_peers(&lab).await?;
    let mut figures = Figures::default();
    for round in 0..rounds {
        for scenario in SCENARIOS.iter().filter(wanted) {
            // Each round in another order, so that no peer always follows the same one.
            for number in 0..peers.len() {
                let peer = &peers[(number + round) % peers.len()];
                if scenario.is_for(peer) {
                    let load = Load {
                        place: &rig.place,
                        peer,
                        scenario,
                    };
                    figures.add(scenario.id, peer.name, load.cost().await?);
                }
            }
        }
    }
    for scenario in RATES.iter().filter(wanted) {
        for peer in peers.iter().filter(|it| scenario.is_for(it)) {
            let load = Load {
                place: &rig.place,
                peer,
                scenario,
            };
            figures.add_latency(scenario.id, peer.name, load.latency().await?);
        }
    }
    for tls in [false, true] {
        // Each kind in processes that have done nothing else: what is held after others would be held in
        // memory that those have left.
        stop(peers).await?;
        peers = rig.start_peers(&lab).await?;
        for peer in &peers {
            let kib = idle::memory(&rig.place, peer, tls).await;
            let kib = kib.with_context(|| format!("hold connections to {}", peer.name))?;
            figures.add_idle(tls, peer.name, kib);
        }
    }
    let names: Vec<_> = peers.iter().map(|it| it.name).collect();
    let report = figures.report(&SCENARIOS.map(|it| (it.id, it.what)), &names);
    println!("{report}");
    if let Some(directory) = option_env!("STORM_OUT").map(PathBuf::from) {
        std::fs::write(directory.join("peers.md"), &report)?;
        std::fs::write(directory.join("peers.svg"), figures.drawing(&names))?;
    }
    stop(peers).await
}

async fn stop(peers: Vec<Peer>) -> Result<()> {
    for peer in peers {
        peer.stop().await?;
    }
    Ok(())
}

/// The origin and the directory that all peers share.
struct Rig {
    place: Place,
    _origin: Origin,
    _directory: Scratch,
}

impl Rig {
    async fn set_up(lab: &Lab) -> Result<Self> {
        let directory = Scratch::new()?;
        let place = Place::prepare(directory.path())?;
        let origin = Origin::start(&place).await?;
        lab.create_db_role("lasting", "1h", "24h").await?;
        Ok(Self {
            place,
            _origin: origin,
            _directory: directory,
        })
    }

    async fn start_peers(&self, lab: &Lab) -> Result<Vec<Peer>> {
        let mut peers = vec![Peer::leasehold(&self.place, lab).await?];
        for name in ["nginx", "nginx-log", "haproxy", "envoy"] {
            peers.push(Peer::start(name, &self.place).await?);
        }
        for peer in &peers {
            peer.check()
                .await
                .with_context(|| format!("try {}", peer.name))?;
        }
        Ok(peers)
    }
}

/// One kind of load.
struct Scenario {
    id: &'static str,
    what: &'static str,
    path: &'static str,
    tls: bool,
    http2: bool,
    /// A new connection for each request.
    churn: bool,
    connections: usize,
    requests: usize,
    /// Requests a second, where they come at a rate.
    rate: Option<usize>,
}

impl Scenario {
    /// The cost of a log line is compared only where the issue of it is.
    fn is_for(&self, peer: &Peer) -> bool {
        peer.name != "nginx-log" || self.id == "h1-1k"
    }
}

const H1: Scenario = Scenario {
    id: "h1-1k",
    what: "HTTP/1.1, kept connections, 1 KiB",
    path: "/1k",
    tls: false,
    http2: false,
    churn: false,
    connections: 64,
    requests: 8000,
    rate: None,
};
const SCENARIOS: [Scenario; 7] = [
    H1,
    Scenario {
        id: "h1-100k",
        what: "HTTP/1.1, 100 KiB",
        path: "/100k",
        requests: 1500,
        ..H1
    },
    Scenario {
        id: "tls-h1-1k",
        what: "TLS, HTTP/1.1, 1 KiB",
        tls: true,
        requests: 6000,
        ..H1
    },
    Scenario {
        id: "tls-h2-1k",
        what: "TLS, HTTP/2, 1 KiB",
        tls: true,
        http2: true,
        connections: 16,
        requests: 6000,
        ..H1
    },
    Scenario {
        id: "up-tls-1k",
        what: "HTTP/1.1 in, TLS to the upstream, 1 KiB",
        path: "/tls/1k",
        requests: 6000,
        ..H1
    },
    Scenario {
        id: "churn",
        what: "a new TCP connection each request",
        churn: true,
        connections: 16,
        requests: 2500,
        ..H1
    },
    Scenario {
        id: "churn-tls",
        what: "a new TLS connection each request",
        tls: true,
        churn: true,
        connections: 8,
        requests: 400,
        ..H1
    },
];
const RATES: [Scenario; 3] = [
    Scenario {
        id: "rate-h1-1k",
        what: "HTTP/1.1, 3,200 requests/s",
        requests: 12_800,
        rate: Some(3200),
        ..H1
    },
    Scenario {
        id: "rate-tls-h1-1k",
        what: "TLS, HTTP/1.1, 1,920 requests/s",
        tls: true,
        requests: 7680,
        rate: Some(1920),
        ..H1
    },
    Scenario {
        id: "rate-tls-h2-1k",
        what: "TLS, HTTP/2, 1,920 requests/s",
        tls: true,
        http2: true,
        connections: 16,
        requests: 7680,
        rate: Some(1920),
        ..H1
    },
];
const PATIENCE: Duration = Duration::from_secs(120);
