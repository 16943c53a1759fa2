//! A rollout on a terminal: a few lines that are drawn anew in place.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stdout};

use jiff::Timestamp;

use super::CliError;
use crate::engine::follow::{bar, printable};
use crate::fleet::Fleet;
use crate::ledger::Entry;
use crate::rollout::Record;
use crate::spec::{TimeSpan, VersionNumber};

/// Sentences of the journal that stay in sight.
const SENTENCES_MAX: usize = 5;
/// Columns when the terminal does not say how many it has.
const COLUMNS: usize = 80;

/// Draws over what it drew before.
#[derive(Debug, Default)]
pub(super) struct Screen {
    drawn: usize,
    fleet: Option<Fleet>,
    sentences: Vec<String>,
}

impl Screen {
    /// A screen, where standard output is a terminal.
    pub fn open() -> Option<Self> {
        stdout().is_terminal().then(Self::default)
    }

    /// Takes in an entry of the journal.
    pub fn note(&mut self, entry: &Entry) {
        if let Some(seen) = &entry.seen {
            self.fleet = Some(seen.fleet.clone());
        }
        let time = entry.at.strftime("%H:%M:%S");
        self.sentences.extend(entry.reasons.iter().map(|reason| format!("{time}  {}", printable(reason))));
        let old = self.sentences.len().saturating_sub(SENTENCES_MAX);
        self.sentences.drain(..old);
    }

    /// Draws where the rollout stands.
    pub fn draw(&mut self, newest: &Entry, now: Timestamp) -> Result<(), CliError> {
        let size = rustix::termios::tcgetwinsize(stdout());
        let told = size.map_or(0, |size| usize::from(size.ws_col));
        let columns = if told == 0 { COLUMNS } else { told };
        let lines = self.lines(newest, now);
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        for line in &lines {
            let cut: String = line.chars().take(columns).collect();
            let _ = writeln!(text, "\x1b[2K{cut}");
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        let mut out = stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| CliError::Failed(format!("failed to write to the terminal: {error}")))
    }

    fn lines(&self, newest: &Entry, now: Timestamp) -> Vec<String> {
        let record = &newest.record;
        let mut lines = vec![headline(record, now)];
        let sides = [record.from, Some(record.to)].into_iter().flatten();
        for side in sides {
            let ready = self.fleet.as_ref().map_or(0, |fleet| fleet.ready_of(side.version));
            let share = self.fleet.as_ref().and_then(|fleet| share_of(fleet, side.version));
            let share = share.map(|share| format!("  {share} % of the traffic")).unwrap_or_default();
            lines.push(format!("  {:<5} {}{share}", side.version.to_string(), bar(ready, side.replicas)));
        }
        lines.extend(self.sentences.iter().map(|sentence| format!("  {sentence}")));
        lines
    }
}

fn headline(record: &Record, now: Timestamp) -> String {
    let from = record.from.map(|side| format!("{} → ", side.version)).unwrap_or_default();
    let end = record.ended_at.unwrap_or(now);
    let seconds = u64::try_from(end.duration_since(record.started_at).as_secs()).unwrap_or(0);
    let elapsed = TimeSpan::from_seconds(seconds);
    format!("{}  {from}{}  {}  {elapsed}", record.revision, record.to.version, record.phase.as_str())
}

/// The share of the traffic in percent, where weights say so.
fn share_of(fleet: &Fleet, version: VersionNumber) -> Option<u32> {
    let weights = fleet.weights.as_ref()?;
    let total: u32 = weights.values().sum();
    let own = weights.get(&version).copied().unwrap_or_default();
    (own * 100 + total / 2).checked_div(total)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::this_process;
    use crate::fleet::{Replica, ReplicaState};
    use crate::ledger::{EntryKind, Lease, Seen};
    use crate::rollout::Side;
    use crate::spec::{DeploymentPolicy, EndpointName, ReplicaId, RolloutRevision};

    fn entry(fleet: &Fleet) -> Entry {
        let at = Timestamp::UNIX_EPOCH;
        let side = |version| Side { version: VersionNumber(version), replicas: 2 };
        let policy = DeploymentPolicy::default();
        let record = Record::new(RolloutRevision(7), Some(side(3)), side(4), policy, at);
        let text = serde_json::json!({ "fleet": fleet, "record": record, "now": at });
        let seen: Seen = serde_json::from_value(text).unwrap();
        Entry {
            sequence: 1,
            at,
            kind: EntryKind::Decided,
            lease: Lease { holder: this_process(), until: at, fence: 1 },
            record,
            seen: Some(seen),
            actions: Vec::new(),
            orders: Vec::new(),
            reasons: vec!["start \x1b[31m1".to_owned()],
            budget: None,
            results: Vec::new(),
            previous: None,
        }
    }

    #[test]
    fn a_frame_shows_where_each_version_stands() {
        let replica = |version, state| Replica {
            id: ReplicaId::of_rollout(&EndpointName::new("chat").unwrap(), RolloutRevision(7), version),
            version: VersionNumber(version),
            state,
            ready_since: None,
            start_failures: 0,
            reason: None,
        };
        let fleet = Fleet {
            observed_at: Timestamp::UNIX_EPOCH,
            replicas: vec![replica(3, ReplicaState::Ready), replica(4, ReplicaState::Starting)],
            weights: Some(BTreeMap::from([(VersionNumber(3), 9), (VersionNumber(4), 1)])),
        };
        let entry = entry(&fleet);
        let mut screen = Screen::default();
        screen.note(&entry);
        let lines = screen.lines(&entry, Timestamp::from_second(90).unwrap());
        assert_eq!(lines[0], "r7  v3 → v4  planned  1m30s");
        assert_eq!(
            lines[1],
            format!("  v3    {}{} 1/2  90 % of the traffic", "█".repeat(12), "░".repeat(12))
        );
        assert_eq!(lines[2], format!("  v4    {} 0/2  10 % of the traffic", "░".repeat(24)));
        assert_eq!(lines[3], "  00:00:00  start [31m1");
    }
}
