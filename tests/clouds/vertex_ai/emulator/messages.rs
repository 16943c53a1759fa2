//! The messages of the API, as far as online prediction uses them.

use super::call::Version::{Beta, V1};
use super::shape::Kind::{Bool, Double, Enum, Int, Long, Many, Map, One, Open, Text};
use super::shape::{Message, field};

pub static ENDPOINT: Message = Message {
    fields: &[
        field("name", Text).output(),
        field("displayName", Text),
        field("description", Text),
        field("deployedModels", Many(&One(&DEPLOYED_MODEL))).output(),
        field("trafficSplit", Map(&Int)),
        field("etag", Text),
        field("labels", Map(&Text)),
        field("createTime", Text).output(),
        field("updateTime", Text).output(),
        field("encryptionSpec", One(&ENCRYPTION)),
        field("network", Text),
        field("enablePrivateServiceConnect", Bool),
        field("privateServiceConnectConfig", One(&PRIVATE_SERVICE_CONNECT)),
        field("modelDeploymentMonitoringJob", Text).output(),
        field("predictRequestResponseLoggingConfig", One(&REQUEST_LOGGING)),
        field("dedicatedEndpointEnabled", Bool),
        field("dedicatedEndpointDns", Text).output(),
        field("clientConnectionConfig", One(&CLIENT_CONNECTION)),
        field("privateModelServerEnabled", Bool),
        field("satisfiesPzs", Bool).output(),
        field("satisfiesPzi", Bool).output(),
    ],
};

static ENCRYPTION: Message = Message { fields: &[field("kmsKeyName", Text)] };

static PRIVATE_SERVICE_CONNECT: Message = Message {
    fields: &[
        field("enablePrivateServiceConnect", Bool),
        field("projectAllowlist", Many(&Text)),
        field("serviceAttachment", Text).output(),
    ],
};

static REQUEST_LOGGING: Message = Message {
    fields: &[
        field("enabled", Bool),
        field("samplingRate", Double),
        field("bigqueryDestination", One(&BIG_QUERY)),
        field("enableOtelLogging", Bool).only(Beta),
        field("errorSamplingRate", Double).only(Beta),
        field("requestResponseLoggingSchemaVersion", Text).only(Beta).output(),
    ],
};

static BIG_QUERY: Message = Message { fields: &[field("outputUri", Text)] };
static CLIENT_CONNECTION: Message = Message { fields: &[field("inferenceTimeout", Text)] };

pub static DEPLOYED_MODEL: Message = Message {
    fields: &[
        field("id", Text),
        field("model", Text),
        field("modelVersionId", Text).output(),
        field("displayName", Text),
        field("createTime", Text).output(),
        field("dedicatedResources", One(&DEDICATED)),
        field("automaticResources", One(&AUTOMATIC)),
        field("sharedResources", Text),
        field("fullFineTunedResources", Open).only(Beta),
        field("explanationSpec", Open),
        field("disableExplanations", Bool),
        field("serviceAccount", Text),
        field("disableContainerLogging", Bool).only(V1),
        field("enableContainerLogging", Bool).only(Beta),
        field("enableAccessLogging", Bool),
        field("privateEndpoints", Open).output(),
        field("fasterDeploymentConfig", Open),
        field("rolloutOptions", One(&ROLLOUT)).only(Beta),
        field("status", One(&DEPLOYED_STATUS)).output(),
        field("systemLabels", Map(&Text)),
        field("checkpointId", Text),
        field("speculativeDecodingSpec", Open),
        field("gdcConnectedModel", Text),
        // Told by the documentation alone; no published schema has it.
        field("state", Text).output(),
    ],
};

static ROLLOUT: Message = Message {
    fields: &[
        field("previousDeployedModel", Text),
        field("maxUnavailableReplicas", Int).keeps_zero(),
        field("maxUnavailablePercentage", Int).keeps_zero(),
        field("maxSurgeReplicas", Int).keeps_zero(),
        field("maxSurgePercentage", Int).keeps_zero(),
        field("revisionNumber", Int).output(),
    ],
};

static DEPLOYED_STATUS: Message = Message {
    fields: &[field("message", Text), field("lastUpdateTime", Text), field("availableReplicaCount", Int)],
};

static DEDICATED: Message = Message {
    fields: &[
        field("machineSpec", One(&MACHINE)),
        field("minReplicaCount", Int),
        field("maxReplicaCount", Int),
        field("requiredReplicaCount", Int),
        field("initialReplicaCount", Int).only(Beta),
        field("autoscalingMetricSpecs", Many(&One(&AUTOSCALING))),
        field("spot", Bool),
        field("flexStart", Open).only(Beta),
        field("scaleToZeroSpec", Open).only(Beta),
    ],
};

static AUTOMATIC: Message =
    Message { fields: &[field("minReplicaCount", Int), field("maxReplicaCount", Int)] };

static MACHINE: Message = Message {
    fields: &[
        field("machineType", Text),
        field("acceleratorType", Enum(ACCELERATORS)),
        field("acceleratorCount", Int),
        field("gpuPartitionSize", Text),
        field("tpuTopology", Text),
        field("multihostGpuNodeCount", Int).only(Beta),
        field("minGpuDriverVersion", Text).only(Beta),
        field("reservationAffinity", One(&RESERVATION)),
    ],
};

static RESERVATION: Message = Message {
    fields: &[
        field("reservationAffinityType", Enum(RESERVATIONS)),
        field("key", Text),
        field("values", Many(&Text)),
    ],
};

static AUTOSCALING: Message = Message {
    fields: &[
        field("metricName", Text),
        field("target", Int),
        field("monitoredResourceLabels", Map(&Text)).only(Beta),
    ],
};

const RESERVATIONS: &[(&str, i64)] =
    &[("TYPE_UNSPECIFIED", 0), ("NO_RESERVATION", 1), ("ANY_RESERVATION", 2), ("SPECIFIC_RESERVATION", 3)];

const ACCELERATORS: &[(&str, i64)] = &[
    ("ACCELERATOR_TYPE_UNSPECIFIED", 0),
    ("NVIDIA_TESLA_K80", 1),
    ("NVIDIA_TESLA_P100", 2),
    ("NVIDIA_TESLA_V100", 3),
    ("NVIDIA_TESLA_P4", 4),
    ("NVIDIA_TESLA_T4", 5),
    ("TPU_V2", 6),
    ("TPU_V3", 7),
    ("NVIDIA_TESLA_A100", 8),
    ("NVIDIA_A100_80GB", 9),
    ("TPU_V4_POD", 10),
    ("NVIDIA_L4", 11),
    ("TPU_V5_LITEPOD", 12),
    ("NVIDIA_H100_80GB", 13),
    ("NVIDIA_H100_MEGA_80GB", 14),
    ("NVIDIA_H200_141GB", 15),
    ("NVIDIA_B200", 16),
    ("NVIDIA_GB200", 17),
    ("NVIDIA_RTX_PRO_6000", 18),
];

pub static DEPLOY: Message =
    Message { fields: &[field("deployedModel", One(&DEPLOYED_MODEL)), field("trafficSplit", Map(&Int))] };

pub static UNDEPLOY: Message =
    Message { fields: &[field("deployedModelId", Text), field("trafficSplit", Map(&Int))] };

pub static MUTATE: Message =
    Message { fields: &[field("deployedModel", One(&DEPLOYED_MODEL)), field("updateMask", Text)] };

pub static UPDATE_ENDPOINT: Message = Message { fields: &[field("endpoint", One(&ENDPOINT))] };

pub static PREDICT: Message = Message {
    fields: &[field("instances", Many(&Open)), field("parameters", Open), field("labels", Map(&Text))],
};

pub static MODEL: Message = Message {
    fields: &[
        field("name", Text),
        field("versionId", Text).output(),
        field("versionAliases", Many(&Text)),
        field("versionDescription", Text),
        field("versionCreateTime", Text).output(),
        field("versionUpdateTime", Text).output(),
        field("displayName", Text),
        field("description", Text),
        field("metadataSchemaUri", Text),
        field("metadata", Open),
        field("containerSpec", One(&CONTAINER)),
        field("artifactUri", Text),
        field("supportedDeploymentResourcesTypes", Many(&Text)).output(),
        field("createTime", Text).output(),
        field("updateTime", Text).output(),
        field("deployedModels", Many(&Open)).output(),
        field("explanationSpec", Open),
        field("etag", Text),
        field("labels", Map(&Text)),
        field("encryptionSpec", One(&ENCRYPTION)),
    ],
};

static CONTAINER: Message = Message {
    fields: &[
        field("imageUri", Text),
        field("command", Many(&Text)),
        field("args", Many(&Text)),
        field("env", Many(&One(&ENV))),
        field("ports", Many(&One(&PORT))),
        field("grpcPorts", Many(&One(&PORT))),
        field("predictRoute", Text),
        field("healthRoute", Text),
        field("invokeRoutePrefix", Text),
        field("sharedMemorySizeMb", Long),
        field("deploymentTimeout", Text),
        field("startupProbe", One(&PROBE)),
        field("healthProbe", One(&PROBE)),
        field("livenessProbe", One(&PROBE)),
    ],
};

static ENV: Message = Message { fields: &[field("name", Text), field("value", Text)] };
static PORT: Message = Message { fields: &[field("containerPort", Int)] };

static PROBE: Message = Message {
    fields: &[
        field("exec", Open),
        field("httpGet", Open),
        field("grpc", Open),
        field("tcpSocket", Open),
        field("initialDelaySeconds", Int),
        field("periodSeconds", Int),
        field("timeoutSeconds", Int),
        field("failureThreshold", Int),
        field("successThreshold", Int),
    ],
};

pub static UPLOAD: Message = Message {
    fields: &[
        field("parentModel", Text),
        field("modelId", Text),
        field("model", One(&MODEL)),
        field("serviceAccount", Text),
    ],
};

pub static MERGE_ALIASES: Message = Message { fields: &[field("versionAliases", Many(&Text))] };
