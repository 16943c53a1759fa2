//! How a run begins: a new rollout, one that was left unfinished, or one that takes over from another target.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::holder::is_dead;
use super::run::Target;
use super::view::live_version;
use super::{Engine, EngineError, LEASE};
use crate::cloud::Drive;
use crate::fleet::Fleet;
use crate::ledger::{Entry, EntryKind, Journal, Lease};
use crate::rollout::{Phase, Record, Side};
use crate::spec::{EndpointName, RolloutRevision, VersionNumber};

/// Clocks of two machines differ by less than this, or one of them is wrong beyond use.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_mins(2);
/// Fences leave room for this many changes of holder within one rollout.
const FENCES_PER_ROLLOUT: u64 = 1 << 20;

/// A rollout that this process holds.
pub(super) struct Opened {
    pub journal: Journal,
    pub record: Record,
    pub fence: u64,
}

impl Engine {
    /// Opens the rollout that leads to the target, waiting for the lease of a holder that may be dead.
    pub(super) async fn open(
        &self,
        target: &Target,
        stop: &CancellationToken,
    ) -> Result<Opened, EngineError> {
        let endpoint = &target.endpoint;
        let last = self.ledger.current_rollout(self.cloud.name(), endpoint).await?;
        let Some((journal, entry)) = last else { return self.open_new(target, None).await };
        if entry.record.phase.is_terminal() {
            return self.open_new(target, Some(&entry)).await;
        }
        let (journal, entry) = self.await_lease(endpoint, journal, entry, stop).await?;
        if entry.record.phase.is_terminal() {
            return self.open_new(target, Some(&entry)).await;
        }
        if entry.record.to.version == target.version.number {
            return self.resume(target, journal, entry).await;
        }
        let superseded = self.supersede(journal, entry).await?;
        self.open_new(target, Some(&superseded)).await
    }

    /// Waits until the lease is free: released, held by a process that is gone, or not renewed for as long as it lasts.
    ///
    /// Time is measured by watching: the clock by which another machine wrote the lease may be wrong.
    pub(super) async fn await_lease(
        &self,
        endpoint: &EndpointName,
        mut journal: Journal,
        mut entry: Entry,
        stop: &CancellationToken,
    ) -> Result<(Journal, Entry), EngineError> {
        let watched_since = Instant::now();
        loop {
            let lease = &entry.lease;
            if entry.record.phase.is_terminal() || self.is_free(&entry) || watched_since.elapsed() >= LEASE {
                return Ok((journal, entry));
            }
            let held = || EngineError::Held {
                endpoint: endpoint.clone(),
                revision: journal.revision(),
                holder: format!("{} (process {})", lease.holder.name, lease.holder.pid),
                until: lease.until,
            };
            tokio::select! {
                () = stop.cancelled() => return Err(held()),
                () = tokio::time::sleep(self.poll.min(LEASE)) => {}
            }
            let newer = self.ledger.current_rollout(self.cloud.name(), endpoint).await?;
            let Some((newer_journal, newer_entry)) = newer else { return Ok((journal, entry)) };
            let seen = (journal.revision(), entry.sequence);
            let moved = (newer_journal.revision(), newer_entry.sequence) > seen;
            if moved && !newer_entry.record.phase.is_terminal() && !self.is_free(&newer_entry) {
                // Somebody is alive and at work.
                return Err(held());
            }
            (journal, entry) = (newer_journal, newer_entry);
        }
    }

    /// The lease was released, its holder is known to be gone, or it ran out, on another machine, longer ago than clocks
    /// differ.
    fn is_free(&self, entry: &Entry) -> bool {
        let Lease { holder, until, .. } = &entry.lease;
        let long_ago = until.checked_add(CLOCKS_DIFFER_MAX).is_ok_and(|until| self.clock.now() >= until);
        // Of a process that lives here nothing is known but by watching: the clock may have been set since it began.
        let long_ago = long_ago && holder.machine != self.holder.machine;
        *until <= entry.at || is_dead(holder, &self.holder) || long_ago
    }

    async fn open_new(&self, target: &Target, last: Option<&Entry>) -> Result<Opened, EngineError> {
        let endpoint = &target.endpoint;
        let fleet = match (self.cloud.observe(endpoint).await?, self.cloud.drive()) {
            (Some(observed), _) => observed.fleet,
            // The first update creates the endpoint.
            (None, Drive::Delegated(_)) => Fleet::empty(self.clock.now()),
            (None, Drive::Fleet(_)) => return Err(EngineError::NoEndpoint { endpoint: endpoint.clone() }),
        };
        let from = self.prior_side(target, last, &fleet).await?;
        let to = Side { version: target.version.number, replicas: target.version.spec.replicas() };
        let revision = last.map_or(RolloutRevision(0), |entry| entry.record.revision).next();
        let now = self.clock.now();
        let mut record = Record::new(revision, from, to, target.policy.clone(), now);
        record.policy_name.clone_from(&target.policy_name);
        if let Some(last) = last {
            record = record.after(&last.record, now);
        }
        record.looked_at = record.looked_at.max(Some(fleet.observed_at));
        let fence = revision.0 * FENCES_PER_ROLLOUT;
        let mut journal = Journal::new(self.ledger.clone(), self.cloud.name(), endpoint.clone(), revision);
        journal.append(self.entry(EntryKind::Opened, record.clone(), fence, now)).await?;
        Ok(Opened { journal, record, fence })
    }

    /// The version to go back to: the one that serves now, unless it is the target itself.
    async fn prior_side(
        &self,
        target: &Target,
        last: Option<&Entry>,
        fleet: &Fleet,
    ) -> Result<Option<Side>, EngineError> {
        let record = last.map(|entry| &entry.record);
        let Some(live) = live_version(record, fleet) else { return Ok(None) };
        if live == target.version.number {
            return Ok(None);
        }
        let replicas = self.replicas_of(target, live, fleet).await?;
        Ok(Some(Side { version: live, replicas }))
    }

    /// How many replicas a version is meant to have; for one that the ledger does not know, as many as serve.
    async fn replicas_of(
        &self,
        target: &Target,
        version: VersionNumber,
        fleet: &Fleet,
    ) -> Result<u32, EngineError> {
        let known = self.ledger.version(self.cloud.name(), &target.endpoint, version).await?;
        Ok(match known {
            Some(known) => known.spec.replicas(),
            None => fleet.ready_of(version).try_into().unwrap_or(u32::MAX),
        })
    }

    async fn resume(
        &self,
        target: &Target,
        mut journal: Journal,
        entry: Entry,
    ) -> Result<Opened, EngineError> {
        let now = self.clock.now();
        let fence = entry.lease.fence.saturating_add(1);
        let mut record = entry.record.resumed(now);
        record.take_policy(target.policy.clone());
        record.policy_name.clone_from(&target.policy_name);
        if record.phase == Phase::Interrupted {
            record.phase = if record.is_rolling_back() { Phase::RollingBack } else { Phase::Starting };
        }
        journal.append(self.entry(EntryKind::Resumed, record.clone(), fence, now)).await?;
        Ok(Opened { journal, record, fence })
    }

    /// Ends a rollout in favour of a newer target. What it started is replaced by the newer one.
    pub(super) async fn supersede(&self, mut journal: Journal, entry: Entry) -> Result<Entry, EngineError> {
        let now = self.clock.now();
        let mut record = entry.record;
        record.phase = Phase::Superseded;
        record.ended_at = Some(now);
        let mut ended = self.entry(EntryKind::Ended, record, entry.lease.fence.saturating_add(1), now);
        ended.lease.until = now;
        journal.append(ended.clone()).await?;
        Ok(ended)
    }

    /// An entry by this process, with a fresh lease.
    pub(super) fn entry(&self, kind: EntryKind, record: Record, fence: u64, now: Timestamp) -> Entry {
        let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        Entry {
            sequence: 0,
            at: now,
            kind,
            lease: Lease { holder: self.holder.clone(), until, fence },
            record,
            seen: None,
            actions: Vec::new(),
            orders: Vec::new(),
            reasons: Vec::new(),
            budget: None,
            results: Vec::new(),
            previous: None,
        }
    }
}
