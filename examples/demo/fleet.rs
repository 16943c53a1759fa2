//! Looks at the fleet all the time while something else happens, and remembers the extremes.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice::cloud::local::LocalCloud;
use sluice::fleet::{Fleet, Replica};
use sluice::spec::{EndpointName, VersionNumber};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::story::{Failure, broken, line};

/// Rest between two looks.
const REST: Duration = Duration::from_millis(15);

/// Somebody who looks.
#[derive(Debug)]
pub struct Watch {
    enough: CancellationToken,
    watching: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often somebody looked.
    pub looks: u32,
    /// Most replicas that held devices at once.
    pub occupied_most: usize,
    /// Fewest replicas that served at once.
    pub ready_least: usize,
    /// The fleet each time it had changed.
    pub fleets: Vec<String>,
    /// Looks that failed.
    pub errors: Vec<String>,
}

impl Watch {
    /// Begins to look, and shows each change.
    pub fn start(cloud: LocalCloud, endpoint: EndpointName) -> Self {
        let enough = CancellationToken::new();
        let watching = tokio::spawn(watch(cloud, endpoint, enough.clone()));
        Self { enough, watching }
    }

    /// Stops to look.
    pub async fn finish(self) -> Result<Seen, Failure> {
        self.enough.cancel();
        self.watching.await.map_err(broken("watch the fleet"))
    }
}

impl Seen {
    /// Never more than `most` replicas held devices, and never fewer than `least` served.
    pub fn stays_within(&self, most: usize, least: usize) -> bool {
        self.looks > 0 && self.errors.is_empty() && self.occupied_most <= most && self.ready_least >= least
    }

    /// What was seen, for people.
    pub fn evidence(&self) -> String {
        let Self { looks, occupied_most, ready_least, fleets, errors } = self;
        format!(
            "{looks} looks: at most {occupied_most} occupied, at least {ready_least} ready\n{}\n{}",
            fleets.join("\n"),
            errors.join("\n")
        )
    }

    fn note(&mut self, fleet: &Fleet) {
        self.occupied_most = self.occupied_most.max(fleet.occupied());
        self.ready_least = if self.looks == 0 { fleet.ready() } else { self.ready_least.min(fleet.ready()) };
        self.looks += 1;
        let text = tell(fleet);
        if self.fleets.last() != Some(&text) {
            line(format!("fleet: {text}"));
            self.fleets.push(text);
        }
    }
}

async fn watch(cloud: LocalCloud, endpoint: EndpointName, enough: CancellationToken) -> Seen {
    let mut seen = Seen::default();
    loop {
        match cloud.endpoint(&endpoint).await {
            Ok(Some(status)) => seen.note(&status.fleet),
            Ok(None) => seen.errors.push(format!("there is no endpoint {endpoint}")),
            Err(error) => seen.errors.push(error.to_string()),
        }
        if enough.run_until_cancelled(tokio::time::sleep(REST)).await.is_none() {
            return seen;
        }
    }
}

/// The fleet in one line: `v0 3 ready + 1 draining | v1 1 ready`.
pub fn tell(fleet: &Fleet) -> String {
    let mut versions: BTreeMap<VersionNumber, BTreeMap<&str, u32>> = BTreeMap::new();
    for replica in fleet.replicas.iter().filter(|replica| replica.state.is_occupied()) {
        let word = word(replica);
        *versions.entry(replica.version).or_default().entry(word).or_default() += 1;
    }
    let versions: Vec<String> = versions
        .iter()
        .map(|(version, words)| {
            let words: Vec<String> =
                words.iter().rev().map(|(word, count)| format!("{count} {word}")).collect();
            format!("{version} {}", words.join(" + "))
        })
        .collect();
    if versions.is_empty() { "no replicas".to_owned() } else { versions.join(" | ") }
}

/// Four words instead of twelve: the reader watches a roll, not a replica.
fn word(replica: &Replica) -> &'static str {
    let state = replica.state;
    if state.is_ready() {
        "ready"
    } else if state.is_starting() {
        "starting"
    } else if state.is_leaving() {
        "leaving"
    } else {
        state.as_str()
    }
}
