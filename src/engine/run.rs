//! The loop: observe, step, record, act.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::act::Orders;
use super::gates::{Gates, Subject};
use super::open::Opened;
use super::{Engine, EngineError, LEASE_RENEWAL};
use crate::cloud::{CloudError, CloudErrorKind, Drive, FleetCloud, ObservedEndpoint, Retry};
use crate::fleet::Fleet;
use crate::ledger::{ActionResult, Entry, EntryKind, Seen};
use crate::rollout::{
    Accounting, Command, Decision, FailureClass, Input, Phase, Record, VISIBILITY_MAX, fail, gates_due, obey,
    step,
};
use crate::spec::{DeploymentPolicy, EndpointName, OnInterrupt, PinnedVersion, PolicyName};

/// Least time between two looks that nothing was done between: changes come in bursts.
const LOOKS_REST: Duration = Duration::from_millis(10);

/// What an endpoint should serve, and how to get there.
#[derive(Debug, Clone)]
pub struct Target {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The version to serve.
    pub version: PinnedVersion,
    /// How to replace the one that serves now.
    pub policy: DeploymentPolicy,
    /// The name of the policy, for the history.
    pub policy_name: Option<PolicyName>,
}

/// How a run ended, and what was seen last.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the rollout remembers: its phase says how it ended.
    pub record: Record,
    /// The last look at the endpoint.
    pub observed: ObservedEndpoint,
}

/// State of one run between two turns of the loop.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) target: &'a Target,
    pub(super) opened: Opened,
    pub(super) results: Vec<ActionResult>,
    recorded_at: Instant,
    /// When the endpoint was last seen.
    pub(super) seen_at: Instant,
    /// Since when what was left behind is being removed, where the cloud paces rollouts itself.
    pub(super) clearing_since: Option<Instant>,
    /// What is asked beside the loop.
    pub(super) gates: Gates,
}

impl Engine {
    /// Brings an endpoint to a version: begins a rollout, or goes on with one that was left unfinished.
    ///
    /// Returns when the rollout has ended or `stop` is cancelled; the report's phase is `Interrupted` then, and
    /// nothing more is changed. Running again with the same target goes on where this left off.
    ///
    /// # Errors
    /// The rollout could not begin, or the cloud or the ledger failed for good. Nothing was left half-recorded.
    pub async fn run(&self, target: &Target, stop: &CancellationToken) -> Result<Report, EngineError> {
        let (endpoint, version) = (&target.endpoint, &target.version);
        let minted = self.ledger.version(self.cloud.name(), endpoint, version.number).await?;
        let origin = minted.map(|record| record.origin());
        self.cloud.publish_version(endpoint, version, origin.as_ref()).await?;
        let opened = Box::pin(self.open(target, stop)).await?;
        let mut run = Run {
            engine: self,
            target,
            opened,
            results: Vec::new(),
            recorded_at: Instant::now(),
            seen_at: Instant::now(),
            clearing_since: None,
            gates: Gates::default(),
        };
        if let Err(error) = run.preflight().await {
            run.give_up(&error).await?;
            return Err(error);
        }
        match self.cloud.drive() {
            Drive::Fleet(cloud) => Box::pin(run.drive(cloud, stop)).await,
            Drive::Delegated(cloud) => Box::pin(run.supervise(cloud, stop)).await,
        }
    }
}

impl Run<'_> {
    /// Ends a rollout that never began to act. One that may have acted stays open for another try.
    async fn give_up(&mut self, error: &EngineError) -> Result<(), EngineError> {
        if self.opened.record.phase != Phase::Planned {
            return self.interrupt().await;
        }
        let now = self.engine.clock.now();
        let record = &mut self.opened.record;
        record.phase = Phase::Failed;
        record.ended_at = Some(now);
        record.failure = Some(crate::rollout::Failure {
            class: FailureClass::Refused,
            reason: crate::cloud::Chain(error).to_string(),
            at: now,
        });
        self.record(EntryKind::Ended, None).await
    }

    async fn drive(
        mut self,
        cloud: &dyn FleetCloud,
        stop: &CancellationToken,
    ) -> Result<Report, EngineError> {
        let mut stop = stop.clone();
        loop {
            if stop.is_cancelled() {
                if self.goes_back_first().await? {
                    // From here on the deadline of the way back bounds the run.
                    stop = CancellationToken::new();
                    continue;
                }
                self.interrupt().await?;
                let observed = self.observe().await?;
                return Ok(self.report(observed));
            }
            self.obey_commands().await?;
            if self.opened.record.phase.is_terminal() {
                let observed = self.observe().await?;
                return Ok(self.report(observed));
            }
            let Some(observed) = self.look(&stop).await? else { continue };
            let seen = self.seen(&observed);
            let decided_at = seen.now;
            let decision = self.decide(&seen)?;
            let wake_after = decision.wake_after;
            let acted = Box::pin(self.follow(cloud, decision, seen, &stop)).await?;
            // Calls take time: the last of them may show that much later.
            self.opened.record.date_orders(decided_at, self.engine.clock.now());
            if self.opened.record.phase.is_terminal() {
                // Read back after the last entry: the report tells what is, not what was decided upon.
                let observed = self.observe().await.unwrap_or(observed);
                self.retire_old(&observed).await;
                return Ok(self.report(observed));
            }
            self.ask_gates(&observed.url);
            if !acted {
                let endpoint = &self.target.endpoint;
                tokio::select! {
                    () = self.wait(wake_after, &stop) => {}
                    () = cloud.changed(endpoint, &observed.fleet) => tokio::time::sleep(LOOKS_REST).await,
                }
            }
        }
    }

    /// On an interrupt the policy may want the prior version back before the apply returns. Says whether the rollout
    /// is on its way there; its deadline bounds how long that takes.
    pub(super) async fn goes_back_first(&mut self) -> Result<bool, EngineError> {
        let record = &mut self.opened.record;
        if record.policy.on_interrupt != OnInterrupt::Rollback || record.from.is_none() {
            return Ok(false);
        }
        if !record.is_rolling_back() {
            let now = self.engine.clock.now();
            let mut reasons = Vec::new();
            obey(record, Command::Abort, "the stop of the apply", now, &mut reasons);
            let ended = record.phase.is_terminal();
            self.record(if ended { EntryKind::Ended } else { EntryKind::Commanded }, None).await?;
        }
        Ok(true)
    }

    /// Does what people asked for since the last turn.
    pub(super) async fn obey_commands(&mut self) -> Result<(), EngineError> {
        if self.opened.record.phase.is_terminal() {
            return Ok(());
        }
        let given = self.opened.journal.commands_after(self.opened.record.commands).await?;
        if given.is_empty() {
            return Ok(());
        }
        let now = self.engine.clock.now();
        let mut reasons = Vec::new();
        for given in given {
            obey(&mut self.opened.record, given.command, &given.by, now, &mut reasons);
            self.opened.record.commands = self.opened.record.commands.saturating_add(1);
        }
        let record = self.opened.record.clone();
        // An abort with nothing to go back to is the end, and nothing is written after it.
        let ended = record.phase.is_terminal();
        let kind = if ended { EntryKind::Ended } else { EntryKind::Commanded };
        let mut entry = self.engine.entry(kind, record, self.opened.fence, now);
        if ended {
            entry.lease.until = released(now);
        }
        entry.reasons = reasons;
        entry.results = std::mem::take(&mut self.results);
        self.append(entry).await
    }

    /// Observes; while the cloud cannot be reached nothing is done but waiting, until a deadline passes.
    async fn look(&mut self, stop: &CancellationToken) -> Result<Option<ObservedEndpoint>, EngineError> {
        match self.observe().await {
            Ok(observed) if self.is_news(&observed.fleet) => Ok(Some(observed)),
            Ok(_) => {
                self.stay(stop).await?;
                Ok(None)
            }
            Err(EngineError::Cloud(error)) if error.retry != Retry::Never => {
                if self.seen_at.elapsed() > self.opened.record.policy.progress_deadline.as_duration() {
                    self.interrupt().await?;
                    return Err(error.into());
                }
                self.stay(stop).await?;
                Ok(None)
            }
            Err(error) => {
                self.interrupt().await?;
                Err(error)
            }
        }
    }

    /// Takes note of a look. One that is older than the last is no news: what it shows has changed since. Only a clock
    /// that was set back looks like that for long.
    fn is_news(&mut self, fleet: &Fleet) -> bool {
        let last = self.opened.record.looked_at.unwrap_or(Timestamp::MIN);
        if fleet.observed_at < last && self.seen_at.elapsed() < VISIBILITY_MAX.as_duration() {
            return false;
        }
        self.opened.record.looked_at = Some(fleet.observed_at);
        self.seen_at = Instant::now();
        true
    }

    /// Changes nothing and lets time pass.
    pub(super) async fn stay(&mut self, stop: &CancellationToken) -> Result<(), EngineError> {
        self.renew_lease().await?;
        self.wait(None, stop).await;
        Ok(())
    }

    async fn observe(&self) -> Result<ObservedEndpoint, EngineError> {
        let endpoint = &self.target.endpoint;
        let observed = self.engine.cloud.observe(endpoint).await?;
        observed.ok_or_else(|| EngineError::NoEndpoint { endpoint: endpoint.clone() })
    }

    fn seen(&mut self, observed: &ObservedEndpoint) -> Seen {
        Seen {
            fleet: observed.fleet.clone(),
            update: None,
            record: self.opened.record.clone(),
            readings: self.gates.take(self.opened.record.bakes_since()),
            now: self.engine.clock.now(),
        }
    }

    fn decide(&self, seen: &Seen) -> Result<Decision, EngineError> {
        Ok(step(&Input {
            endpoint: &self.target.endpoint,
            fleet: &seen.fleet,
            record: &seen.record,
            readings: &seen.readings,
            now: seen.now,
            accounting: Accounting::Devices,
        })?)
    }

    /// Begins to ask the gates that are due; their answers come to a later turn.
    pub(super) fn ask_gates(&mut self, url: &str) {
        let record = &self.opened.record;
        let Some(since) = record.bakes_since() else { return };
        let subject = Subject {
            endpoint: self.target.endpoint.clone(),
            url: url.to_owned(),
            new: record.to.version,
            old: record.from.map(|side| side.version),
            since,
        };
        for index in gates_due(record, self.engine.clock.now()) {
            if let Some(gate) = record.policy.gates.get(index) {
                self.gates.ask(self.engine, index, gate, &subject);
            }
        }
    }

    /// Records a decision and carries it out. Says whether there was anything to carry out.
    async fn follow(
        &mut self,
        cloud: &dyn FleetCloud,
        decision: Decision,
        seen: Seen,
        stop: &CancellationToken,
    ) -> Result<bool, EngineError> {
        let before = &self.opened.record;
        let news = !decision.actions.is_empty()
            || !seen.readings.is_empty()
            || decision.record.phase != before.phase
            || decision.record.canary != before.canary
            || decision.record.batch != before.batch;
        self.opened.record = decision.record.clone();
        if !news {
            self.renew_lease().await?;
            return Ok(false);
        }
        let ended = self.opened.record.phase.is_terminal();
        let kind = if ended { EntryKind::Ended } else { EntryKind::Decided };
        self.record(kind, Some((&decision, seen))).await?;
        let orders = Orders {
            endpoint: &self.target.endpoint,
            revision: self.opened.record.revision,
            fence: self.opened.fence,
            drain: &self.opened.record.policy.drain,
            stop,
        };
        let carried = self.engine.carry_out(cloud, &orders, &decision.actions).await;
        self.results.extend(carried.results);
        if let Some(refused) = carried.refused {
            self.refuse(refused).await?;
        }
        Ok(!decision.actions.is_empty())
    }

    /// The cloud will not do what the rollout needs: turn back, unless somebody else has taken over.
    pub(super) async fn refuse(&mut self, error: CloudError) -> Result<(), EngineError> {
        if error.kind == CloudErrorKind::Fenced {
            return Err(error.into());
        }
        let now = self.engine.clock.now();
        let mut reasons = Vec::new();
        fail(&mut self.opened.record, FailureClass::Refused, error.chain(), now, &mut reasons);
        if self.opened.record.phase.is_terminal() {
            self.opened.record.ended_at = Some(now);
            self.record(EntryKind::Ended, None).await?;
        }
        Ok(())
    }

    pub(super) async fn interrupt(&mut self) -> Result<(), EngineError> {
        self.opened.record.phase = Phase::Interrupted;
        self.record(EntryKind::Interrupted, None).await
    }

    pub(super) async fn renew_lease(&mut self) -> Result<(), EngineError> {
        if self.recorded_at.elapsed() < LEASE_RENEWAL {
            return Ok(());
        }
        self.record(EntryKind::Renewed, None).await
    }

    async fn record(
        &mut self,
        kind: EntryKind,
        decision: Option<(&Decision, Seen)>,
    ) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        let mut entry = self.engine.entry(kind, self.opened.record.clone(), self.opened.fence, now);
        entry.results = std::mem::take(&mut self.results);
        if let Some((decision, seen)) = decision {
            entry.seen = Some(seen);
            entry.actions.clone_from(&decision.actions);
            entry.reasons.clone_from(&decision.reasons);
            entry.budget = Some(decision.budget);
        }
        if matches!(kind, EntryKind::Interrupted | EntryKind::Ended) {
            entry.lease.until = released(now);
        }
        self.append(entry).await
    }

    pub(super) async fn append(&mut self, entry: Entry) -> Result<(), EngineError> {
        self.opened.journal.append(entry).await?;
        self.recorded_at = Instant::now();
        Ok(())
    }

    pub(super) async fn wait(&mut self, wake_after: Option<Duration>, stop: &CancellationToken) {
        let pause = wake_after.unwrap_or(self.engine.poll).min(self.engine.poll);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.gates.answered() => {}
            () = tokio::time::sleep(pause.max(Duration::from_millis(10))) => {}
        }
    }

    pub(super) fn report(self, observed: ObservedEndpoint) -> Report {
        Report { record: self.opened.record, observed }
    }
}

/// A lease that nobody has to wait for.
pub(super) fn released(now: Timestamp) -> Timestamp {
    now
}
