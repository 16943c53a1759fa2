//! Orders that may not show in the fleet yet: a listing can be old, a call can still be under way.
//!
//! Until they are old enough to show for certain they count at their worst: a start holds its devices and does not
//! serve, a replica that was told to stop still holds its devices and serves no more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::fleet::Fleet;
use crate::spec::{ReplicaId, TimeSpan, VersionNumber};

/// How long an order may take to show before it counts as lost.
pub const VISIBILITY_MAX: TimeSpan = TimeSpan::from_seconds(10);

/// A start that was ordered and may not be visible yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStart {
    /// The replica.
    pub replica: ReplicaId,
    /// The version to run.
    pub version: VersionNumber,
    /// When it was ordered.
    pub at: Timestamp,
}

/// A stop that was ordered and may not be visible yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStop {
    /// The replica.
    pub replica: ReplicaId,
    /// When it was ordered.
    pub at: Timestamp,
}

impl Record {
    /// Orders that are under way count as given at `now`: by a process whose clock may differ, or by calls that took
    /// their time.
    pub fn date_orders(&mut self, since: Timestamp, now: Timestamp) {
        let dates = self.pending.iter_mut().map(|start| &mut start.at);
        let dates = dates.chain(self.stopping.iter_mut().map(|stop| &mut stop.at));
        for at in dates.chain(self.weighing.iter_mut().map(|order| &mut order.at)) {
            if *at >= since {
                *at = now;
            }
        }
    }

    /// Takes over what an earlier rollout of the endpoint has ordered and nobody may have seen yet.
    #[must_use]
    pub fn after(mut self, earlier: &Self, now: Timestamp) -> Self {
        self.pending.clone_from(&earlier.pending);
        self.stopping.clone_from(&earlier.stopping);
        self.weighing.clone_from(&earlier.weighing);
        self.looked_at = earlier.looked_at;
        self.date_orders(Timestamp::MIN, now);
        self
    }

    /// Drops orders that are old enough to show for certain, and starts that do show: when such a replica is missing
    /// from a later look, it is gone.
    pub(super) fn forget_orders(&mut self, fleet: &Fleet, now: Timestamp) {
        let seen: BTreeSet<&ReplicaId> = fleet.replicas.iter().map(|replica| &replica.id).collect();
        self.pending.retain(|start| now < shows(start.at) && !seen.contains(&start.replica));
        self.stopping.retain(|stop| now < shows(stop.at));
        self.weighing.take_if(|order| order.weights == fleet.weights || now >= shows(order.at));
    }

    /// When the first of the orders shows for certain.
    pub(super) fn first_order_shows(&self) -> Option<Timestamp> {
        let dates = self.pending.iter().map(|start| start.at);
        let dates = dates.chain(self.stopping.iter().map(|stop| stop.at));
        dates.chain(self.weighing.iter().map(|order| order.at)).min().map(shows)
    }
}

fn shows(ordered: Timestamp) -> Timestamp {
    super::pace::add(ordered, VISIBILITY_MAX.as_duration())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Replica, ReplicaState};
    use crate::rollout::Side;
    use crate::spec::{DeploymentPolicy, RolloutRevision};

    #[test]
    fn a_start_that_has_shown_is_not_waited_for_when_its_replica_is_gone() {
        let now = Timestamp::UNIX_EPOCH;
        let to = Side { version: VersionNumber(1), replicas: 1 };
        let mut record = Record::new(RolloutRevision(1), None, to, DeploymentPolicy::default(), now);
        let ids = ["shown", "unseen"].map(|id| ReplicaId(id.to_owned()));
        record.pending =
            ids.clone().map(|replica| PendingStart { replica, version: to.version, at: now }).into();
        let shown = Replica {
            id: ids[0].clone(),
            version: to.version,
            state: ReplicaState::Requested,
            ready_since: None,
            start_failures: 0,
            reason: None,
        };
        record.forget_orders(&Fleet { observed_at: now, replicas: vec![shown], weights: None }, now);
        let left: Vec<&ReplicaId> = record.pending.iter().map(|start| &start.replica).collect();
        assert_eq!(left, [&ids[1]]);
    }
}
