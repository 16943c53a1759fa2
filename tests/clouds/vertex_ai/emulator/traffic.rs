//! The split of traffic between deployed models, in percent.

use std::collections::BTreeMap;

use serde_json::Value;

use super::endpoints::Endpoint;
use super::refusal::Refusal;

/// Stands for the model that is being deployed.
pub const NEW: &str = "0";

/// Reads a split.
pub fn parse(value: &Value) -> Result<BTreeMap<String, i64>, Refusal> {
    let entries = value.as_object().into_iter().flatten();
    let split: BTreeMap<String, i64> =
        entries.map(|(id, percent)| (id.clone(), percent.as_i64().unwrap_or(-1))).collect();
    if split.values().any(|percent| !(0..=100).contains(percent)) {
        return Err(Refusal::value("traffic_split", "Traffic percentages must be between 0 and 100."));
    }
    if !split.is_empty() && split.values().sum::<i64>() != 100 {
        return Err(Refusal::value("traffic_split", "The sum of all traffic percentages must be 100."));
    }
    Ok(split)
}

/// Refuses a split that names what is not there. `new` is the deployed model that `"0"` stands for.
pub fn check(split: &BTreeMap<String, i64>, endpoint: &Endpoint, new: Option<&str>) -> Result<(), Refusal> {
    let is_known = |id: &str| endpoint.find(id).is_some() || (id == NEW && new.is_some());
    let unknown: Vec<&str> = split.keys().map(String::as_str).filter(|id| !is_known(id)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(missing(&unknown.join(", "))) }
}

/// Puts the new deployed model's id in the place of `"0"`.
pub fn with_new(mut split: BTreeMap<String, i64>, id: &str) -> BTreeMap<String, i64> {
    if let Some(percent) = split.remove(NEW) {
        split.insert(id.to_owned(), percent);
    }
    split
}

/// The service's words for ids that it does not know.
pub fn missing(ids: &str) -> Refusal {
    Refusal::new(
        super::refusal::Code::InvalidArgument,
        format!("The following DeployedModel ID(s) [{ids}] do not exist."),
    )
}
