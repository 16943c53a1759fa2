//! Carries out the actions of one decision. Chooses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cloud::{CloudError, FleetCloud, Retry};
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
    pub stop: &'a CancellationToken,
}

/// What became of a decision's actions.
#[derive(Default)]
pub(super) struct Carried {
    /// One for each call.
    pub results: Vec<ActionResult>,
    /// A refusal that trying again will not change.
    pub refused: Option<CloudError>,
}

/// One call to the cloud.
enum Call<'a> {
    Start(ReplicaId, VersionNumber),
    Stop(&'a ReplicaId),
    Weights(Option<&'a BTreeMap<VersionNumber, u32>>),
}

impl Engine {
    /// Makes the calls, one after the other. Once it is told to stop, or refused, it makes no further one: any part of
    /// a decision is safe.
    pub(super) async fn carry_out(
        &self,
        cloud: &dyn FleetCloud,
        orders: &Orders<'_>,
        actions: &[Action],
    ) -> Carried {
        let mut carried = Carried::default();
        for call in actions.iter().flat_map(|action| calls(orders, action)) {
            if orders.stop.is_cancelled() || carried.refused.is_some() {
                break;
            }
            let result = make(cloud, orders, &call).await;
            carried.note(call.replica().cloned(), result);
        }
        carried
    }
}

impl Call<'_> {
    fn replica(&self) -> Option<&ReplicaId> {
        match self {
            Self::Start(id, _) => Some(id),
            Self::Stop(id) => Some(id),
            Self::Weights(_) => None,
        }
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

fn calls<'a>(orders: &Orders<'_>, action: &'a Action) -> Vec<Call<'a>> {
    match action {
        Action::Start { version, count, first_ordinal } => {
            let id = |ordinal| ReplicaId::of_rollout(orders.endpoint, orders.revision, ordinal);
            let ordinals = *first_ordinal..first_ordinal + count;
            ordinals.map(|ordinal| Call::Start(id(ordinal), *version)).collect()
        }
        Action::Stop { replica } => vec![Call::Stop(replica)],
        Action::Weights { weights } => vec![Call::Weights(weights.as_ref())],
    }
}

async fn make(cloud: &dyn FleetCloud, orders: &Orders<'_>, call: &Call<'_>) -> Result<(), CloudError> {
    let Orders { endpoint, fence, drain, .. } = *orders;
    let mut attempt = 1;
    loop {
        let result = match call {
            Call::Start(id, version) => cloud.start_replica(endpoint, id, *version, fence).await,
            Call::Stop(id) => cloud.stop_replica(endpoint, id, drain, fence).await,
            Call::Weights(weights) => cloud.set_weights(endpoint, *weights, fence).await,
        };
        let Err(error) = result else { return Ok(()) };
        if attempt == ATTEMPTS_MAX || error.retry == Retry::Never {
            return Err(error);
        }
        pause(attempt).await;
        if orders.stop.is_cancelled() {
            return Err(error);
        }
        attempt += 1;
    }
}

/// Asks again while that can help: for questions, which change nothing.
pub(super) async fn ask<F: Future<Output = Result<(), CloudError>>>(
    question: impl Fn() -> F,
) -> Result<(), CloudError> {
    let mut attempt = 1;
    loop {
        match question().await {
            Err(error) if attempt < ATTEMPTS_MAX && error.retry != Retry::Never => pause(attempt).await,
            answer => return answer,
        }
        attempt += 1;
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
}
