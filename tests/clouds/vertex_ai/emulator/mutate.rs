//! Changing a deployed model in place: its scaling and one flag.

use serde_json::{Value, json};

use super::call::Version;
use super::deploy::check_counts;
use super::messages::MUTATE;
use super::refusal::Refusal;
use super::routes::Place;
use super::shape::{camel, read};
use super::traffic;
use super::world::World;

const SCALING: [&str; 6] = [
    "dedicatedResources.minReplicaCount",
    "dedicatedResources.maxReplicaCount",
    "dedicatedResources.requiredReplicaCount",
    "dedicatedResources.autoscalingMetricSpecs",
    "automaticResources.minReplicaCount",
    "automaticResources.maxReplicaCount",
];

impl World {
    pub(super) fn mutate_deployed_model(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let request = read(body, &MUTATE, place.version)?;
        let given = request.get("deployedModel").cloned().unwrap_or(json!({}));
        let mask = request.get("updateMask").and_then(Value::as_str).unwrap_or_default();
        if mask.is_empty() {
            return Err(Refusal::value("update_mask", "Required field is not set."));
        }
        let fields: Vec<String> = mask.split(',').map(camel).collect();
        let flag =
            if place.version == Version::Beta { "enableContainerLogging" } else { "disableContainerLogging" };
        for field in &fields {
            if !SCALING.contains(&field.as_str()) && field != flag {
                let why = format!("The field {field} of a DeployedModel cannot be updated.");
                return Err(Refusal::value("update_mask", &why));
            }
        }
        let id = given["id"].as_str().unwrap_or_default().to_owned();
        let endpoint = self.endpoint_at(place)?;
        let deployed = endpoint.find(&id).ok_or_else(|| traffic::missing(&id))?;
        if deployed.is_hidden() {
            return Err(Refusal::precondition(format!("DeployedModel {id} is still being deployed.")));
        }
        let mut changed = Value::Object(deployed.given.clone());
        for field in &fields {
            let (above, below) = field.split_once('.').unwrap_or((field, ""));
            let value = if below.is_empty() { &given[above] } else { &given[above][below] };
            let slot = if below.is_empty() { &mut changed[above] } else { &mut changed[above][below] };
            *slot = value.clone();
        }
        if !changed["dedicatedResources"].is_null() {
            check_counts(&changed["dedicatedResources"])?;
        }
        let (key, parent) = (place.key(), self.parent(place)?);
        let effect = move |world: &mut Self| {
            let now = world.now;
            let endpoint = world.endpoints.get_mut(&key);
            let Some(deployed) = endpoint.and_then(|endpoint| endpoint.find_mut(&id)) else {
                return Err(traffic::missing(&id));
            };
            if let Value::Object(changed) = changed {
                deployed.given = changed;
            }
            deployed.updated = now;
            let told = world.endpoints[&key].find(&id).map(|deployed| world.deployed_value(deployed, false));
            Ok(json!({ "deployedModel": told }))
        };
        Ok(self.start_operation("MutateDeployedModel", &parent, place.version, Box::new(effect)))
    }
}
