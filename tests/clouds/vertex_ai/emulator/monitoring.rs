//! Cloud Monitoring: queries in `PromQL`, incidents, time series. Answers are scripted; requests are checked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::call::Call;
use super::refusal::{Code, Refusal};

/// What monitoring answers.
#[derive(Debug, Default)]
pub struct Monitoring {
    /// Values by a part of the query. No entry that fits is no data, which is not zero.
    pub values: BTreeMap<String, f64>,
    /// Alert policies.
    pub policies: Vec<String>,
    /// Those of them with an open incident.
    pub firing: Vec<String>,
    /// Queries that came, oldest first.
    pub queries: Vec<String>,
}

impl Monitoring {
    pub(super) fn query(&mut self, call: &Call, body: &Value) -> Result<Value, Refusal> {
        let form = call.form();
        let query = body["query"].as_str().or(form.get("query").map(String::as_str));
        let query = query.or(call.query.get("query").map(String::as_str)).unwrap_or_default().to_owned();
        if query.is_empty() {
            return Err(Refusal::new(
                Code::InvalidArgument,
                "invalid parameter \"query\": unexpected end of input",
            ));
        }
        let value = self.values.iter().find(|(part, _)| query.contains(*part)).map(|(_, value)| *value);
        self.queries.push(query);
        let result: Vec<Value> = value
            .into_iter()
            .map(|value| json!({ "metric": {}, "value": [1_793_000_000, value.to_string()] }))
            .collect();
        Ok(json!({ "status": "success", "data": { "resultType": "vector", "result": result } }))
    }

    pub(super) fn get_policy(&self, call: &Call) -> Result<Value, Refusal> {
        let name = call.path.trim_start_matches("/v3/");
        if self.policies.iter().any(|known| known == name) {
            return Ok(json!({ "name": name, "displayName": name, "enabled": true }));
        }
        Err(Refusal::new(Code::NotFound, format!("Cannot find resource {name}.")))
    }

    pub(super) fn list_alerts(&self) -> Value {
        let alerts: Vec<Value> = self
            .firing
            .iter()
            .enumerate()
            .map(|(index, policy)| {
                json!({
                    "name": format!("projects/{}/alerts/{index}", super::PROJECT_NUMBER),
                    "state": "OPEN",
                    "openTime": "2026-10-26T00:00:00Z",
                    "policy": { "name": policy, "displayName": policy },
                })
            })
            .collect();
        if alerts.is_empty() { json!({}) } else { json!({ "alerts": alerts }) }
    }

    pub(super) fn time_series(&self, call: &Call) -> Result<Value, Refusal> {
        for name in ["filter", "interval.endTime"] {
            if !call.query.contains_key(name) {
                return Err(Refusal::value(name, "Required field is not set."));
            }
        }
        let filter = call.query.get("filter").map_or("", String::as_str);
        let value = self.values.iter().find(|(part, _)| filter.contains(*part)).map(|(_, value)| *value);
        let Some(value) = value else { return Ok(json!({})) };
        let end = &call.query["interval.endTime"];
        Ok(json!({
            "timeSeries": [{
                "metric": { "type": "aiplatform.googleapis.com/prediction/online/error_count", "labels": {} },
                "valueType": "DOUBLE",
                "points": [{ "interval": { "endTime": end }, "value": { "doubleValue": value } }],
            }],
        }))
    }
}
