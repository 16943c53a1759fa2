//! The loop where the cloud paces the rollout: look, decide, record, ask.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::run::{Report, Run, released};
use crate::cloud::{CloudError, CloudErrorKind, DelegatedCloud, Look, Retry, Update};
use crate::ledger::{ActionResult, EntryKind, Seen};
use crate::rollout::{Order, Phase, Record, Side, Supervision, Watch, supervise};
use crate::spec::PinnedVersion;

impl Run<'_> {
    /// Runs to the end of the rollout, or until `stop` is cancelled: what the cloud does by itself goes on then, and the
    /// next run goes on watching it.
    pub(super) async fn supervise(
        mut self,
        cloud: &dyn DelegatedCloud,
        stop: &CancellationToken,
    ) -> Result<Report, EngineError> {
        let from = self.prior_version().await?;
        let mut stop = stop.clone();
        loop {
            if stop.is_cancelled() {
                if self.goes_back_first().await? {
                    stop = CancellationToken::new();
                    continue;
                }
                self.interrupt().await?;
                let look = cloud.look(&self.update(from.as_ref())).await?;
                return Ok(self.report(look.observed));
            }
            self.obey_commands().await?;
            let Some(look) = self.look_at(cloud, from.as_ref(), &stop).await? else { continue };
            if self.opened.record.phase.is_terminal() {
                self.retire_old(&look.observed).await;
                return Ok(self.report(look.observed));
            }
            let made = self.judge(cloud, from.as_ref(), &look).await?;
            if made.leaves {
                self.interrupt().await?;
                return Ok(self.report(look.observed));
            }
            let asked = self.ask_for(cloud, from.as_ref(), &made.orders).await?;
            if self.opened.record.phase.is_terminal() {
                continue;
            }
            if !asked {
                self.renew_lease().await?;
            }
            self.wait(made.wake_after, &stop).await;
        }
    }

    /// The version to go back to, as it was recorded.
    async fn prior_version(&self) -> Result<Option<PinnedVersion>, EngineError> {
        let Some(Side { version, .. }) = self.opened.record.from else { return Ok(None) };
        let endpoint = &self.target.endpoint;
        let found = self.engine.ledger.version(self.engine.cloud.name(), endpoint, version).await?;
        let missing = || EngineError::NoVersion { endpoint: endpoint.clone(), number: version };
        Ok(Some(found.ok_or_else(missing)?.pinned()))
    }

    fn update(&self, from: Option<&PinnedVersion>) -> Update {
        let record = &self.opened.record;
        Update {
            endpoint: self.target.endpoint.clone(),
            revision: record.revision,
            from: from.cloned(),
            to: self.target.version.clone(),
            policy: record.policy.clone(),
            fence: self.opened.fence,
            asked_at: record.supervised.asked_at,
            rolling_back: record.is_rolling_back(),
            share: record.supervised.share,
        }
    }

    /// Looks; while the cloud cannot be reached nothing is done but waiting, until a deadline passes.
    async fn look_at(
        &mut self,
        cloud: &dyn DelegatedCloud,
        from: Option<&PinnedVersion>,
        stop: &CancellationToken,
    ) -> Result<Option<Look>, EngineError> {
        match cloud.look(&self.update(from)).await {
            Ok(look) => {
                self.seen_at = Instant::now();
                Ok(Some(look))
            }
            Err(error) if error.retry != Retry::Never => {
                if self.seen_at.elapsed() > self.opened.record.policy.progress_deadline.as_duration() {
                    self.interrupt().await?;
                    return Err(error.into());
                }
                self.stay(stop).await?;
                Ok(None)
            }
            Err(error) => {
                self.interrupt().await?;
                Err(error.into())
            }
        }
    }

    /// Decides, and records what is about to be asked for or has changed.
    async fn judge(
        &mut self,
        cloud: &dyn DelegatedCloud,
        from: Option<&PinnedVersion>,
        look: &Look,
    ) -> Result<Supervision, EngineError> {
        let now = self.engine.clock.now();
        let before = self.opened.record.clone();
        let pacing = cloud.pacing(&before.policy);
        self.ask_gates(&look.observed.url);
        let readings = self.gates.take(before.bakes_since());
        let (fleet, update) = (&look.observed.fleet, &look.update);
        let watch = Watch { record: &before, fleet, update, pacing, readings: &readings, now };
        let made = supervise(&watch);
        if matches!(made.record.phase, Phase::Succeeded | Phase::RolledBack)
            && !self.is_cleared(cloud, from, &made.record).await
        {
            // Time that clearing takes is no standstill.
            self.opened.record.progress.at = now;
            return Ok(Supervision { record: before, orders: Vec::new(), wake_after: None, ..made });
        }
        self.opened.record = made.record.clone();
        let news = !made.orders.is_empty()
            || made.record.phase != before.phase
            || !readings.is_empty()
            || made.record.batch != before.batch
            || made.record.canary != before.canary
            || made.record.supervised != before.supervised;
        if !news {
            return Ok(made);
        }
        let ended = made.record.phase.is_terminal();
        let kind = if ended { EntryKind::Ended } else { EntryKind::Decided };
        let mut entry = self.engine.entry(kind, made.record.clone(), self.opened.fence, now);
        entry.results = std::mem::take(&mut self.results);
        let update = Some((look.update.clone(), pacing));
        entry.seen = Some(Seen { fleet: look.observed.fleet.clone(), update, record: before, readings, now });
        entry.orders.clone_from(&made.orders);
        entry.reasons.clone_from(&made.reasons);
        if ended {
            entry.lease.until = released(now);
        }
        self.append(entry).await?;
        Ok(made)
    }

    /// Whether nothing is left that was kept for the way back only. What cannot be removed in time stays, to be seen as
    /// too much by the next look.
    async fn is_cleared(
        &mut self,
        cloud: &dyn DelegatedCloud,
        from: Option<&PinnedVersion>,
        ended: &Record,
    ) -> bool {
        let since = *self.clearing_since.get_or_insert_with(Instant::now);
        let update = Update { rolling_back: ended.phase == Phase::RolledBack, ..self.update(from) };
        match cloud.clear_away(&update).await {
            Ok(is_clear) if is_clear => true,
            Err(error) if error.retry == Retry::Never => true,
            _ => since.elapsed() > ended.policy.progress_deadline.as_duration(),
        }
    }

    /// Makes the requests. One that gets no clear answer is settled by the next look. Says whether there was any.
    async fn ask_for(
        &mut self,
        cloud: &dyn DelegatedCloud,
        from: Option<&PinnedVersion>,
        orders: &[Order],
    ) -> Result<bool, EngineError> {
        let update = self.update(from);
        for order in orders {
            let answer = ask(cloud, &update, *order).await;
            let error = answer.as_ref().err().map(CloudError::chain);
            self.results.push(ActionResult { replica: None, error });
            match answer {
                Err(error) if error.retry == Retry::Never => self.refuse(error).await?,
                Err(error) if error.kind == CloudErrorKind::Conflict => {
                    self.opened.record.supervised.take_back();
                }
                // Without a clear answer the next look tells whether it arrived.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(!orders.is_empty())
    }
}

async fn ask(cloud: &dyn DelegatedCloud, update: &Update, order: Order) -> Result<(), CloudError> {
    match order {
        Order::Begin => cloud.begin(update).await,
        Order::Reverse => cloud.reverse(update).await,
        Order::Shift { share } => cloud.shift(update, share).await,
        Order::Hold => cloud.hold(update).await,
        Order::GoOn => cloud.go_on(update).await,
        Order::Adjust => cloud.adjust(update).await,
    }
}
