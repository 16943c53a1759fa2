//! Autoscalers: limits, and the load that a test puts on them.

use serde_json::{Value, json};

use super::refusal::Refusal;

/// The autoscaler of one service.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    pub min: u32,
    pub max: u32,
    pub strategies: Value,
    pub behavior: Value,
}

impl Autoscaler {
    pub fn read(body: &Value) -> Result<Self, Refusal> {
        let object = body.as_object().ok_or_else(|| Refusal::bad_request("The body is not an object."))?;
        let known = ["min", "max", "scaleStrategies", "behavior"];
        if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::bad_request(format!("Unknown field {key}")));
        }
        let count = |name: &str| {
            let count = body[name].as_u64().and_then(|count| u32::try_from(count).ok());
            count.ok_or_else(|| Refusal::bad_request(format!("Invalid {name}.")))
        };
        let (min, max) = (count("min")?, count("max")?);
        if max <= min {
            return Err(Refusal::bad_request("max must be larger than min."));
        }
        let strategies = body["scaleStrategies"].as_array().filter(|strategies| !strategies.is_empty());
        for strategy in strategies.ok_or_else(|| Refusal::bad_request("scaleStrategies is required."))? {
            let metric = strategy["metricName"].as_str().unwrap_or_default();
            if !["qps", "cpu", "gpu[util]"].contains(&metric) || !strategy["threshold"].is_number() {
                return Err(Refusal::bad_request(format!("Invalid scale strategy {strategy}.")));
            }
        }
        let behavior = body.get("behavior").cloned().unwrap_or_else(|| json!({}));
        Ok(Self { min, max, strategies: body["scaleStrategies"].clone(), behavior })
    }

    pub fn told(&self, service: &str) -> Value {
        json!({
            "ServiceName": service,
            "MinReplica": self.min,
            "MaxReplica": self.max,
            "Behavior": self.behavior,
            "ScaleStrategies": self.strategies,
            "CurrentMetrics": [],
        })
    }
}
