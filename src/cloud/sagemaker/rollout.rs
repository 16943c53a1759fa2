//! Updates: asked for, looked at, told how they stand.
//!
//! The live endpoint configuration is the only proof: an update has succeeded when it is the new one, and was rolled
//! back when it is the old one and the endpoint has changed since it was asked. A reason for failure proves nothing; it
//! is missing after some rollbacks and left over after others.

use async_trait::async_trait;

use super::SagemakerCloud;
use super::autoscaling::Scaling;
use super::convert::{is_no_config, refusal};
use super::memory::{Asked, Memory, Note};
use super::outline;
use super::policy::deployment;
use super::settings::Service;
use super::state::{Standing, WEIGHT};
use super::tags;
use super::types::{
    Capacity, CreateEndpoint, Endpoint, EndpointName as Named, Nothing, Resize, UpdateEndpoint,
    VariantProperty,
};
use crate::cloud::{CloudError, CloudErrorKind, DelegatedCloud, Look, Retry, Update};
use crate::fleet::{Pacing, UpdateReport, UpdateState};
use crate::spec::{CloudName, DeploymentPolicy, PinnedVersion, VersionNumber};

#[async_trait]
impl DelegatedCloud for SagemakerCloud {
    fn pacing(&self, _: &DeploymentPolicy) -> Pacing {
        Pacing { bakes: true, canary: true, pauses: false, turns_back: false }
    }

    fn outline(
        &self,
        from: Option<&PinnedVersion>,
        to: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Vec<String> {
        outline::lines(from, to, policy)
    }

    async fn look(&self, update: &Update) -> Result<Look, CloudError> {
        let memory = self.memories.of(&update.endpoint).await?;
        let Some(found) = self.describe(&update.endpoint).await? else {
            return Ok(Look { observed: self.nothing(&update.endpoint), update: no_endpoint(update) });
        };
        let observed = self.observed(&update.endpoint, &found, &memory);
        let report = self.report(update, &found, &memory).await?;
        Ok(Look { observed, update: report })
    }

    async fn begin(&self, update: &Update) -> Result<(), CloudError> {
        self.ask(update).await
    }

    async fn reverse(&self, update: &Update) -> Result<(), CloudError> {
        self.ask(update).await
    }

    fn cloud(&self) -> CloudName {
        CloudName::Sagemaker
    }
}

/// What the new configuration says of a variant even where the rest is retained.
const OF_OURS: VariantProperty = VariantProperty { variant_property_type: "DesiredWeight" };

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Not made, as far as this rollout knows.
    NotMade,
    /// Nothing has changed since it was made; it was accepted or not.
    NotSeen { accepted: bool },
    /// The endpoint has changed since.
    Seen,
}

impl SagemakerCloud {
    async fn report(
        &self,
        update: &Update,
        found: &Endpoint,
        memory: &Memory,
    ) -> Result<UpdateReport, CloudError> {
        let wanted = memory.config_of(&update.endpoint, update.wanted());
        let request = request(update, found, memory);
        let serving = memory.number_of(&update.endpoint, found.live());
        Ok(match found.standing() {
            Standing::InProgress => in_progress(update, found, &wanted, request),
            Standing::Serving if found.live() == wanted => {
                let unmet = self.unmet(&update.endpoint, found, update.wanted()).await?;
                let state = if unmet.is_some() { UpdateState::Absent } else { UpdateState::Settled };
                report(state, Some(update.wanted().number), unmet)
            }
            Standing::Serving => self.elsewhere(update, found, memory, request, serving).await?,
            Standing::Stuck | Standing::Broken => ended_badly(update, found, request),
        })
    }

    /// Something else than what was wanted serves, and nobody is at work.
    async fn elsewhere(
        &self,
        update: &Update,
        found: &Endpoint,
        memory: &Memory,
        request: Request,
        serving: Option<VersionNumber>,
    ) -> Result<UpdateReport, CloudError> {
        let state = match request {
            Request::NotMade if update.asked_at.is_none() => UpdateState::Settled,
            Request::NotMade | Request::NotSeen { accepted: false } => UpdateState::Absent,
            Request::NotSeen { accepted: true } => UpdateState::Running,
            Request::Seen => UpdateState::Settled,
        };
        if request != Request::Seen {
            return Ok(report(state, serving, None));
        }
        let reason = found.failure_reason.clone().filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or_else(|| "SageMaker gave no reason".to_owned());
        let before = update.from.as_ref().filter(|_| !update.rolling_back);
        let Some(before) = before.filter(|from| memory.config_of(&update.endpoint, from) == found.live())
        else {
            let reason = format!("endpoint configuration `{}` is live: {reason}", found.live());
            return Ok(report(UpdateState::Settled, None, Some(reason)));
        };
        let state = match self.unmet(&update.endpoint, found, before).await? {
            // On the way back what belongs to the prior version is set again.
            Some(_) => UpdateState::Reverting,
            None => UpdateState::Settled,
        };
        Ok(report(state, Some(before.number), Some(reason)))
    }

    /// What of a version that serves is not as it should be, in words.
    async fn unmet(
        &self,
        endpoint: &crate::spec::EndpointName,
        found: &Endpoint,
        version: &PinnedVersion,
    ) -> Result<Option<String>, CloudError> {
        let Some(wanted) = Scaling::of(&version.spec) else { return Ok(None) };
        if let Some(weight) = self.memories.of(endpoint).await?.odd_weight(version.number, found) {
            return Ok(Some(format!("its variant has weight {weight} and not {WEIGHT}")));
        }
        let now = self.client.scaled(endpoint, &wanted.variant).await?;
        if !wanted.is_met(&now) {
            return Ok(Some("autoscaling is not set as the version wants it".to_owned()));
        }
        let instances = found.wanted_instances().map_or(wanted.min, |(_, instances)| instances);
        let corrected = wanted.corrected(instances, &now);
        Ok(corrected.map(|number| format!("it runs with {instances} instances and not with {number}")))
    }

    /// Asks for the wanted version, or for what is missing where it serves already.
    async fn ask(&self, update: &Update) -> Result<(), CloudError> {
        let (endpoint, wanted) = (&update.endpoint, update.wanted());
        let memory = self.memories.of(endpoint).await?;
        let config = memory.config_of(endpoint, wanted);
        let Some(found) = self.describe(endpoint).await? else {
            return self.create(update, &memory, &config).await;
        };
        match found.standing() {
            Standing::InProgress if leads_to(&found, &config) => Ok(()),
            Standing::InProgress => Err(busy(endpoint)),
            Standing::Serving if found.live() == config => self.complete(endpoint, &found, wanted).await,
            Standing::Serving | Standing::Stuck => self.update(update, &memory, &found, &config).await,
            Standing::Broken => {
                self.request_deletion(endpoint).await?;
                Err(busy(endpoint))
            }
        }
    }

    async fn create(&self, update: &Update, memory: &Memory, config: &str) -> Result<(), CloudError> {
        let endpoint = &update.endpoint;
        let words = format!("create endpoint `{endpoint}`");
        if update.from.is_some() {
            let gone = "it was deleted meanwhile";
            return Err(refusal(&words, CloudErrorKind::NotFound, gone));
        }
        let tags = tags::of_endpoint(endpoint, &memory.tags);
        let asked = CreateEndpoint { endpoint_name: endpoint.as_str(), endpoint_config_name: config, tags };
        let made: Result<Nothing, _> =
            self.client.call(Service::Sagemaker, "CreateEndpoint", &words, &asked).await;
        match made {
            // Perhaps by an attempt of ours whose answer was lost.
            Err(error) if error.kind == CloudErrorKind::Conflict => match self.describe(endpoint).await? {
                Some(found) if found.live() == config => Ok(()),
                _ => Err(error),
            },
            Err(error) if is_no_config(&error, config) => Err(not_yet(error)),
            answer => answer.map(drop),
        }
    }

    async fn update(
        &self,
        update: &Update,
        memory: &Memory,
        found: &Endpoint,
        config: &str,
    ) -> Result<(), CloudError> {
        let endpoint = &update.endpoint;
        let scaled = self.make_way(update, found).await?;
        let asked = asked(update, found);
        self.memories.add(endpoint, Note::Asking(asked.clone())).await?;
        let words = format!("update endpoint `{endpoint}`");
        let body = UpdateEndpoint {
            endpoint_name: endpoint.as_str(),
            endpoint_config_name: config,
            deployment_config: Some(deployment(&update.policy)).filter(|_| !update.rolling_back),
            retain_all_variant_properties: scaled,
            // The number of instances belongs to autoscaling. Weights do not.
            exclude_retained_variant_properties: scaled.then_some(OF_OURS).into_iter().collect(),
        };
        let made: Result<Nothing, _> =
            self.client.call(Service::Sagemaker, "UpdateEndpoint", &words, &body).await;
        match made {
            Ok(_) => {}
            Err(error) if error.kind == CloudErrorKind::Conflict => {
                let now = self.describe(endpoint).await?;
                // A lost answer: the update that is under way is the one that was asked for.
                let ours = |now: &Endpoint| {
                    now.pending()
                        .map_or(now.endpoint_status == "Updating" && now.modified() != asked.modified, |to| {
                            to == config
                        })
                };
                if !now.as_ref().is_some_and(ours) {
                    return Err(error);
                }
            }
            Err(error) if is_no_config(&error, config) => return Err(not_yet(error)),
            Err(error) if is_no_config(&error, found.live()) => {
                self.bring_back_live(update, memory, found, &error).await?;
                let _: Nothing =
                    self.client.call(Service::Sagemaker, "UpdateEndpoint", &words, &body).await?;
            }
            Err(error) => return Err(error),
        }
        self.memories.add(endpoint, Note::Accepted(asked)).await
    }

    /// Somebody deleted the configuration that is live, without which the service updates nothing: makes it again.
    async fn bring_back_live(
        &self,
        update: &Update,
        memory: &Memory,
        found: &Endpoint,
        error: &CloudError,
    ) -> Result<(), CloudError> {
        let versions = update.from.iter().chain([&update.to]);
        let live = versions.into_iter().find(|version| {
            let known = memory.versions.get(&version.number);
            memory.config_of(&update.endpoint, version) == found.live()
                && !known.is_some_and(|known| known.adopted)
        });
        match live {
            Some(live) => {
                let known = memory.versions.get(&live.number);
                let origin = known.and_then(|known| known.origin.as_ref());
                self.client.publish(&update.endpoint, live, origin).await
            }
            None => Err(refusal(
                &format!("update endpoint `{}`", update.endpoint),
                CloudErrorKind::Artifact,
                format!("{}. Create an endpoint configuration of that name and apply again", error.chain()),
            )),
        }
    }

    /// Ends autoscaling where the service would refuse the update because of it. Says whether the number of instances is
    /// to be kept.
    async fn make_way(&self, update: &Update, found: &Endpoint) -> Result<bool, CloudError> {
        let Some((variant, _)) = found.wanted_instances() else { return Ok(false) };
        let scaled = self.client.scaled(&update.endpoint, variant).await?;
        if scaled.target.is_none() {
            return Ok(false);
        }
        let live = self.client.describe_config(found.live()).await.ok();
        let live = live.and_then(|config| config.production_variants.into_iter().next());
        let wanted = update.wanted().spec.sagemaker.as_ref();
        let same = live.zip(wanted).is_some_and(|(live, wanted)| {
            live.instance_type.as_deref() == Some(wanted.instance_type.as_str())
                && live.variant_name == wanted.variant_name
        });
        if !same {
            self.client.unscale(&update.endpoint, variant).await?;
        }
        Ok(true)
    }

    /// Sets what belongs to a version that serves already: autoscaling, weight and the number of instances.
    async fn complete(
        &self,
        endpoint: &crate::spec::EndpointName,
        found: &Endpoint,
        version: &PinnedVersion,
    ) -> Result<(), CloudError> {
        let Some(wanted) = Scaling::of(&version.spec) else { return Ok(()) };
        let now = self.client.scaled(endpoint, &wanted.variant).await?;
        if !wanted.is_met(&now) {
            self.client.scale(endpoint, &wanted).await?;
        }
        let Some((variant, instances)) = found.wanted_instances() else { return Ok(()) };
        let odd = self.memories.of(endpoint).await?.odd_weight(version.number, found);
        let desired_weight = odd.map(|_| WEIGHT);
        let desired_instance_count = wanted.corrected(instances, &now);
        if desired_weight.is_none() && desired_instance_count.is_none() {
            return Ok(());
        }
        let words = format!("resize endpoint `{endpoint}`");
        let capacity = Capacity { variant_name: variant, desired_weight, desired_instance_count };
        let asked =
            Resize { endpoint_name: endpoint.as_str(), desired_weights_and_capacities: vec![capacity] };
        let operation = "UpdateEndpointWeightsAndCapacities";
        let _: Nothing = self.client.call(Service::Sagemaker, operation, &words, &asked).await?;
        Ok(())
    }

    pub(super) async fn request_deletion(
        &self,
        endpoint: &crate::spec::EndpointName,
    ) -> Result<(), CloudError> {
        let words = format!("delete endpoint `{endpoint}`");
        let asked = Named { endpoint_name: endpoint.as_str() };
        let _: Nothing = self.client.call(Service::Sagemaker, "DeleteEndpoint", &words, &asked).await?;
        Ok(())
    }
}

fn no_endpoint(update: &Update) -> UpdateReport {
    match (update.from.is_some(), update.asked_at.is_some()) {
        (true, true) => {
            report(UpdateState::Failed, None, Some("the endpoint was deleted meanwhile".to_owned()))
        }
        _ => report(UpdateState::Absent, None, None),
    }
}

/// `RollingBack` is no more than `Running`: the reason comes with the end.
fn in_progress(update: &Update, found: &Endpoint, wanted: &str, request: Request) -> UpdateReport {
    let asked = !matches!(request, Request::NotMade | Request::NotSeen { accepted: false });
    let ours = update.asked_at.is_some()
        && found.endpoint_status != "Deleting"
        && (leads_to(found, wanted) || (found.pending().is_none() && asked));
    let state = if ours { UpdateState::Running } else { UpdateState::Busy };
    report(state, None, found.activity())
}

fn ended_badly(update: &Update, found: &Endpoint, request: Request) -> UpdateReport {
    let status = &found.endpoint_status;
    let why = found.failure_reason.as_deref().unwrap_or("SageMaker gave no reason");
    let creates = update.from.is_none() && update.asked_at.is_some();
    let state = match request {
        Request::Seen => UpdateState::Failed,
        Request::NotSeen { accepted: true } => UpdateState::Running,
        Request::NotMade if creates && status == "Failed" => UpdateState::Failed,
        // What failed before is the past: an update repairs it, where the service allows that.
        Request::NotMade | Request::NotSeen { accepted: false } => UpdateState::Absent,
    };
    report(state, None, Some(format!("the endpoint is {status}: {why}")))
}

/// What is known of the request for the wanted version.
fn request(update: &Update, found: &Endpoint, memory: &Memory) -> Request {
    let wanted = asked(update, found);
    let is_it = |noted: &Option<Asked>| {
        noted.as_ref().filter(|noted| (noted.revision, noted.back) == (wanted.revision, wanted.back)).cloned()
    };
    let Some(asking) = is_it(&memory.asking) else { return Request::NotMade };
    if asking.modified == wanted.modified {
        return Request::NotSeen { accepted: is_it(&memory.accepted).as_ref() == Some(&asking) };
    }
    Request::Seen
}

fn asked(update: &Update, found: &Endpoint) -> Asked {
    Asked { revision: update.revision.0, back: update.rolling_back, modified: found.modified() }
}

fn leads_to(found: &Endpoint, config: &str) -> bool {
    found.pending() == Some(config) || (found.endpoint_status == "Creating" && found.live() == config)
}

fn report(state: UpdateState, serving: Option<VersionNumber>, reason: Option<String>) -> UpdateReport {
    UpdateReport { state, serving, canary: None, reason }
}

fn busy(endpoint: &crate::spec::EndpointName) -> CloudError {
    let words = format!("update endpoint `{endpoint}`");
    let mut error = refusal(&words, CloudErrorKind::Conflict, "something else is under way");
    error.retry = Retry::Backoff;
    error
}

/// What was just made may be seen a little later.
fn not_yet(mut error: CloudError) -> CloudError {
    error.retry = Retry::Backoff;
    error
}
