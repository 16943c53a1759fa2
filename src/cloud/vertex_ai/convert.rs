//! Between intent and wire format.

use super::memory::ScalingNote;
use super::names::ModelRef;
use super::types::{
    BigQuery, ContainerSpec, DeployedModel, Encryption, Endpoint, HttpGet, Machine, Metric, Model, Port,
    PrivateServiceConnect, Probe, RequestLogging, Reservation, Resources, RolloutOptions, Variable,
};
use crate::spec::{
    CountOrPercent, DeploymentPolicy, EndpointName, EndpointSpec, HealthCheck, PinnedVersion, VersionNumber,
    VersionSpec, VertexAiVersion,
};

/// Where requests go in a container that says nothing else.
const PREDICT_ROUTE: &str = "/predict";
/// Where a container listens that says nothing else.
const PORT: u16 = 8080;
const RESERVATION_KEY: &str = "compute.googleapis.com/reservation-name";

/// A version as the service serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub version: VersionNumber,
    pub model: ModelRef,
    pub resources: Resources,
    pub service_account: String,
    pub access_logging: bool,
    pub container_logging: bool,
    pub disable_explanations: bool,
}

impl Wanted {
    pub(super) fn new(version: &PinnedVersion, model: ModelRef) -> Self {
        let own = own(&version.spec);
        Self {
            version: version.number,
            model,
            resources: resources(&version.spec, &own),
            service_account: own.service_account.clone().unwrap_or_default(),
            access_logging: own.access_logging,
            container_logging: own.container_logging,
            disable_explanations: own.disable_explanations,
        }
    }

    /// The scaling by which it is known again.
    pub(super) fn scaling(&self) -> ScalingNote {
        ScalingNote::from(&self.resources)
    }

    /// Whether a deployed model serves the very model version.
    pub(super) fn has_model_of(&self, deployed: &DeployedModel) -> bool {
        let read = ModelRef::read(&deployed.model);
        read.is_some_and(|read| {
            // The suffix may be there or not; the number stands beside it.
            let number =
                if deployed.model_version_id.is_empty() { &read.version } else { &deployed.model_version_id };
            (&read.location, &read.id, number) == (&self.model.location, &self.model.id, &self.model.version)
        })
    }

    /// Whether it runs on the same machines.
    pub(super) fn has_machines_of(&self, deployed: &DeployedModel) -> bool {
        let Some(resources) = &deployed.dedicated_resources else { return false };
        resources.machine_spec == self.resources.machine_spec && resources.spot == self.resources.spot
    }

    /// Whether it has the same number of replicas, by the same rules.
    pub(super) fn has_scaling_of(&self, deployed: &DeployedModel) -> bool {
        deployed.dedicated_resources.as_ref().map(ScalingNote::from) == Some(self.scaling())
    }

    /// Whether it runs as the same account with the same logs.
    pub(super) fn has_flags_of(&self, deployed: &DeployedModel) -> bool {
        self.service_account == deployed.service_account
            && self.access_logging == deployed.enable_access_logging
            && self.container_logging == deployed.enable_container_logging
            && self.disable_explanations == deployed.disable_explanations
    }

    /// Whether a rolling deployment on top of it can have these flags. It inherits what is not given, and what is not
    /// given cannot be told from what is off.
    pub(super) fn can_override(&self, deployed: &DeployedModel) -> bool {
        let keeps = |wanted: bool, has: bool| wanted || !has;
        (!self.service_account.is_empty() || deployed.service_account.is_empty())
            && keeps(self.access_logging, deployed.enable_access_logging)
            && keeps(self.container_logging, deployed.enable_container_logging)
            && keeps(self.disable_explanations, deployed.disable_explanations)
    }

    /// Everything the service has of it, except its place in a rollout.
    pub(super) fn deployed(&self, resources: Option<Resources>) -> DeployedModel {
        DeployedModel {
            dedicated_resources: resources,
            service_account: self.service_account.clone(),
            enable_access_logging: self.access_logging,
            enable_container_logging: self.container_logging,
            disable_explanations: self.disable_explanations,
            ..DeployedModel::default()
        }
    }
}

/// The block of settings of this cloud, filled with defaults.
pub(super) fn own(spec: &VersionSpec) -> VertexAiVersion {
    spec.vertex_ai.clone().unwrap_or_default()
}

fn resources(spec: &VersionSpec, own: &VertexAiVersion) -> Resources {
    let accelerator = spec.accelerator.as_ref();
    let reservation = own.reservation.as_ref().map(|name| Reservation {
        kind: "SPECIFIC_RESERVATION".to_owned(),
        key: RESERVATION_KEY.to_owned(),
        values: vec![name.clone()],
    });
    let metric = |metric: &crate::spec::VertexAiAutoscaling| Metric {
        metric_name: metric.metric.clone(),
        target: metric.target,
    };
    Resources {
        machine_spec: Some(Machine {
            kind: own.machine_type.clone().unwrap_or_default(),
            accelerator_type: accelerator.map(|accelerator| accelerator.kind.clone()).unwrap_or_default(),
            accelerator_count: accelerator.map_or(0, |accelerator| accelerator.count),
            gpu_partition_size: own.gpu_partition_size.clone().unwrap_or_default(),
            reservation_affinity: reservation,
        }),
        min_replica_count: spec.scaling.min_replicas,
        max_replica_count: spec.scaling.max_replicas.unwrap_or(spec.scaling.min_replicas),
        required_replica_count: own.required_replicas.unwrap_or(0),
        autoscaling_metric_specs: own.autoscaling.iter().map(metric).collect(),
        spot: own.spot,
    }
}

/// The limits of a policy, both always said: what is left out has defaults that nobody documents.
pub(super) fn rollout_options(previous: &str, policy: &DeploymentPolicy, desired: u32) -> RolloutOptions {
    let (surge, unavailable) = (policy.surge(), policy.unavailable());
    let mut options =
        RolloutOptions { previous_deployed_model: previous.to_owned(), ..RolloutOptions::default() };
    match surge {
        CountOrPercent::Count(count) => options.max_surge_replicas = Some(count),
        CountOrPercent::Percent(percent) => options.max_surge_percentage = Some(percent.as_u8().into()),
    }
    let stuck = surge.rounded_up(desired) == 0 && unavailable.rounded_down(desired) == 0;
    match unavailable {
        // Rounded to nothing on both sides no replica could be replaced. One at a time is what the plan has shown.
        _ if stuck => options.max_unavailable_replicas = Some(1),
        CountOrPercent::Count(count) => options.max_unavailable_replicas = Some(count),
        CountOrPercent::Percent(percent) => {
            options.max_unavailable_percentage = Some(percent.as_u8().into());
        }
    }
    options
}

/// The settings of an endpoint, as the service takes them.
pub(super) fn endpoint(spec: &EndpointSpec) -> Endpoint {
    let own = spec.vertex_ai.clone().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let projects = own.private_service_connect_projects.clone();
    Endpoint {
        display_name: own.display_name.clone().unwrap_or_else(|| spec.name.to_string()),
        description: text(&own.description),
        labels: spec.labels.clone(),
        network: text(&own.network),
        private_service_connect_config: (!projects.is_empty()).then_some(PrivateServiceConnect {
            enable_private_service_connect: true,
            project_allowlist: projects,
        }),
        encryption_spec: own.kms_key.clone().map(|kms_key_name| Encryption { kms_key_name }),
        dedicated_endpoint_enabled: own.dedicated,
        predict_request_response_logging_config: own.request_logging.as_ref().map(|logging| RequestLogging {
            enabled: true,
            sampling_rate: f64::from(logging.sampling.as_u8()) / 100.0,
            bigquery_destination: BigQuery { output_uri: logging.table.clone() },
        }),
        ..Endpoint::default()
    }
}

/// A model to upload: an artifact and the container that serves it.
pub(super) fn model(endpoint: &EndpointName, version: &PinnedVersion, alias: String) -> Model {
    let spec = &version.spec;
    let own = own(spec);
    let port = own.port.unwrap_or(PORT);
    let settings = spec.engine.iter().map(|(name, value)| (format!("ENGINE_{name}"), value));
    let settings = settings.chain(spec.env.iter().map(|(name, value)| (name.clone(), value)));
    let container = ContainerSpec {
        image_uri: spec.container.image.clone().unwrap_or_default(),
        command: spec.container.command.clone(),
        env: settings.map(|(name, value)| Variable { name, value: value.clone() }).collect(),
        ports: vec![Port { container_port: port.into() }],
        predict_route: own.predict_route.unwrap_or_else(|| PREDICT_ROUTE.to_owned()),
        health_route: spec.health.path.clone(),
        shared_memory_size_mb: own.shared_memory_mb.map(|size| size.to_string()).unwrap_or_default(),
        deployment_timeout: format!("{}s", spec.health.start_timeout.as_duration().as_secs()),
        health_probe: probe(&spec.health, port),
    };
    Model {
        version_aliases: vec![alias],
        display_name: super::names::model_id(endpoint),
        artifact_uri: spec.model.source.clone(),
        container_spec: Some(container),
        ..Model::default()
    }
}

/// A probe where the version asks for another pace than the default, which leaves the pace to the service.
fn probe(health: &HealthCheck, port: u16) -> Option<Probe> {
    let usual = HealthCheck::default();
    let pace = |health: &HealthCheck| (health.interval, health.timeout, health.failures_max);
    let seconds = |span: crate::spec::TimeSpan| span.as_duration().as_secs().try_into().unwrap_or(u32::MAX);
    (pace(health) != pace(&usual)).then(|| Probe {
        http_get: HttpGet { path: health.path.clone(), port: port.into() },
        period_seconds: seconds(health.interval),
        timeout_seconds: seconds(health.timeout),
        failure_threshold: health.failures_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: serde_json::Value) -> DeploymentPolicy {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn both_limits_are_always_said_in_the_words_of_the_policy() {
        let limits = |json| serde_json::to_value(rollout_options("11", &policy(json), 4)).unwrap();
        assert_eq!(
            limits(serde_json::json!({ "max_surge": "25%", "max_unavailable": 0 })),
            serde_json::json!({ "previousDeployedModel": "11", "maxSurgePercentage": 25, "maxUnavailableReplicas": 0 })
        );
        assert_eq!(
            limits(serde_json::json!({ "max_surge": 0, "max_unavailable": "25%" })),
            serde_json::json!({ "previousDeployedModel": "11", "maxSurgeReplicas": 0, "maxUnavailablePercentage": 25 })
        );
        assert_eq!(
            limits(serde_json::json!({ "max_surge": 0, "max_unavailable": "10%" }))["maxUnavailableReplicas"],
            1,
            "a tenth of four is none, and then nothing could ever move"
        );
    }
}
