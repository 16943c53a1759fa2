//! Gates: what has to hold while a canary or a batch bakes. No answer is never taken for a pass.
//!
//! The engine asks the gates that are due and gives what they said to the next step. A bake is over when its time is
//! over and the newest word of every gate is a pass. Until then the rollout holds, and not for ever.

use std::time::Duration;

use jiff::Timestamp;

use super::pace::add;
use super::record::{FailureClass, GateProgress, Record};
use crate::fleet::{GateReading, GateVerdict};
use crate::spec::{Gate, TimeSpan};

/// A pass that is older than its gate's interval by this much is not its newest word any more.
const STALE_AFTER: Duration = Duration::from_mins(1);

/// The gates that have to be asked now, by their place in the policy. None unless a canary or a batch bakes.
pub fn gates_due(record: &Record, now: Timestamp) -> Vec<usize> {
    let due = |(index, gate): (usize, &Gate)| (due_at(record, index, gate) <= now).then_some(index);
    open_gates(record).filter_map(due).collect()
}

/// When the next gate has to be asked.
pub(super) fn next_due(record: &Record) -> Option<Timestamp> {
    open_gates(record).map(|(index, gate)| due_at(record, index, gate)).min()
}

/// Starts to listen anew: a bake begins.
pub(super) fn begin(record: &mut Record) {
    record.gates = vec![GateProgress::default(); record.policy.gates.len()];
}

/// Takes note of what gates have said in the bake that runs.
pub(super) fn note(record: &mut Record, readings: &[GateReading]) {
    let Some(since) = record.bakes_since() else { return };
    for reading in readings.iter().filter(|reading| reading.at >= since) {
        if let Some(progress) = record.gates.get_mut(reading.gate) {
            progress.hear(reading);
        }
    }
}

/// A gate has failed so often in a row that the rollout has.
pub(super) fn failed(record: &Record) -> Option<(FailureClass, String)> {
    open_gates(record).find_map(|(index, gate)| {
        let progress = record.gates.get(index).filter(|progress| progress.failures >= gate.failures_max)?;
        let times =
            if progress.failures == 1 { String::new() } else { format!(" {} times", progress.failures) };
        Some((FailureClass::Gate, format!("{} failed{times}{}", name(index, gate), detail(progress))))
    })
}

/// The bake was held for too long by gates that do not pass.
pub(super) fn undecided(record: &Record, now: Timestamp) -> Option<(FailureClass, String)> {
    held_until(record).filter(|until| now >= *until)?;
    let (index, gate) = open_gates(record).find(|(index, gate)| !passes(record, *index, gate, now))?;
    let progress = record.gates.get(index);
    let span = record.policy.progress_deadline;
    let what = format!("{} did not pass for {span} after the bake", name(index, gate));
    let fails = progress.is_some_and(|progress| progress.failures > 0);
    let class = if fails { FailureClass::Gate } else { FailureClass::Inconclusive };
    Some((class, format!("{what}{}", progress.map(detail).unwrap_or_default())))
}

/// What holds a bake whose time is over; nothing when every gate has passed.
pub(super) fn holding(record: &Record, now: Timestamp) -> Option<String> {
    let (index, gate) = open_gates(record).find(|(index, gate)| !passes(record, *index, gate, now))?;
    let Some(progress) = record.gates.get(index).filter(|progress| progress.last.is_some()) else {
        return Some(format!("{} has not been read yet", name(index, gate)));
    };
    let verdict = progress.last.as_ref().map_or(GateVerdict::Inconclusive, |last| last.verdict);
    Some(format!("{}: {verdict}{}", name(index, gate), detail(progress)))
}

/// When a bake that gates hold has failed. Nothing while none is held up by gates.
pub(super) fn held_until(record: &Record) -> Option<Timestamp> {
    open_gates(record).next()?;
    let ends = super::pace::bake_ends(record)?;
    Some(add(ends, record.policy.progress_deadline.as_duration()))
}

/// The gates that matter now, with their places.
fn open_gates(record: &Record) -> impl Iterator<Item = (usize, &Gate)> {
    let bakes = record.bakes_since().is_some()
        && !super::pace::bake(record).is_zero()
        && record.paused_since.is_none()
        && !record.phase.is_terminal();
    record.policy.gates.iter().enumerate().filter(move |_| bakes)
}

fn due_at(record: &Record, index: usize, gate: &Gate) -> Timestamp {
    let last = record.gates.get(index).and_then(|progress| progress.last.as_ref());
    last.map_or(Timestamp::MIN, |last| add(last.at, gate.interval.as_duration()))
}

/// Its newest word is a pass, and not an old one.
fn passes(record: &Record, index: usize, gate: &Gate, now: Timestamp) -> bool {
    let last = record.gates.get(index).and_then(|progress| progress.last.as_ref());
    last.is_some_and(|last| {
        last.verdict == GateVerdict::Pass
            && now <= add(last.at, gate.interval.as_duration().saturating_add(STALE_AFTER))
    })
}

fn name(index: usize, gate: &Gate) -> String {
    format!("gate {} ({})", index + 1, gate.kind().unwrap_or("of no kind"))
}

fn detail(progress: &GateProgress) -> String {
    let Some(last) = &progress.last else { return String::new() };
    let since = progress.inconclusive_since.map(|since| {
        let span = TimeSpan::from_seconds(last.at.duration_since(since).unsigned_abs().as_secs());
        if span.is_zero() { String::new() } else { format!(" for {span}") }
    });
    format!("{}: {}", since.unwrap_or_default(), last.detail)
}

impl GateProgress {
    fn hear(&mut self, reading: &GateReading) {
        match reading.verdict {
            GateVerdict::Pass => {
                self.passes = self.passes.saturating_add(1);
                self.failures = 0;
                self.inconclusive_since = None;
            }
            GateVerdict::Fail => {
                self.failures = self.failures.saturating_add(1);
                self.inconclusive_since = None;
            }
            // No data between two failures does not make them less.
            GateVerdict::Inconclusive => {
                self.inconclusive_since.get_or_insert(reading.at);
            }
        }
        self.last = Some(reading.clone());
    }
}
