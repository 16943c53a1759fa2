//! Asks gates, beside the loop: an answer that takes long holds up neither the lease nor a command.
//!
//! In: the gates that `rollout` finds due. Out: dated readings for its next step. It judges single answers and decides
//! nothing: how many failures are too many, and how long no answer is bearable, is the rollout's to say.

mod ask;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::task::JoinSet;

use self::ask::Question;
use super::Engine;
use crate::fleet::{Figures, GateReading};
use crate::spec::{EndpointName, Gate, VersionNumber};

/// What all gates of a rollout are asked about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Its address.
    pub url: String,
    /// The version that has to prove itself.
    pub new: VersionNumber,
    /// The version that served before.
    pub old: Option<VersionNumber>,
    /// Since when the new version bakes.
    pub since: Timestamp,
}

/// The gates that are being asked, and what they said. Dropping it gives up the questions.
#[derive(Debug, Default)]
pub(super) struct Gates {
    questions: JoinSet<(Timestamp, GateReading)>,
    asked: BTreeSet<usize>,
    said: Vec<(Timestamp, GateReading)>,
    baseline: Arc<Mutex<Baseline>>,
}

/// What a gateway had counted when a bake began. A bake that goes on in another process begins anew, so this need not
/// outlive the process.
#[derive(Debug, Default)]
struct Baseline {
    of: Option<(Timestamp, Figures)>,
}

/// Why a gate can never be evaluated, if that is known; its place among the gates, and the reason. Asked before
/// anything is touched: a gate that cannot be evaluated would hold the rollout later, and then turn it back.
pub(super) async fn unusable(gates: &[Gate], subject: &Subject) -> Option<(usize, String)> {
    for (index, gate) in gates.iter().enumerate() {
        let Some(metric) = &gate.prometheus else { continue };
        if let Some(why) = ask::refusal(metric, subject).await {
            return Some((index, why));
        }
    }
    None
}

impl Gates {
    /// Asks a gate, unless an answer of it is still awaited.
    pub(super) fn ask(&mut self, engine: &Engine, index: usize, gate: &Gate, subject: &Subject) {
        if !self.asked.insert(index) {
            return;
        }
        let question = Question {
            cloud: engine.cloud.clone(),
            gate: gate.clone(),
            subject: subject.clone(),
            baseline: self.baseline.clone(),
        };
        let (since, at) = (subject.since, engine.clock.now());
        self.questions.spawn(async move {
            let answer = question.answer().await;
            (since, GateReading { gate: index, at, verdict: answer.verdict, detail: answer.detail })
        });
    }

    /// Waits until a gate has answered; for ever when none was asked.
    pub(super) async fn answered(&mut self) {
        match self.questions.join_next().await {
            Some(joined) => self.note(joined),
            None => std::future::pending().await,
        }
    }

    /// What gates said about a bake since the last time. What they said about an earlier one is forgotten.
    pub(super) fn take(&mut self, since: Option<Timestamp>) -> Vec<GateReading> {
        while let Some(joined) = self.questions.try_join_next() {
            self.note(joined);
        }
        let said = std::mem::take(&mut self.said);
        let of_this_bake = said.into_iter().filter(|(of, _)| Some(*of) == since);
        let mut readings: Vec<GateReading> = of_this_bake.map(|(_, reading)| reading).collect();
        readings.sort_by_key(|reading| (reading.at, reading.gate));
        readings
    }

    fn note(&mut self, joined: Result<(Timestamp, GateReading), tokio::task::JoinError>) {
        match joined {
            Ok((since, reading)) => {
                self.asked.remove(&reading.gate);
                self.said.push((since, reading));
            }
            // A question that panicked: nobody knows which it was, so every gate may be asked anew.
            Err(_) => self.asked.clear(),
        }
    }
}
