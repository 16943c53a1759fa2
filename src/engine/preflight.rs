//! What lies ahead must be possible before anything is touched.

use super::EngineError;
use super::act::ask;
use super::gates::{self, Subject};
use super::run::Run;
use crate::cloud::{CloudError, Retry};
use crate::rollout::{Limits, Phase, Record, Side};
use crate::spec::Gate;

impl Run<'_> {
    /// The target, and the way back to the version that serves, must be startable; on the way back the target is not
    /// needed any more. Where something has to stop first, there must be room for what comes after it. And gates must be
    /// such that they can ever be evaluated.
    pub(super) async fn preflight(&self) -> Result<(), EngineError> {
        let record = &self.opened.record;
        let ahead = Some(record.to).filter(|_| !record.is_rolling_back());
        let back = record.from.filter(|_| record.policy.rollback.auto || record.is_rolling_back());
        for side in [ahead, back].into_iter().flatten() {
            limits(record, side)?;
            self.check_startable(side).await?;
        }
        self.probe_capacity().await?;
        self.rehearse_gates().await
    }

    async fn check_startable(&self, side: Side) -> Result<(), EngineError> {
        let (endpoint, number) = (&self.target.endpoint, side.version);
        let checked = ask(|| self.engine.cloud.check_startable(endpoint, number)).await;
        checked.map_err(|source| match source.retry {
            // The version was judged, not just out of reach.
            Retry::Never => EngineError::NotStartable { endpoint: endpoint.clone(), number, source },
            _ => source.into(),
        })
    }

    /// Asks the servers of metrics whether they understand the queries.
    async fn rehearse_gates(&self) -> Result<(), EngineError> {
        let record = &self.opened.record;
        let gates = &record.policy.gates;
        if !begins(record) || gates.iter().all(|gate| gate.prometheus.is_none()) {
            return Ok(());
        }
        let endpoint = &self.target.endpoint;
        let observed = self.engine.cloud.observe(endpoint).await?;
        let subject = Subject {
            endpoint: endpoint.clone(),
            url: observed.map(|observed| observed.url).unwrap_or_default(),
            new: record.to.version,
            old: record.from.map(|side| side.version),
            since: record.started_at,
        };
        let Some((index, reason)) = gates::unusable(gates, &subject).await else { return Ok(()) };
        let kind = gates.get(index).and_then(Gate::kind).unwrap_or("of no kind");
        Err(EngineError::GateUnusable { gate: index + 1, kind, reason })
    }

    /// Without room beside what serves, the first thing that a rollout does is to stop something.
    async fn probe_capacity(&self) -> Result<(), EngineError> {
        let record = &self.opened.record;
        if !begins(record) || limits(record, record.to)?.max_surge > 0 {
            return Ok(());
        }
        let version = &self.target.version;
        let probed = ask(|| self.engine.cloud.probe_capacity(version, record.to.replicas)).await;
        probed.map_err(|source: CloudError| match source.retry {
            Retry::Never => EngineError::NoCapacity {
                endpoint: self.target.endpoint.clone(),
                number: version.number,
                source,
            },
            _ => source.into(),
        })
    }
}

/// Nothing was done yet, and a version serves that could come to harm.
fn begins(record: &Record) -> bool {
    record.phase == Phase::Planned && record.from.is_some()
}

fn limits(record: &Record, side: Side) -> Result<Limits, EngineError> {
    let policy = &record.policy;
    let (surge, unavailable) = (policy.surge(), policy.unavailable());
    Ok(Limits::resolve(side.replicas, surge, unavailable, policy.allow_downtime)?)
}
