use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::load::Latency;

/// Everything that was measured, by scenario and peer.
#[derive(Default)]
pub(super) struct Figures {
    costs: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    latencies: BTreeMap<(&'static str, &'static str), Latency>,
    idle: BTreeMap<(bool, &'static str), f64>,
}

impl Figures {
    pub(super) fn add(&mut self, scenario: &'static str, peer: &'static str, cost: f64) {
        self.costs.entry((scenario, peer)).or_default().push(cost);
    }

    pub(super) fn add_latency(
        &mut self,
        scenario: &'static str,
        peer: &'static str,
        latency: Latency,
    ) {
        self.latencies.insert((scenario, peer), latency);
    }

    pub(super) fn add_idle(&mut self, tls: bool, peer: &'static str, kib: f64) {
        self.idle.insert((tls, peer), kib);
    }

    /// Returns tables in Markdown.
    pub(super) fn report(&self, scenarios: &[(&str, &str)], peers: &[&'static str]) -> String {
        let mut text =
            String::from("CPU µs a request, and the median ratio to nginx in the same round\n\n");
        header(&mut text, "load", peers);
        for (id, what) in scenarios {
            let cells: Vec<_> = peers.iter().map(|peer| self.cost_cell(id, peer)).collect();
            if cells.iter().any(|cell| cell != NOTHING) {
                row(&mut text, what, &cells);
            }
        }
        text.push_str("\nLatency at a fixed rate, p50 / p99 in µs\n\n");
        header(&mut text, "load", peers);
        let rates: std::collections::BTreeSet<_> = self.latencies.keys().map(|it| it.0).collect();
        for rate in rates {
            let cell = |peer: &&'static str| match self.latencies.get(&(rate, *peer)) {
                Some(it) => format!("{:.0} / {:.0}", it.p50, it.p99),
                None => NOTHING.to_owned(),
            };
            row(&mut text, rate, &peers.iter().map(cell).collect::<Vec<_>>());
        }
        text.push_str("\nResident memory of a kept connection, KiB\n\n");
        header(&mut text, "connection", peers);
        for (tls, name) in [(false, "plain"), (true, "TLS")] {
            let cell = |peer: &&'static str| {
                let kib = self.idle.get(&(tls, *peer));
                kib.map_or(NOTHING.to_owned(), |it| format!("{it:.1}"))
            };
            row(&mut text, name, &peers.iter().map(cell).collect::<Vec<_>>());
        }
        text
    }

    /// Draws the ratios to nginx as bars.
    pub(super) fn drawing(&self, peers: &[&'static str]) -> String {
        let ids: std::collections::BTreeSet<_> = self.costs.keys().map(|it| it.0).collect();
        let mut bars = String::new();
        let mut y = 30;
        for id in ids {
            _ = writeln!(
                bars,
                "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{id}</text>",
                y + 12
            );
            y += 20;
            for (peer, colour) in peers.iter().zip(COLOURS.iter().cycle()) {
                let Some(ratio) = self.ratio(id, peer) else {
                    continue;
                };
                let width = (ratio * 110.0).min(600.0);
                _ = writeln!(
                    bars,
                    "<text x=\"20\" y=\"{}\">{peer}</text>\
                     <rect x=\"110\" y=\"{y}\" width=\"{width:.0}\" height=\"14\" fill=\"{colour}\"/>\
                     <text x=\"{:.0}\" y=\"{}\">{ratio:.2}</text>",
                    y + 12,
                    115.0 + width,
                    y + 12
                );
                y += 18;
            }
            y += 10;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"780\" height=\"{y}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
             fill=\"white\"/>\n<text x=\"10\" y=\"20\">CPU time a request, nginx = 1 (less is \
             better)</text>\n{bars}</svg>\n"
        )
    }

    fn cost_cell(&self, scenario: &str, peer: &str) -> String {
        let costs = self.of(scenario, peer);
        let Some(cost) = median(costs.to_vec()) else {
            return NOTHING.to_owned();
        };
        match self.ratio(scenario, peer) {
            Some(ratio) => format!("{cost:.1} ({ratio:.2})"),
            None => format!("{cost:.1}"),
        }
    }

    fn ratio(&self, scenario: &str, peer: &str) -> Option<f64> {
        let pairs = self
            .of(scenario, peer)
            .iter()
            .zip(self.of(scenario, "nginx"));
        median(pairs.map(|(own, nginx)| own / nginx).collect())
    }

    fn of(&self, scenario: &str, peer: &str) -> &[f64] {
        let found = self.costs.iter().find(|(key, _)| **key == (scenario, peer));
        found.map_or(&[], |(_, costs)| costs)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn header(text: &mut String, first: &str, peers: &[&str]) {
    row(text, first, peers);
    row(text, "---", &vec!["---"; peers.len()]);
}

fn row<T: AsRef<str>>(text: &mut String, first: &str, cells: &[T]) {
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    _ = writeln!(text, "| {first} | {} |", cells.join(" | "));
}

const NOTHING: &str = "–";
const COLOURS: [&str; 5] = ["#0b7285", "#adb5bd", "#868e96", "#e8b339", "#b197fc"];
