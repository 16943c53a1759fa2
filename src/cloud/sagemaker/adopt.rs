//! What served before Sluice came, read back as a version.

use std::collections::BTreeMap;

use serde_json::Value;

use super::SagemakerCloud;
use super::autoscaling::Scaling;
use super::convert::{IN_IMAGE, refusal};
use super::memory::Note;
use super::types::{Container, Model, Variant};
use crate::cloud::{CloudError, CloudErrorKind};
use crate::spec::{
    EndpointName, HealthCheck, PinnedVersion, Pins, SagemakerRouting, SagemakerVersion, TimeSpan,
    VersionNumber, VersionSpec,
};

impl SagemakerCloud {
    /// The live configuration of an endpoint as a version, unless it is one of ours.
    pub(super) async fn take_over(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<PinnedVersion>, CloudError> {
        let Some(found) = self.describe(endpoint).await? else { return Ok(None) };
        let memory = self.memories.of(endpoint).await?;
        if memory.versions.values().any(|known| known.config == found.live())
            && !self.is_noted_as(&memory, number, found.live())
        {
            return Ok(None);
        }
        let words = format!("take over endpoint `{endpoint}`");
        let strange = |why: &str| refusal(&words, CloudErrorKind::Invalid, why);
        let config = self.client.describe_config(found.live()).await?;
        let [variant] = config.production_variants.as_slice() else {
            return Err(strange("it has several production variants, and Sluice knows endpoints with one"));
        };
        let lost: Vec<&str> = unknown(&config.others).chain(unknown(&variant.others)).collect();
        if !lost.is_empty() {
            let lost = lost.join(", ");
            return Err(strange(&format!(
                "it has settings that a version of Sluice cannot hold, and its next update would lose them: {lost}"
            )));
        }
        let name = variant.model_name.as_deref();
        let name = name.ok_or_else(|| strange("it serves inference components and no model"))?;
        let model = self.client.describe_model(name).await?;
        let spec = spec(variant, &model)
            .ok_or_else(|| strange("it is serverless, or its model has several containers"))?;
        let scaling = Scaling::of(&spec).ok_or_else(|| strange("it has no instances"))?;
        let note = Note::Adopted { version: number, config: found.live().to_owned(), scaling };
        self.memories.add(endpoint, note).await?;
        Ok(Some(PinnedVersion { number, spec, pins: Pins::default() }))
    }

    /// An earlier try may have died between the note and the version.
    #[expect(clippy::unused_self, reason = "reads like the other questions")]
    fn is_noted_as(&self, memory: &super::memory::Memory, number: VersionNumber, config: &str) -> bool {
        memory.versions.get(&number).is_some_and(|known| known.adopted && known.config == config)
    }
}

/// Names of what is set and not known here. What the service tells of every configuration is no setting, and neither is
/// what it fills in to say that something is off.
fn unknown(others: &BTreeMap<String, Value>) -> impl Iterator<Item = &str> {
    const TOLD: [&str; 2] = ["EndpointConfigArn", "CreationTime"];
    let is_off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    let set = others.iter().filter(move |(name, value)| !TOLD.contains(&name.as_str()) && !is_off(value));
    set.map(|(name, _)| name.as_str())
}

fn spec(variant: &Variant, model: &Model) -> Option<VersionSpec> {
    let container = model.primary_container.as_ref()?;
    let seconds = |span: Option<u64>| span.map(TimeSpan::from_seconds);
    let start_timeout = seconds(variant.container_startup_health_check_timeout_in_seconds);
    let routing =
        variant.routing_config.as_ref().and_then(|routing| match routing.routing_strategy.as_str() {
            "LEAST_OUTSTANDING_REQUESTS" => Some(SagemakerRouting::LeastOutstandingRequests),
            "RANDOM" => Some(SagemakerRouting::Random),
            _ => None,
        });
    let own = SagemakerVersion {
        instance_type: variant.instance_type.clone()?,
        execution_role_arn: model.execution_role_arn.clone()?,
        variant_name: variant.variant_name.clone(),
        subnet_ids: model.vpc_config.as_ref().map(|vpc| vpc.subnets.clone()).unwrap_or_default(),
        security_group_ids: model
            .vpc_config
            .as_ref()
            .map(|vpc| vpc.security_group_ids.clone())
            .unwrap_or_default(),
        network_isolation: model.enable_network_isolation.unwrap_or_default(),
        volume_gb: variant.volume_size_in_gb,
        model_download_timeout: seconds(variant.model_data_download_timeout_in_seconds),
        provision_timeout: seconds(variant.variant_instance_provision_timeout_in_seconds),
        inference_ami_version: variant.inference_ami_version.clone(),
        routing,
        autoscaling: None,
    };
    let plain = serde_json::json!({
        "model": { "source": source(container) },
        "scaling": { "min_replicas": variant.initial_instance_count? },
    });
    let mut spec: VersionSpec = serde_json::from_value(plain).ok()?;
    spec.container.image.clone_from(&container.image);
    spec.env.clone_from(&container.environment);
    spec.health =
        HealthCheck { start_timeout: start_timeout.unwrap_or(spec.health.start_timeout), ..spec.health };
    spec.sagemaker = Some(own);
    Some(spec)
}

fn source(container: &Container) -> String {
    let data = container.model_data_source.as_ref().map(|source| source.s3_data_source.s3_uri.clone());
    data.or_else(|| container.model_data_url.clone())
        .or_else(|| container.model_package_name.clone())
        .unwrap_or_else(|| IN_IMAGE.to_owned())
}
