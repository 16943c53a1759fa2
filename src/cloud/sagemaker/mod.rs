//! Amazon `SageMaker` real-time endpoints, which roll by themselves.
//!
//! A version is a model and an endpoint configuration, made when it is published and deleted when it is retired. An
//! update is one call; `rollout` asks for it and tells how it stands, and `policy` says how it goes. The service forgets
//! what it was asked for, and when: `memory` does not.
//!
//! What it cannot do: stop an update that is under way, wait for a person, ask gates other than alarms, take an instance
//! away before its replacement serves, run another entry point than the image's, keep secrets.

mod adopt;
mod autoscaling;
mod check;
mod client;
mod connector;
mod convert;
mod credentials;
mod delete;
mod memory;
mod outline;
mod policy;
mod registry;
mod rollout;
mod settings;
mod state;
mod tags;
mod types;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::settings::SagemakerSettings;

use self::autoscaling::Scaling;
use self::client::Client;
use self::convert::{is_no_endpoint, refusal, version_name};
use self::memory::{Memories, Memory, Note};
use self::settings::Service;
use self::state::Standing;
use self::types::{Alarm, Alarms, DescribeAlarms, Endpoint, EndpointName as Named};
use super::{Adopted, Cloud, CloudError, CloudErrorKind, Drive, EndpointAddress, Notes, ObservedEndpoint};
use crate::clock::{Clock, SystemClock};
use crate::fleet::Fleet;
use crate::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, Origin, PinnedVersion, Pins, Problem,
    VersionNumber, VersionSpec,
};

/// Amazon `SageMaker`.
#[derive(Debug)]
pub struct SagemakerCloud {
    client: Client,
    memories: Memories,
    poll: Duration,
}

impl SagemakerCloud {
    /// A cloud in the region that the settings or the environment name.
    ///
    /// # Errors
    /// No region is set.
    pub async fn connect(settings: &SagemakerSettings, notes: Arc<dyn Notes>) -> Result<Self, CloudError> {
        let client = Client::new(settings).await?;
        Ok(Self { client, memories: Memories::new(notes), poll: settings.poll() })
    }

    async fn describe(&self, endpoint: &EndpointName) -> Result<Option<Endpoint>, CloudError> {
        let words = format!("read endpoint `{endpoint}`");
        let asked = Named { endpoint_name: endpoint.as_str() };
        match self.client.call(Service::Sagemaker, "DescribeEndpoint", &words, &asked).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_no_endpoint(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn nothing(&self, endpoint: &EndpointName) -> ObservedEndpoint {
        let url = self.client.places().invocations(endpoint.as_str());
        ObservedEndpoint {
            url,
            deleting: false,
            fleet: Fleet::empty(SystemClock.now()),
            unmanaged: None,
            settings: None,
        }
    }

    fn observed(&self, endpoint: &EndpointName, found: &Endpoint, memory: &Memory) -> ObservedEndpoint {
        let live = memory.number_of(endpoint, found.live());
        let unmanaged = match found.standing() {
            Standing::Stuck => {
                let why = found.failure_reason.as_deref().unwrap_or("no reason given");
                Some(format!("a mix of versions, because an update and its way back failed: {why}"))
            }
            Standing::Serving if live.is_none() => Some(format!("endpoint configuration `{}`", found.live())),
            _ => None,
        };
        ObservedEndpoint {
            deleting: found.endpoint_status == "Deleting",
            fleet: state::fleet(endpoint, found, memory, SystemClock.now()),
            unmanaged,
            ..self.nothing(endpoint)
        }
    }

    /// What of weights and of autoscaling was changed by somebody else.
    async fn drift(
        &self,
        endpoint: &EndpointName,
        found: &Endpoint,
        memory: &Memory,
    ) -> Result<Option<String>, CloudError> {
        let number = memory.number_of(endpoint, found.live());
        let Some(number) = number.filter(|_| found.standing() == Standing::Serving) else { return Ok(None) };
        if let Some(weight) = memory.odd_weight(number, found) {
            return Ok(Some(format!("another weight of the variant than the version gives it: {weight}")));
        }
        let scales = memory.versions.values().any(|known| known.scaling.autoscaling.is_some());
        let Some(known) = memory.versions.get(&number).filter(|_| scales) else { return Ok(None) };
        let now = self.client.scaled(endpoint, &known.scaling.variant).await?;
        let differs = "other limits or another target of autoscaling than the version has";
        Ok((!known.scaling.is_met(&now)).then(|| differs.to_owned()))
    }

    async fn alarms(&self, names: &[&str]) -> Result<Vec<Alarm>, CloudError> {
        let asked = DescribeAlarms { alarm_names: names, alarm_types: ["MetricAlarm", "CompositeAlarm"] };
        let found: Alarms =
            self.client.call(Service::Cloudwatch, "DescribeAlarms", "read the alarms", &asked).await?;
        Ok(found.metric_alarms.into_iter().chain(found.composite_alarms).collect())
    }

    async fn check_alarms(&self, policy: &DeploymentPolicy) -> Result<Vec<Problem>, CloudError> {
        let watched: Vec<(usize, &str)> = policy::alarms(policy).collect();
        if watched.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = watched.iter().map(|(_, name)| *name).collect();
        let found = self.alarms(&names).await?;
        let judge = |name: &str| match found.iter().find(|alarm| alarm.alarm_name == name) {
            None => Some((
                "No such alarm",
                format!("There is no CloudWatch alarm `{name}` in this account and region."),
            )),
            Some(alarm) if alarm.state_value.as_deref() == Some("ALARM") => {
                let why = alarm.state_reason.as_deref().unwrap_or("no reason given");
                let detail = format!(
                    "Alarm `{name}` is in ALARM already ({why}): the update would be turned back at its first bake."
                );
                Some(("Alarm is on already", detail))
            }
            Some(_) => None,
        };
        let problems = watched.into_iter().filter_map(|(index, name)| {
            let (summary, detail) = judge(name)?;
            Some(Problem::at("cloudwatch_alarm", summary, detail).within("gates", index))
        });
        Ok(problems.collect())
    }
}

#[async_trait]
impl Cloud for SagemakerCloud {
    fn name(&self) -> CloudName {
        CloudName::Sagemaker
    }

    fn check_version(&self, spec: &VersionSpec) -> Vec<Problem> {
        check::check_version(spec)
    }

    fn check_policy(&self, policy: &DeploymentPolicy, spec: &VersionSpec) -> Vec<Problem> {
        policy::check_policy(policy, spec)
    }

    fn check_endpoint(&self, endpoint: &EndpointSpec) -> Vec<Problem> {
        tags::check_endpoint(endpoint)
    }

    async fn check_rollout(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        policy: &DeploymentPolicy,
    ) -> Result<Vec<Problem>, CloudError> {
        let mut problems = self.check_alarms(policy).await?;
        let found = self.describe(endpoint).await?;
        let live = found.as_ref().and_then(Endpoint::wanted_instances);
        let wanted = version.spec.sagemaker.as_ref();
        if let (Some((live, _)), Some(wanted)) = (live, wanted)
            && live != wanted.variant_name
        {
            let detail = format!(
                "The endpoint serves production variant `{live}` and the version has `{}`. SageMaker replaces a variant \
                 only by one of the same name: set sagemaker.variant_name = \"{live}\" in the version.",
                wanted.variant_name
            );
            problems.push(Problem::at("", "Another production variant", detail));
        }
        if let Some((_, instances)) = live
            && policy.strategy == crate::spec::Strategy::Rolling
            && wanted.is_some_and(|wanted| wanted.autoscaling.is_some())
        {
            // Autoscaling has made the fleet what it is, and the update keeps it.
            problems.extend(policy::check_batch("batch.size", policy::batch_size(policy), instances));
        }
        Ok(problems.into_iter().map(|problem| problem.below("policy")).collect())
    }

    async fn pin(&self, _: &VersionSpec) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        Ok(Ok(Pins::default()))
    }

    async fn publish_version(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
        origin: Option<&Origin>,
    ) -> Result<(), CloudError> {
        let memory = self.memories.of(endpoint).await?;
        let known = memory.versions.get(&version.number);
        if known.is_some_and(|known| known.adopted) {
            return Ok(());
        }
        let name = version_name(endpoint, version);
        if known.is_none_or(|known| known.config != name)
            && let Some(scaling) = Scaling::of(&version.spec)
        {
            let (version, origin) = (version.number, origin.cloned());
            self.memories.add(endpoint, Note::Published { version, name, scaling, origin }).await?;
        }
        self.client.publish(endpoint, version, origin).await
    }

    async fn check_startable(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        let memory = self.memories.of(endpoint).await?;
        let words = format!("check {version} of endpoint `{endpoint}`");
        let gone = |what: String| refusal(&words, CloudErrorKind::Artifact, what);
        let known = memory.versions.get(&version).ok_or_else(|| gone("it was never published".to_owned()))?;
        let lost = |error: CloudError| match error.kind {
            CloudErrorKind::NotFound => gone(error.chain()),
            _ => error,
        };
        let config = match self.client.describe_config(&known.config).await {
            // A deleted configuration of a version that serves is made again when it is needed.
            Err(error)
                if error.kind == CloudErrorKind::NotFound && self.serves(endpoint, &known.config).await? =>
            {
                return Ok(());
            }
            found => found.map_err(lost)?,
        };
        for model in config.production_variants.into_iter().filter_map(|variant| variant.model_name) {
            self.client.describe_model(&model).await.map_err(lost)?;
        }
        Ok(())
    }

    async fn retire_version(
        &self,
        endpoint: &EndpointName,
        version: VersionNumber,
    ) -> Result<(), CloudError> {
        let memory = self.memories.of(endpoint).await?;
        let Some(known) = memory.versions.get(&version).filter(|known| !known.adopted) else { return Ok(()) };
        if self.serves(endpoint, &known.config).await? {
            let words = format!("retire {version} of endpoint `{endpoint}`");
            return Err(refusal(&words, CloudErrorKind::Conflict, "it serves, or is about to"));
        }
        self.client.unpublish(&known.config).await
    }

    async fn put_endpoint(&self, endpoint: &EndpointSpec) -> Result<EndpointAddress, CloudError> {
        self.tag(endpoint).await?;
        Ok(EndpointAddress { url: self.client.places().invocations(endpoint.name.as_str()) })
    }

    async fn delete_endpoint(&self, endpoint: &EndpointName, _: &Drain) -> Result<(), CloudError> {
        self.delete(endpoint).await
    }

    async fn observe(&self, endpoint: &EndpointName) -> Result<Option<ObservedEndpoint>, CloudError> {
        let Some(found) = self.describe(endpoint).await? else { return Ok(None) };
        let memory = self.memories.of(endpoint).await?;
        let mut observed = self.observed(endpoint, &found, &memory);
        if observed.unmanaged.is_none() {
            observed.unmanaged = self.drift(endpoint, &found, &memory).await?;
        }
        Ok(Some(observed))
    }

    async fn adopt(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let version = self.take_over(endpoint, number).await?;
        Ok(version.map(|version| Adopted { version, creator: None }))
    }

    fn drive(&self) -> Drive<'_> {
        Drive::Delegated(self)
    }

    fn poll_interval(&self) -> Duration {
        self.poll
    }
}
