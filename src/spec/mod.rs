//! Stage 2: typed intent. What people want, complete and valid, with no trace of HCL.
//!
//! In: decoded configuration without unknowns. Out: [`EndpointSpec`], [`VersionSpec`], [`DeploymentPolicy`].
//! Each type is defined once: serde and schemars derive the ledger's JSON, the Terraform schema and the pages of
//! the documentation from it. Validation returns every [`Problem`] at once. No async, no clock, no IO.

mod canary;
mod eas;
mod endpoint;
mod friendli;
mod gate;
mod id;
mod placeholder;
mod plain;
mod policy;
mod problem;
mod quantity;
mod sagemaker;
mod secrets;
mod version;
mod vertex_ai;
mod warmup;

pub use canary::{Canary, Promote};
pub use eas::{EasAutoscaling, EasEndpoint, EasNetwork, EasVersion};
pub use endpoint::{EndpointSpec, LocalEndpoint};
pub use friendli::{FriendliAtRest, FriendliEndpoint, FriendliProbe, FriendliVersion};
pub use gate::{Gate, GatewayGate, HttpGate, MetricGate};
pub use id::{
    CloudName, EndpointName, InvalidName, PolicyName, ReplicaId, RolloutRevision, VersionId, VersionNumber,
};
pub use placeholder::Placeholders;
pub use plain::{counted, in_one_line, spelled_out, steers};
pub use policy::{
    Batch, BatchPause, CapacityAction, DeploymentPolicy, Drain, OnInterrupt, OnNoCapacity, Rollback,
    Strategy, TOTAL_TIMEOUT_MAX,
};
pub use problem::{PathStep, Problem};
pub use quantity::{Bound, CountOrPercent, InvalidQuantity, Percent, TimeSpan};
pub use sagemaker::{
    SagemakerAutoscaling, SagemakerEndpoint, SagemakerMetric, SagemakerRouting, SagemakerVersion,
};
pub use version::{
    Accelerator, Container, HealthCheck, Model, Origin, PinnedVersion, Pins, Scaling, VersionSpec,
};
pub use vertex_ai::{VertexAiAutoscaling, VertexAiEndpoint, VertexAiRequestLogging, VertexAiVersion};
pub use warmup::Warmup;

pub use secrets::Secrets;
pub use version::REPLICAS_MAX;
