//! An update, leg by leg: look where it stands, ask for the next leg.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::convert::{self, Wanted};
use super::endpoints::observed;
use super::legs::{Leg, Manner, next};
use super::memory::{Memory, Note, Request};
use super::names::{Label, ModelRef};
use super::outline::{is_beside, outline};
use super::registry::model_ref;
use super::state::State;
use super::types::{DeployedModel, NEW, Operation, Resources, RolloutOptions, Split};
use super::{VertexAiCloud, failure};
use crate::cloud::{CloudError, CloudErrorKind, DelegatedCloud, Look, ObservedEndpoint, Retry, Update};
use crate::fleet::{Pacing, UpdateReport, UpdateState};
use crate::spec::{CloudName, DeploymentPolicy, Percent, PinnedVersion};

/// How long a change that replaces no model is waited for at once. One that takes longer is followed by looking: whoever
/// asks has a lease to renew.
const WAIT_AT_ONCE: Duration = Duration::from_secs(8);
/// Legs that the adapter walks within one request: those that end at once.
const LEGS_AT_ONCE: usize = 3;

/// Where an update stands: what is there, and what comes next.
struct Course {
    memory: Memory,
    state: State,
    wanted: Wanted,
    leg: Leg,
    manner: Manner,
    /// Whether routes have to stay what they are.
    is_shared: bool,
    request: Option<Request>,
    operation: Option<Operation>,
    observed: ObservedEndpoint,
}

#[async_trait]
impl DelegatedCloud for VertexAiCloud {
    fn pacing(&self, _: &DeploymentPolicy) -> Pacing {
        Pacing { bakes: false, canary: false, pauses: false, turns_back: true }
    }

    fn outline(
        &self,
        from: Option<&PinnedVersion>,
        to: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Vec<String> {
        outline(from, to, policy)
    }

    async fn look(&self, update: &Update) -> Result<Look, CloudError> {
        let course = self.course(update).await?;
        Ok(Look { update: report(update, &course), observed: course.observed })
    }

    async fn begin(&self, update: &Update) -> Result<(), CloudError> {
        self.advance(update).await
    }

    async fn reverse(&self, update: &Update) -> Result<(), CloudError> {
        self.advance(update).await
    }

    async fn shift(&self, update: &Update, _: Percent) -> Result<(), CloudError> {
        self.advance(update).await
    }

    async fn go_on(&self, update: &Update) -> Result<(), CloudError> {
        self.advance(update).await
    }

    async fn clear_away(&self, update: &Update) -> Result<bool, CloudError> {
        let course = self.course(update).await?;
        if course.state.flying().is_some() {
            self.cancel_deployments(&update.endpoint).await;
            return Ok(false);
        }
        let Some(left) = course.state.leftovers().next() else { return Ok(true) };
        if !self.is_busy(update).await? {
            self.undeploy_soon(update, &left.deployed.id).await?;
        }
        Ok(false)
    }

    fn cloud(&self) -> CloudName {
        CloudName::VertexAi
    }
}

/// How the update stands, as the engine understands it.
fn report(update: &Update, course: &Course) -> UpdateReport {
    let Course { state, leg, .. } = course;
    let is_canary = update.share.is_some() && *leg == Leg::Done;
    let told = |state: UpdateState, serving, reason| UpdateReport {
        state,
        serving,
        canary: update.share.filter(|_| is_canary),
        reason,
    };
    let serving = state.serving().filter(|_| !is_canary);
    let failed =
        course.operation.as_ref().filter(|operation| operation.done).and_then(|done| done.error.as_ref());
    let lacks = state.sole().is_some_and(|sole| sole.ready < sole.least());
    match leg {
        // Replicas of the prior version come back by themselves after a rollout that failed.
        Leg::Done if update.rolling_back && course.request.is_none() && lacks => {
            told(UpdateState::Reverting, serving, None)
        }
        Leg::Done => told(UpdateState::Settled, serving, None),
        Leg::Wait => told(UpdateState::Running, serving, None),
        Leg::Busy { id } => {
            let reason = format!("deployed model {id} is being deployed by somebody else");
            told(UpdateState::Busy, serving, Some(reason))
        }
        // Before the way back was asked for nothing is back, whoever has the traffic still.
        _ if update.asked_at.is_none() => {
            told(UpdateState::Settled, serving.filter(|_| !update.rolling_back), None)
        }
        _ => match (&course.operation, failed) {
            (_, Some(error)) => {
                let state = match (update.rolling_back || update.from.is_none(), lacks) {
                    (true, _) => UpdateState::Failed,
                    (false, true) => UpdateState::Reverting,
                    (false, false) => UpdateState::Settled,
                };
                told(state, serving, Some(error.message.clone()))
            }
            (Some(operation), None) if !operation.done => told(UpdateState::Running, serving, None),
            (Some(_), None) => told(UpdateState::Waiting, serving, None),
            (None, None) => told(UpdateState::Absent, serving, None),
        },
    }
}

impl VertexAiCloud {
    /// Reads all there is to know about an update.
    async fn course(&self, update: &Update) -> Result<Course, CloudError> {
        let operation = format!("look at endpoint `{}`", update.endpoint);
        let memory = Memory::read(&self.notes, &update.endpoint).await?;
        let endpoint = self.client.endpoint(&operation, update.endpoint.as_str()).await?;
        let endpoint = endpoint.ok_or_else(|| {
            failure(&operation, CloudErrorKind::NotFound).with_message("there is no such endpoint any more")
        })?;
        let is_shared = !endpoint.dedicated_endpoint_enabled
            && endpoint.network.is_empty()
            && endpoint.private_service_connect_config.is_none();
        let url = self.address(&update.endpoint, &endpoint);
        let mut state = State::read(&update.endpoint, endpoint, &memory);
        let wanted = wanted_now(&memory, update.wanted(), update)?;
        let (request, operation) = self.request(update, &memory, update.rolling_back).await?;
        self.add_hidden(update, &memory, &mut state).await?;
        let share = update.share.filter(|_| !update.rolling_back);
        let manner = Manner { share, beside: is_beside(&update.policy), may_roll: true };
        let mut leg = next(&state, &wanted, manner);
        if matches!(leg, Leg::Scale { .. } | Leg::Undeploy { .. }) && self.is_busy(update).await? {
            // Perhaps this very change; in any case one after the other.
            leg = Leg::Wait;
        }
        let observed = observed(&update.endpoint, url, &state);
        Ok(Course { memory, state, wanted, leg, manner, is_shared, request, operation, observed })
    }

    /// The deployment that was asked for last in this direction, and its operation. One whose answer was lost is found
    /// among the operations that were not there before.
    async fn request(
        &self,
        update: &Update,
        memory: &Memory,
        back: bool,
    ) -> Result<(Option<Request>, Option<Operation>), CloudError> {
        let Some(request) = memory.request(update.revision, back) else { return Ok((None, None)) };
        if let Some(name) = &request.operation {
            let operation = self.client.operation(name).await?;
            return Ok((Some(request), operation));
        }
        let all = self.client.operations(&format!("endpoints/{}", update.endpoint)).await?;
        let mut new = all
            .into_iter()
            .filter(|operation| is_deployment(operation) && !request.seen.contains(&operation.name));
        let found = new.next();
        if let Some(found) = &found {
            let note = Note::Asked { revision: update.revision, back, operation: found.name.clone() };
            Memory::note(&self.notes, &update.endpoint, &note).await?;
        }
        Ok((Some(request), found))
    }

    /// A service that hides what is being deployed is helped out by what was noted and by its operations.
    async fn add_hidden(
        &self,
        update: &Update,
        memory: &Memory,
        state: &mut State,
    ) -> Result<(), CloudError> {
        if !self.client.hides_deployments() {
            return Ok(());
        }
        let ways = if update.rolling_back { &[true, false][..] } else { &[false][..] };
        for back in ways {
            let (request, operation) = self.request(update, memory, *back).await?;
            let (Some(request), Some(operation)) = (request, operation) else { continue };
            if operation.done {
                continue;
            }
            let Some(version) = (if *back { update.from.as_ref() } else { Some(&update.to) }) else {
                continue;
            };
            let wanted = Wanted::new(version, model_ref(memory, version)?);
            let options =
                |previous| RolloutOptions { previous_deployed_model: previous, ..RolloutOptions::default() };
            let hidden = DeployedModel {
                id: request.deployed_model,
                model: wanted.model.name(),
                model_version_id: wanted.model.version.clone(),
                rollout_options: request.previous.map(options),
                ..wanted.deployed(Some(wanted.resources.clone()))
            };
            state.add_hidden(hidden, version.number);
        }
        Ok(())
    }

    /// Asks for the next leg. Those that end at once are walked together.
    async fn advance(&self, update: &Update) -> Result<(), CloudError> {
        for _ in 0..LEGS_AT_ONCE {
            let course = self.course(update).await?;
            let leg = self.settled_leg(update, &course).await?;
            let goes_on = matches!(leg, Leg::Undeploy { .. } | Leg::Scale { .. });
            self.walk(update, &course, leg).await?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// The next leg, after a look at the routes where they decide.
    async fn settled_leg(&self, update: &Update, course: &Course) -> Result<Leg, CloudError> {
        let Leg::Roll { previous } = &course.leg else { return Ok(course.leg.clone()) };
        let below = course.state.models.iter().find(|known| known.deployed.id == *previous);
        let Some(below) =
            below.filter(|known| course.is_shared && !course.wanted.has_model_of(&known.deployed))
        else {
            return Ok(course.leg.clone());
        };
        let read = ModelRef::read(&below.deployed.model);
        let old = read.map(|model| ModelRef { version: below.deployed.model_version_id.clone(), ..model });
        let old = old.map(|model| model.name()).unwrap_or_default();
        if self.share_routes(&old, &course.wanted.model.name()).await? {
            return Ok(course.leg.clone());
        }
        if below.is_flying {
            let words = "the routes differ, and an endpoint with a shared address cannot roll between them";
            return Err(fails(update, CloudErrorKind::Invalid).with_message(words));
        }
        Ok(next(&course.state, &course.wanted, Manner { may_roll: false, ..course.manner }))
    }

    async fn walk(&self, update: &Update, course: &Course, leg: Leg) -> Result<(), CloudError> {
        let resources = Some(course.wanted.resources.clone());
        match leg {
            Leg::Done | Leg::Wait => Ok(()),
            Leg::Busy { id } => {
                let words = format!("deployed model {id} is being deployed by somebody else");
                let mut busy = fails(update, CloudErrorKind::Conflict).with_message(words);
                busy.retry = Retry::Backoff;
                Err(busy)
            }
            Leg::DeployFirst => {
                self.deploy(update, course, resources, None, Split::from([(NEW.to_owned(), 100)])).await
            }
            Leg::DeployBeside { split } => self.deploy(update, course, resources, None, split).await,
            Leg::Roll { previous } => self.deploy(update, course, None, Some(previous), Split::new()).await,
            Leg::Scale { id } => self.scale(update, course, &id).await,
            Leg::Split { split } => self.split(update, course, &split).await,
            Leg::Undeploy { id } => self.undeploy_soon(update, &id).await,
        }
    }

    async fn deploy(
        &self,
        update: &Update,
        course: &Course,
        resources: Option<Resources>,
        previous: Option<String>,
        split: Split,
    ) -> Result<(), CloudError> {
        let Course { wanted, memory, .. } = course;
        let (revision, back) = (update.revision, update.rolling_back);
        let label = Label { version: wanted.version, revision, back };
        let id = label.id(&update.endpoint, memory.accepted(revision, back));
        let desired =
            update.from.as_ref().map_or(wanted.resources.min_replica_count, |from| from.spec.replicas());
        let options =
            previous.as_deref().map(|previous| convert::rollout_options(previous, &update.policy, desired));
        let deployed = DeployedModel {
            id: id.clone(),
            model: wanted.model.name(),
            display_name: label.text(&update.endpoint),
            rollout_options: options,
            ..wanted.deployed(resources)
        };
        let seen = self.client.operations(&format!("endpoints/{}", update.endpoint)).await?;
        let seen = seen.into_iter().filter(is_deployment).map(|operation| operation.name).collect();
        let asking = Note::Asking { revision, back, deployed_model: id, previous, seen };
        Memory::note(&self.notes, &update.endpoint, &asking).await?;
        let started = match self.ask_to_deploy(update, &deployed, &split).await {
            Err(error) if is_about_the_id(&error) => {
                let without = DeployedModel { id: String::new(), ..deployed };
                self.ask_to_deploy(update, &without, &split).await
            }
            answer => answer,
        };
        match started {
            // A rolling deployment may be answered with nothing: it is followed by looking then.
            Ok(started) if started.name.is_empty() => Ok(()),
            Ok(started) => {
                let asked = Note::Asked { revision, back, operation: started.name };
                Memory::note(&self.notes, &update.endpoint, &asked).await
            }
            Err(error) if error.kind == CloudErrorKind::Conflict => self.settle_conflict(update, error).await,
            Err(error) => Err(error),
        }
    }

    async fn ask_to_deploy(
        &self,
        update: &Update,
        deployed: &DeployedModel,
        split: &Split,
    ) -> Result<Operation, CloudError> {
        let body = if split.is_empty() {
            json!({ "deployedModel": deployed })
        } else {
            json!({ "deployedModel": deployed, "trafficSplit": split })
        };
        let operation = format!("deploy to endpoint `{}`", update.endpoint);
        self.client.post(&operation, &self.path(update, ":deployModel"), &body).await
    }

    /// The state was another than it seemed: perhaps because this was asked for already, perhaps because something is
    /// under way that will end.
    async fn settle_conflict(&self, update: &Update, mut error: CloudError) -> Result<(), CloudError> {
        let course = self.course(update).await?;
        if matches!(course.leg, Leg::Done | Leg::Wait) {
            return Ok(());
        }
        if error.retry == Retry::Never && self.is_busy(update).await? {
            error.retry = Retry::Backoff;
        }
        Err(error)
    }

    async fn scale(&self, update: &Update, course: &Course, id: &str) -> Result<(), CloudError> {
        let wanted = &course.wanted;
        // First the note: whoever looks after a crash must know what the new number means.
        let note = Note::Scaled {
            version: wanted.version,
            deployed_model: id.to_owned(),
            scaling: wanted.scaling(),
        };
        Memory::note(&self.notes, &update.endpoint, &note).await?;
        let known = course.state.models.iter().find(|known| known.deployed.id == id);
        if known.is_some_and(|known| wanted.has_scaling_of(&known.deployed)) {
            return Ok(());
        }
        let fields = ["minReplicaCount", "maxReplicaCount", "requiredReplicaCount", "autoscalingMetricSpecs"];
        let Resources {
            min_replica_count,
            max_replica_count,
            required_replica_count,
            autoscaling_metric_specs,
            ..
        } = &wanted.resources;
        let body = json!({
            "deployedModel": { "id": id, "dedicatedResources": {
                "minReplicaCount": min_replica_count,
                "maxReplicaCount": max_replica_count,
                "requiredReplicaCount": required_replica_count,
                "autoscalingMetricSpecs": autoscaling_metric_specs,
            } },
            "updateMask": fields.map(|field| format!("dedicatedResources.{field}")).join(","),
        });
        let operation = format!("scale endpoint `{}`", update.endpoint);
        let path = self.path(update, ":mutateDeployedModel");
        let started = self.client.post(&operation, &path, &body).await?;
        at_once(self.client.finish(&operation, started, WAIT_AT_ONCE).await.map(drop))
    }

    async fn undeploy_soon(&self, update: &Update, id: &str) -> Result<(), CloudError> {
        at_once(self.undeploy(&update.endpoint, id, WAIT_AT_ONCE).await)
    }

    /// Whether any operation on the endpoint goes on.
    async fn is_busy(&self, update: &Update) -> Result<bool, CloudError> {
        let all = self.client.operations(&format!("endpoints/{}", update.endpoint)).await?;
        Ok(all.iter().any(|operation| !operation.done))
    }

    async fn split(&self, update: &Update, course: &Course, split: &Split) -> Result<(), CloudError> {
        let operation = format!("split the traffic of endpoint `{}`", update.endpoint);
        // With the etag of what the split was decided on: somebody else's change is not overwritten unseen.
        let body = json!({ "trafficSplit": split, "etag": course.state.etag });
        let changed =
            self.client.patch::<Value>(&operation, &self.path(update, ""), "trafficSplit", &body).await;
        match changed {
            Err(mut error) if error.kind == CloudErrorKind::Conflict => {
                error.retry = Retry::Backoff;
                Err(error)
            }
            changed => changed.map(drop),
        }
    }

    fn path(&self, update: &Update, verb: &str) -> String {
        format!("{}/endpoints/{}{verb}", self.client.place.parent(), update.endpoint)
    }
}

fn fails(update: &Update, kind: CloudErrorKind) -> CloudError {
    failure(format!("deploy to endpoint `{}`", update.endpoint), kind)
}

/// What is to serve, with the replicas that its share of the traffic needs.
fn wanted_now(memory: &Memory, version: &PinnedVersion, update: &Update) -> Result<Wanted, CloudError> {
    let mut wanted = Wanted::new(version, model_ref(memory, version)?);
    if let Some(share) = update.share.filter(|_| !update.rolling_back) {
        // A canary has the replicas that its share needs.
        let desired = version.spec.replicas();
        let canary = update.policy.effective_canary();
        let stage = canary.as_ref().and_then(|canary| {
            let stage = (0..canary.stages()).find(|stage| canary.share(*stage) == Some(share))?;
            Some(canary.replicas(stage, desired))
        });
        let by_share = (desired * u32::from(share.as_u8())).div_ceil(100);
        let count = stage.unwrap_or(0).max(by_share).clamp(1, desired.max(1));
        wanted.resources.min_replica_count = count;
        wanted.resources.max_replica_count = count;
        wanted.resources.required_replica_count = 0;
    }
    Ok(wanted)
}

/// What was asked for and is not done yet is fine: the next look tells.
fn at_once(answer: Result<(), CloudError>) -> Result<(), CloudError> {
    match answer {
        Err(error) if error.kind == CloudErrorKind::Unreachable => Ok(()),
        answer => answer,
    }
}

pub(super) fn is_deployment(operation: &Operation) -> bool {
    operation.metadata.kind.ends_with(".DeployModelOperationMetadata")
}

fn is_about_the_id(error: &CloudError) -> bool {
    let words = error.message.as_deref().unwrap_or_default();
    error.kind == CloudErrorKind::Invalid && words.contains("deployed_model.id")
}
