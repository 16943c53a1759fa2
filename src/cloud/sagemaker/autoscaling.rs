//! Autoscaling of an endpoint's variant: registered with the limits of the version, left alone while an update runs.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::settings::Service;
use super::types::{
    DescribePolicies, DescribeTargets, Nothing, Policies, PredefinedMetric, PutPolicy, RegisterTarget,
    Scalable, Target, TargetTracking, Targets,
};
use crate::cloud::{CloudError, CloudErrorKind};
use crate::spec::{EndpointName, SagemakerAutoscaling, SagemakerMetric, TimeSpan, VersionSpec};

/// The scaling policy that is ours. A target with other policies belongs to somebody else.
const POLICY: &str = "sluice-target-tracking";
const NAMESPACE: &str = "sagemaker";
const DIMENSION: &str = "sagemaker:variant:DesiredInstanceCount";

/// How a version is to be scaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scaling {
    pub variant: String,
    pub min: u32,
    pub max: u32,
    /// Nothing where autoscaling is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<SagemakerAutoscaling>,
}

/// How a variant is scaled now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaled {
    /// The limits, when it is a scalable target.
    pub target: Option<Target>,
    ours: Option<TargetTracking>,
}

impl Scaling {
    /// What a version wants.
    pub(super) fn of(spec: &VersionSpec) -> Option<Self> {
        let own = spec.sagemaker.as_ref()?;
        let min = spec.replicas();
        let max = spec.scaling.max_replicas.unwrap_or(min);
        Some(Self { variant: own.variant_name.clone(), min, max, autoscaling: own.autoscaling.clone() })
    }

    fn tracking(&self) -> Option<TargetTracking> {
        let wanted = self.autoscaling.as_ref()?;
        let seconds = |span: TimeSpan| span.as_duration().as_secs();
        Some(TargetTracking {
            target_value: wanted.target.as_f64(),
            predefined_metric_specification: Some(PredefinedMetric {
                predefined_metric_type: metric(wanted.metric).to_owned(),
            }),
            scale_in_cooldown: wanted.scale_in_cooldown.map(seconds),
            scale_out_cooldown: wanted.scale_out_cooldown.map(seconds),
        })
    }

    /// Whether autoscaling is as it should be. Somebody else's is none of our business.
    pub(super) fn is_met(&self, now: &Scaled) -> bool {
        let limits = Some(Target { min_capacity: self.min, max_capacity: self.max });
        now.ours == self.tracking() && (self.autoscaling.is_none() || now.target == limits)
    }

    /// The number of instances that is wanted, when this one is not.
    pub(super) fn corrected(&self, instances: u32, now: &Scaled) -> Option<u32> {
        let foreign = now.target.as_ref().filter(|_| self.autoscaling.is_none());
        let (min, max) =
            foreign.map_or((self.min, self.max), |target| (target.min_capacity, target.max_capacity));
        let wanted = instances.clamp(min, max.max(min));
        (wanted != instances).then_some(wanted)
    }
}

impl Client {
    /// How a variant is scaled.
    pub(super) async fn scaled(&self, endpoint: &EndpointName, variant: &str) -> Result<Scaled, CloudError> {
        let scalable = scalable(endpoint, variant);
        let words = format!("read the autoscaling of endpoint `{endpoint}`");
        let resource_ids = [scalable.resource_id.as_str()];
        let asked =
            DescribeTargets { service_namespace: NAMESPACE, resource_ids, scalable_dimension: DIMENSION };
        let found: Targets =
            self.call(Service::Autoscaling, "DescribeScalableTargets", &words, &asked).await?;
        let Some(target) = found.scalable_targets.into_iter().next() else {
            return Ok(Scaled { target: None, ours: None });
        };
        let asked = DescribePolicies { policy_names: [POLICY], scalable: &scalable };
        let found: Policies =
            self.call(Service::Autoscaling, "DescribeScalingPolicies", &words, &asked).await?;
        let ours = found.scaling_policies.into_iter().next();
        let ours = ours.and_then(|policy| policy.target_tracking_scaling_policy_configuration);
        Ok(Scaled { target: Some(target), ours })
    }

    /// Registers a variant as the version wants it, or ends what an earlier version had registered.
    pub(super) async fn scale(&self, endpoint: &EndpointName, wanted: &Scaling) -> Result<(), CloudError> {
        let scalable = scalable(endpoint, &wanted.variant);
        let Some(tracking) = wanted.tracking() else { return self.unscale(endpoint, &wanted.variant).await };
        let words = format!("set the autoscaling of endpoint `{endpoint}`");
        let limits =
            RegisterTarget { scalable: &scalable, min_capacity: wanted.min, max_capacity: wanted.max };
        let _: Nothing = self.call(Service::Autoscaling, "RegisterScalableTarget", &words, &limits).await?;
        let policy = PutPolicy {
            policy_name: POLICY,
            scalable: &scalable,
            policy_type: "TargetTrackingScaling",
            target_tracking_scaling_policy_configuration: tracking,
        };
        let _: Nothing = self.call(Service::Autoscaling, "PutScalingPolicy", &words, &policy).await?;
        Ok(())
    }

    /// Ends autoscaling of a variant. None is fine.
    pub(super) async fn unscale(&self, endpoint: &EndpointName, variant: &str) -> Result<(), CloudError> {
        let words = format!("end the autoscaling of endpoint `{endpoint}`");
        let asked = scalable(endpoint, variant);
        let ended: Result<Nothing, _> =
            self.call(Service::Autoscaling, "DeregisterScalableTarget", &words, &asked).await;
        match ended {
            Err(error) if error.kind != CloudErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn scalable(endpoint: &EndpointName, variant: &str) -> Scalable {
    Scalable {
        service_namespace: NAMESPACE,
        resource_id: format!("endpoint/{endpoint}/variant/{variant}"),
        scalable_dimension: DIMENSION,
    }
}

const fn metric(metric: SagemakerMetric) -> &'static str {
    match metric {
        SagemakerMetric::InvocationsPerInstance => "SageMakerVariantInvocationsPerInstance",
        SagemakerMetric::ConcurrentRequestsPerModel => {
            "SageMakerVariantConcurrentRequestsPerModelHighResolution"
        }
    }
}
