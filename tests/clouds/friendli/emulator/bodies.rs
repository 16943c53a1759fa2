//! The fields of each body, and what has to fit together in it.

use serde_json::Value;

use super::options;
use super::refusal::Refusal;
use super::validation::{Field, Kind, defaulted, fault, faults, optional, required};

const ANY: Kind = Kind::Whole { least: i64::MIN, most: i64::MAX };
const POSITIVE: Kind = Kind::Whole { least: 1, most: i64::MAX };
const QUEUE_METRICS: &[&str] =
    &["TPOT_MS", "TTFT_MS", "REQUEST_COUNT", "WORKSPACE_UTILIZATION", "QUEUED_PREFILL_TOKENS"];

const ADVANCED: &[Field] = &[
    required("tokenizer_skip_special_tokens", Kind::Flag),
    required("tokenizer_add_special_tokens", Kind::Flag),
    optional("max_batch_size", ANY),
    defaulted("max_token_count", ANY),
    optional("enable_content_logging", Kind::Flag),
    optional("max_input_length", ANY),
    optional("max_context_length", POSITIVE),
    optional("queue_timeout_ms", ANY),
    optional("queue_backpressure_metric_kind", Kind::OneOf(QUEUE_METRICS)),
    optional("queue_backpressure_metric_threshold", Kind::Number),
];
const AUTOSCALING: &[Field] = &[
    defaulted("minReplica", Kind::Whole { least: 0, most: i64::MAX }),
    defaulted("maxReplica", Kind::Whole { least: 0, most: 10 }),
    defaulted("cooldownPeriod", Kind::Whole { least: 0, most: i64::MAX }),
];
const SIMPLESCALE: &[Field] = &[required("replicas", POSITIVE)];
const ACCELERATOR: &[Field] = &[required("type", Kind::Text), required("count", POSITIVE)];

const CREATE: &[Field] = &[
    required("projectId", Kind::Text),
    required("name", Kind::Text),
    required("instanceOptionId", Kind::Text),
    required("advanced", Kind::Object(ADVANCED)),
    optional("hfModelRepo", Kind::Text),
    optional("hfModelRepoRevision", Kind::Text),
    optional("uploadedModelId", Kind::Text),
    optional("simplescale", Kind::Object(SIMPLESCALE)),
    optional("autoscalingPolicy", Kind::Object(AUTOSCALING)),
    optional("initialVersionComment", Kind::Text),
];
const UPDATE: &[Field] = &[
    optional("name", Kind::Text),
    optional("instanceOptionId", Kind::Text),
    optional("advanced", Kind::Object(ADVANCED)),
    optional("hfModelRepo", Kind::Text),
    optional("hfModelRepoRevision", Kind::Text),
    optional("uploadedModelId", Kind::Text),
    optional("simplescale", Kind::Object(SIMPLESCALE)),
    optional("autoscalingPolicy", Kind::Object(AUTOSCALING)),
    optional("newVersionComment", Kind::Text),
];
const WEBHOOK: &[Field] = &[
    required("wandbArtifactVersionName", Kind::Text),
    optional("accelerator", Kind::Object(ACCELERATOR)),
    optional("name", Kind::Text),
    optional("projectId", Kind::Text),
    optional("idempotencyKey", Kind::Text),
    optional("autoscalingPolicy", Kind::Object(AUTOSCALING)),
];

/// Checks the body of a create.
pub fn check_create(body: &Value) -> Result<(), Refusal> {
    let mut found = faults(body, CREATE);
    if given(body, "hfModelRepo").is_none() && given(body, "uploadedModelId").is_none() {
        found.push(fault(
            &["body"],
            "value_error",
            "Value error, hfModelRepo or uploadedModelId is required",
        ));
    }
    check_together(body, found)
}

/// Checks the body of an update.
pub fn check_update(body: &Value) -> Result<(), Refusal> {
    check_together(body, faults(body, UPDATE))
}

/// Checks the body of the webhook.
pub fn check_webhook(body: &Value) -> Result<(), Refusal> {
    let mut found = faults(body, WEBHOOK);
    if given(body, "idempotencyKey").is_some() && given(body, "projectId").is_none() {
        let message = "Value error, projectId is required with idempotencyKey";
        found.push(fault(&["body", "projectId"], "value_error", message));
    }
    if let Some(accelerator) = given(body, "accelerator")
        && let (Some(gpu), Some(count)) = (accelerator["type"].as_str(), accelerator["count"].as_u64())
        && options::by_hardware(gpu, count).is_none()
    {
        found.push(fault(&["body", "accelerator"], "value_error", "Value error, no such accelerator"));
    }
    check_together(body, found)
}

/// A field that is there and not null.
pub fn given<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

fn check_together(body: &Value, mut found: Vec<Value>) -> Result<(), Refusal> {
    let has = |name| given(body, name).is_some();
    if has("hfModelRepo") && has("uploadedModelId") {
        let message = "Value error, uploadedModelId cannot be used with hfModelRepo";
        found.push(fault(&["body", "uploadedModelId"], "value_error", message));
    }
    if has("hfModelRepoRevision") && has("uploadedModelId") {
        let message = "Value error, hfModelRepoRevision can only be used with hfModelRepo";
        found.push(fault(&["body", "hfModelRepoRevision"], "value_error", message));
    }
    if has("simplescale") && has("autoscalingPolicy") {
        let message = "Value error, simplescale cannot be used with autoscalingPolicy";
        found.push(fault(&["body", "simplescale"], "value_error", message));
    }
    if let Some(option) = given(body, "instanceOptionId").and_then(Value::as_str)
        && options::by_id(option).is_none()
    {
        found.push(fault(
            &["body", "instanceOptionId"],
            "value_error",
            "Value error, no such instance option",
        ));
    }
    if let Some(policy) = given(body, "autoscalingPolicy") {
        let bound = |name: &str, default: i64| policy.get(name).and_then(Value::as_i64).unwrap_or(default);
        if bound("minReplica", 0) > bound("maxReplica", 1) {
            let message = "Value error, minReplica must not be greater than maxReplica";
            found.push(fault(&["body", "autoscalingPolicy"], "value_error", message));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Refusal::unprocessable(&found)) }
}
