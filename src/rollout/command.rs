//! What people may ask of a rollout while it runs, from any terminal or machine.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::failure::fail;
use super::pace::add;
use super::record::{FailureClass, Record};
use super::{Phase, canary};
use crate::spec::{Batch, BatchPause, CountOrPercent, TimeSpan};

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
    /// Let the rest of the version follow its canary, whatever the canary still has before it.
    Promote,
    /// Change the batches of a rollout that runs.
    Adjust(Adjustment),
}

/// Other batches for a rollout that runs. What is not given stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adjustment {
    /// Replicas in a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<CountOrPercent>,
    /// How long each batch serves before the next one starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake: Option<TimeSpan>,
    /// After which batches the rollout waits for a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<BatchPause>,
}

impl Command {
    /// The word used on the command line and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Promote => "promote",
            Self::Adjust(_) => "adjust",
        }
    }

    /// Why it would change nothing now, if it would not.
    pub fn why_idle(self, record: &Record) -> Option<&'static str> {
        match self {
            Self::Promote if record.is_rolling_back() => Some("is going back and has no canary to promote"),
            Self::Promote if record.canary.promoted => Some("has promoted its canary already"),
            Self::Promote if record.policy.effective_canary().is_none() => Some("has no canary to promote"),
            Self::Adjust(_) if record.is_rolling_back() => Some("is going back and has no batches to adjust"),
            Self::Adjust(_) if record.phase == Phase::KeepingWarm => {
                Some("has replaced its last batch already")
            }
            Self::Adjust(adjustment) if record.policy.batch.is_none() && adjustment.size.is_none() => {
                Some("has no batches: give the size of a batch too")
            }
            _ => None,
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
        Command::Promote => {
            let what =
                if canary::promote(record, now) { "promoted" } else { "nothing to promote, though asked" };
            reasons.push(format!("{what} by {by}"));
        }
        Command::Adjust(adjustment) => {
            let what = match adjustment.apply(record) {
                Ok(()) => "batches adjusted".to_owned(),
                Err(why) => format!("batches not adjusted, though asked ({why}),"),
            };
            reasons.push(format!("{what} by {by}"));
        }
        Command::Abort => {
            canary::stop_waiting(record, now);
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

impl Adjustment {
    /// What cannot be done, whatever the rollout.
    pub fn problem(&self) -> Option<&'static str> {
        if self == &Self::default() {
            return Some("nothing is given to adjust");
        }
        self.size.is_some_and(CountOrPercent::is_literal_zero).then_some("a batch holds at least one replica")
    }

    /// Changes the policy that the rollout remembers; what has baked stays baked.
    fn apply(&self, record: &mut Record) -> Result<(), &'static str> {
        self.problem().map_or(Ok(()), Err)?;
        let replicas = record.to.replicas;
        let size = |size: CountOrPercent| size.rounded_up(replicas).max(1);
        let batch = match (&record.policy.batch, self.size) {
            (Some(batch), _) => batch.clone(),
            (None, Some(size)) => Batch { size, bake: TimeSpan::ZERO, pause: BatchPause::None },
            (None, None) => return Err("the rollout has no batches, and no size is given"),
        };
        let adjusted = Batch {
            size: self.size.unwrap_or(batch.size),
            bake: self.bake.unwrap_or(batch.bake),
            pause: self.pause.unwrap_or(batch.pause),
        };
        if size(adjusted.size) != size(batch.size) {
            let baked = record.batch.done.saturating_mul(size(batch.size));
            record.batch.before = record.batch.before.saturating_add(baked);
            record.batch.done = 0;
        }
        record.policy.batch = Some(adjusted);
        Ok(())
    }
}

fn resume(record: &mut Record, now: Timestamp) {
    let Some(since) = record.paused_since.take() else { return };
    let paused = now.duration_since(since).unsigned_abs();
    record.paused_seconds = record.paused_seconds.saturating_add(paused.as_secs());
    record.progress.at = add(record.progress.at, paused);
    let clocks = [
        &mut record.canary.baking_since,
        &mut record.canary.awaiting_since,
        &mut record.batch.baking_since,
        &mut record.warm_since,
    ];
    for since in clocks.into_iter().flatten() {
        *since = add(*since, paused);
    }
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
