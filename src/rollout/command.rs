//! What people may ask of a rollout while it runs, from any terminal or machine.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Phase;
use super::failure::fail;
use super::record::{FailureClass, Record};

/// What people may ask of a rollout while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Start and stop nothing until told to go on.
    Pause,
    /// Go on.
    Resume,
    /// Go back to the prior version. Stronger than a pause.
    Abort,
}

impl Command {
    /// The word used on the command line and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }
}

/// Obeys a command. Time that passed in a pause counts towards no deadline.
pub fn obey(record: &mut Record, command: Command, by: &str, now: Timestamp, reasons: &mut Vec<String>) {
    if record.phase.is_terminal() {
        return;
    }
    match command {
        Command::Pause => {
            record.paused_since.get_or_insert(now);
            record.phase = Phase::Paused;
            reasons.push(format!("paused by {by}"));
        }
        Command::Resume => {
            resume(record, now);
            reasons.push(format!("resumed by {by}"));
        }
        Command::Abort => {
            resume(record, now);
            if !record.is_rolling_back() {
                fail(record, FailureClass::Requested, format!("aborted by {by}"), now, reasons);
            }
            if record.phase.is_terminal() {
                record.ended_at = Some(now);
            }
        }
    }
}

fn resume(record: &mut Record, now: Timestamp) {
    let Some(since) = record.paused_since.take() else { return };
    let paused = now.duration_since(since).unsigned_abs();
    record.paused_seconds += paused.as_secs();
    record.progress.at = super::pace::add(record.progress.at, paused);
    record.batch.baking_since = record.batch.baking_since.map(|since| super::pace::add(since, paused));
    record.phase = if record.is_rolling_back() { Phase::RollingBack } else { Phase::Starting };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Side;
    use crate::spec::{DeploymentPolicy, RolloutRevision, VersionNumber};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn record() -> Record {
        let side = |version| Side { version: VersionNumber(version), replicas: 4 };
        Record::new(RolloutRevision(1), Some(side(0)), side(1), DeploymentPolicy::default(), at(0))
    }

    #[test]
    fn time_in_a_pause_counts_towards_no_deadline() {
        let mut record = record();
        obey(&mut record, Command::Pause, "me", at(10), &mut Vec::new());
        obey(&mut record, Command::Pause, "me", at(50), &mut Vec::new());
        obey(&mut record, Command::Resume, "me", at(110), &mut Vec::new());
        assert_eq!((record.progress.at, record.paused_seconds, record.paused_since), (at(100), 100, None));
    }

    #[test]
    fn an_abort_ends_a_pause_and_turns_back_once() {
        let mut record = record();
        obey(&mut record, Command::Pause, "me", at(10), &mut Vec::new());
        obey(&mut record, Command::Abort, "me", at(20), &mut Vec::new());
        assert_eq!((record.phase, record.wanted().version), (Phase::RollingBack, VersionNumber(0)));
        obey(&mut record, Command::Abort, "me", at(30), &mut Vec::new());
        assert_eq!(record.phase, Phase::RollingBack);
    }
}
