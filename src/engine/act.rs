//! Carries out the actions of one decision. Chooses nothing.

use std::time::Duration;

use crate::cloud::{CloudError, Drive, FleetCloud, Retry};
use crate::ledger::ActionResult;
use crate::rollout::Action;
use crate::spec::{Drain, EndpointName, ReplicaId, RolloutRevision, VersionNumber};

use super::Engine;

/// Tries of one call, with the same key each time.
const ATTEMPTS_MAX: u32 = 3;

/// What every action of a rollout has in common.
pub(super) struct Orders<'a> {
    pub endpoint: &'a EndpointName,
    pub revision: RolloutRevision,
    pub fence: u64,
    pub drain: &'a Drain,
}

/// What became of a decision's actions.
#[derive(Default)]
pub(super) struct Carried {
    /// One for each call.
    pub results: Vec<ActionResult>,
    /// A refusal that trying again will not change.
    pub refused: Option<CloudError>,
}

impl Engine {
    pub(super) async fn carry_out(&self, orders: &Orders<'_>, actions: &[Action]) -> Carried {
        let Drive::Fleet(cloud) = self.cloud.drive();
        let mut carried = Carried::default();
        for action in actions {
            match action {
                Action::Start { version, count, first_ordinal } => {
                    for ordinal in *first_ordinal..first_ordinal + count {
                        let id = ReplicaId::of_rollout(orders.endpoint, orders.revision, ordinal);
                        let started = start(cloud, orders, &id, *version).await;
                        carried.note(Some(id), started);
                    }
                }
                Action::Stop { replica } => {
                    let stopped = stop(cloud, orders, replica).await;
                    carried.note(Some(replica.clone()), stopped);
                }
                Action::Weights { weights } => {
                    let set = cloud.set_weights(orders.endpoint, weights.as_ref(), orders.fence).await;
                    carried.note(None, set);
                }
            }
        }
        carried
    }
}

impl Carried {
    fn note(&mut self, replica: Option<ReplicaId>, result: Result<(), CloudError>) {
        let error = result.as_ref().err().map(CloudError::chain);
        self.results.push(ActionResult { replica, error });
        if let Err(error) = result
            && error.retry == Retry::Never
        {
            self.refused.get_or_insert(error);
        }
    }
}

async fn start(
    cloud: &dyn FleetCloud,
    orders: &Orders<'_>,
    id: &ReplicaId,
    version: VersionNumber,
) -> Result<(), CloudError> {
    let mut attempt = 1;
    loop {
        let result = cloud.start_replica(orders.endpoint, id, version, orders.fence).await;
        match result {
            Err(error) if attempt < ATTEMPTS_MAX && error.retry != Retry::Never => pause(attempt).await,
            result => return result,
        }
        attempt += 1;
    }
}

async fn stop(cloud: &dyn FleetCloud, orders: &Orders<'_>, id: &ReplicaId) -> Result<(), CloudError> {
    let mut attempt = 1;
    loop {
        let result = cloud.stop_replica(orders.endpoint, id, orders.drain, orders.fence).await;
        match result {
            Err(error) if attempt < ATTEMPTS_MAX && error.retry != Retry::Never => pause(attempt).await,
            result => return result,
        }
        attempt += 1;
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
}
