//! Deploying a model version, at once or by a rolling deployment on top of another, and undeploying it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::endpoints::Endpoint;
use super::messages::{DEPLOY, UNDEPLOY};
use super::models::ModelVersion;
use super::operations::id_of;
use super::refusal::{Code, Refusal};
use super::rolling::{Deployed, Phase, Rollout, Verdict};
use super::routes::Place;
use super::shape::read;
use super::traffic;
use super::world::{Quirk, World};

impl World {
    pub(super) fn deploy_model(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let mut request = read(body, &DEPLOY, place.version)?;
        let Some(Value::Object(given)) = request.remove("deployedModel") else {
            return Err(Refusal::value("deployed_model", "Required field is not set."));
        };
        let split = traffic::parse(request.get("trafficSplit").unwrap_or(&json!({})))?;
        let endpoint = self.endpoint_at(place)?;
        let name = given.get("model").and_then(Value::as_str).unwrap_or_default();
        let (model, version) = self.resolve(name, "deployed_model.model")?;
        let (model, version) = (model.clone(), version.clone());
        traffic::check(&split, endpoint, Some(""))?;
        let deployed = match given.get("rolloutOptions").cloned() {
            Some(options) => self.successor(endpoint, given, &options, &model, &version, &split)?,
            None => self.first_of_its_kind(endpoint, given, &model, &version)?,
        };
        let is_rolling = deployed.rollout.is_some();
        let split = (!split.is_empty() && !is_rolling).then_some(split);
        let shown = self.begin(place, deployed, &version, split)?;
        let is_empty = is_rolling && self.has(Quirk::EmptyRollingAnswer);
        Ok(if is_empty { json!({}) } else { shown })
    }

    /// Adds the deployment to its endpoint and opens its operation.
    fn begin(
        &mut self,
        place: &Place,
        mut deployed: Deployed,
        version: &ModelVersion,
        split: Option<BTreeMap<String, i64>>,
    ) -> Result<Value, Refusal> {
        if deployed.id.is_empty() {
            deployed.id = self.next_id();
        }
        let parent = self.parent(place)?;
        let shown = self.start_deployment(&parent, place.version);
        let operation = id_of(shown["name"].as_str().unwrap_or_default()).to_owned();
        let seconds = version.deployment_timeout().unwrap_or(self.script.deployment_timeout_seconds);
        let split = split.map(|split| traffic::with_new(split, &deployed.id));
        deployed.phase = Phase::InFlight { operation, deadline: self.after(seconds), split };
        let (now, is_aborted) = (self.now, self.has(Quirk::SupersededIsAborted));
        let endpoint = self.endpoint_at_mut(place)?;
        let previous = deployed.rollout.as_ref().map(|rollout| rollout.previous.clone());
        let verdict = previous.and_then(|previous| supersede(endpoint, &previous, is_aborted));
        endpoint.deployed.push(deployed);
        endpoint.touch(now);
        if let Some(verdict) = verdict {
            self.finish_deployment(verdict);
        }
        Ok(shown)
    }

    /// A deployment with resources of its own.
    fn first_of_its_kind(
        &self,
        endpoint: &Endpoint,
        given: Map<String, Value>,
        model: &str,
        version: &ModelVersion,
    ) -> Result<Deployed, Refusal> {
        check_id(&given, endpoint)?;
        check_resources(&given)?;
        if given.contains_key("explanationSpec") && given.get("disableExplanations") == Some(&json!(true)) {
            let why = "Explanations cannot be disabled and configured at once.";
            return Err(Refusal::value("deployed_model.explanation_spec", why));
        }
        let asked = given.get("dedicatedResources").map_or(0, replicas_at_most);
        let used: u64 = self
            .endpoints
            .values()
            .flat_map(|endpoint| &endpoint.deployed)
            .map(|deployed| deployed.given.get("dedicatedResources").map_or(0, replicas_at_most))
            .sum();
        if self.script.quota.is_some_and(|quota| used + asked > quota) {
            return Err(Refusal::new(
                Code::ResourceExhausted,
                "The following quota metrics exceed quota limits: \
                 aiplatform.googleapis.com/custom_model_serving_nvidia_l4_gpus",
            ));
        }
        Ok(deployed(given, model, version, None, self.now))
    }

    /// A rolling deployment on top of another deployed model, whose resources and flags it takes over.
    fn successor(
        &self,
        endpoint: &Endpoint,
        mut given: Map<String, Value>,
        options: &Value,
        model: &str,
        version: &ModelVersion,
        split: &BTreeMap<String, i64>,
    ) -> Result<Deployed, Refusal> {
        let text = options["previousDeployedModel"].as_str().unwrap_or_default();
        let field = "deployed_model.rollout_options.previous_deployed_model";
        if text.is_empty() {
            return Err(Refusal::value(field, "Required field is not set."));
        }
        let previous = endpoint.find(text).ok_or_else(|| traffic::missing(text))?;
        check_free(endpoint, previous)?;
        if given.contains_key("id") && self.has(Quirk::RefusesIdWhenRolling) {
            return Err(Refusal::value("deployed_model.id", "The ID cannot be set in a rolling deployment."));
        }
        check_id(&given, endpoint)?;
        self.check_rollable(endpoint, previous, &given, version)?;
        let current = endpoint.split.clone();
        let allowed = current.iter().map(|(id, percent)| (id.clone(), *percent)).chain([("0".to_owned(), 0)]);
        if !split.is_empty() && *split != allowed.collect() {
            let why = "A rolling deployment moves the traffic of the previous deployed model by itself.";
            return Err(Refusal::value("traffic_split", why));
        }
        let rollout = Rollout {
            previous: previous.id.clone(),
            surge: Self::limit(options, &["maxSurgeReplicas", "maxSurgePercentage"])?,
            unavailable: Self::limit(options, &["maxUnavailableReplicas", "maxUnavailablePercentage"])?,
            revision: previous.rollout.as_ref().map_or(0, |rollout| rollout.revision) + 1,
        };
        if rollout.surge.1 == 0 && rollout.unavailable.1 == 0 && !self.has(Quirk::AllowsNoWayToMove) {
            let why = "max_surge and max_unavailable cannot both be zero.";
            return Err(Refusal::value("deployed_model.rollout_options", why));
        }
        given.remove("rolloutOptions");
        let inherited = ["dedicatedResources", "automaticResources", "serviceAccount", "enableAccessLogging"]
            .into_iter()
            .chain(["disableContainerLogging", "enableContainerLogging", "disableExplanations"]);
        for name in inherited {
            // What is off cannot be told from what is not given.
            let is_given = given.get(name).is_some_and(|value| *value != json!(false) && *value != json!(""));
            if let (false, Some(value)) = (is_given, previous.given.get(name)) {
                given.insert(name.to_owned(), value.clone());
            }
        }
        Ok(deployed(given, model, version, Some(rollout), self.now))
    }

    /// What a rolling deployment cannot do.
    fn check_rollable(
        &self,
        endpoint: &Endpoint,
        previous: &Deployed,
        given: &Map<String, Value>,
        version: &ModelVersion,
    ) -> Result<(), Refusal> {
        for (field, kind) in [
            ("sharedResources", "Rolling deployments do not support co-hosted models."),
            ("dedicatedResources", "Resources are those of the previous deployed model and cannot be set."),
            ("automaticResources", "Resources are those of the previous deployed model and cannot be set."),
            ("explanationSpec", "Rolling deployments do not support explanations."),
        ] {
            if given.contains_key(field) {
                let field = format!("deployed_model.{}", super::shape::snake(field));
                return Err(Refusal::value(&field, kind));
            }
        }
        if previous.given.contains_key("sharedResources") {
            return Err(Refusal::precondition("Rolling deployments do not support co-hosted models."));
        }
        let explains = version.given.contains_key("explanationSpec")
            && given.get("disableExplanations") != Some(&json!(true));
        if explains {
            return Err(Refusal::precondition(
                "Rolling deployments do not support models with explanations.",
            ));
        }
        let (old, _) = self.resolve_version(&previous.model, &previous.version)?;
        if endpoint.is_shared_public() && old.routes() != version.routes() {
            return Err(Refusal::precondition(
                "On a shared public endpoint the predict route and the health route must be those of the previous \
                 deployed model.",
            ));
        }
        Ok(())
    }

    fn limit(options: &Value, names: &[&'static str; 2]) -> Result<(&'static str, i64), Refusal> {
        let given: Vec<(&'static str, i64)> =
            names.iter().filter_map(|name| Some((*name, options.get(*name)?.as_i64()?))).collect();
        match given.as_slice() {
            [] => Ok((names[0], 0)),
            [(name, number)] if *number >= 0 && (!name.ends_with("Percentage") || *number <= 100) => {
                Ok((name, *number))
            }
            [(name, _)] => {
                let field = format!("deployed_model.rollout_options.{}", super::shape::snake(name));
                Err(Refusal::value(&field, "The value is out of range."))
            }
            _ => Err(Refusal::payload(
                "deployed_model.rollout_options",
                format!(
                    "Invalid value at 'deployed_model.rollout_options' (oneof), oneof field is already set. Cannot set \
                     '{}'",
                    super::shape::snake(names[1])
                ),
            )),
        }
    }

    pub(super) fn undeploy_model(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let request = read(body, &UNDEPLOY, place.version)?;
        let id = request.get("deployedModelId").and_then(Value::as_str).unwrap_or_default().to_owned();
        if id.is_empty() {
            return Err(Refusal::value("deployed_model_id", "Required field is not set."));
        }
        let split = traffic::parse(request.get("trafficSplit").unwrap_or(&json!({})))?;
        let endpoint = self.endpoint_at(place)?;
        let deployed = endpoint.find(&id).ok_or_else(|| traffic::missing(&id))?;
        if deployed.is_hidden() || endpoint.deployed.iter().any(|other| is_flying_on(other, &id)) {
            let message = format!("DeployedModel {id} takes part in a deployment that is in progress.");
            return Err(Refusal::precondition(message));
        }
        traffic::check(&split, endpoint, None)?;
        let after = if split.is_empty() { &endpoint.split } else { &split };
        if after.get(&id).is_some_and(|percent| *percent > 0) && endpoint.deployed.len() > 1 {
            let message = format!(
                "DeployedModel {id} has traffic assigned. Set the traffic of the DeployedModel to 0 before undeploying \
                 it."
            );
            return Err(Refusal::precondition(message));
        }
        if !split.is_empty() {
            self.endpoint_at_mut(place)?.split = split;
        }
        let (key, parent) = (place.key(), self.parent(place)?);
        let effect = move |world: &mut Self| {
            let now = world.now;
            if let Some(endpoint) = world.endpoints.get_mut(&key) {
                endpoint.deployed.retain(|deployed| deployed.id != id);
                endpoint.split.remove(&id);
                endpoint.touch(now);
            }
            Ok(json!({}))
        };
        Ok(self.start_operation("UndeployModel", &parent, place.version, Box::new(effect)))
    }
}

fn deployed(
    mut given: Map<String, Value>,
    model: &str,
    version: &ModelVersion,
    rollout: Option<Rollout>,
    now: Timestamp,
) -> Deployed {
    let id = given.remove("id").and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
    given.remove("model");
    Deployed {
        id,
        model: model.to_owned(),
        version: version.id.clone(),
        given,
        created: now,
        updated: now,
        phase: Phase::Superseded,
        rollout,
        replicas: Vec::new(),
        started: 0,
        scaled: None,
        message: String::new(),
    }
}

/// Ends the rollout below the new one, if it is still going on.
fn supersede(endpoint: &mut Endpoint, previous: &str, is_aborted: bool) -> Option<Verdict> {
    let previous = endpoint.find_mut(previous)?;
    let Phase::InFlight { operation, .. } = previous.phase.clone() else { return None };
    previous.phase = Phase::Superseded;
    let code = if is_aborted { Code::Aborted } else { Code::Cancelled };
    let refusal = Refusal::new(code, "The deployment was superseded by a newer rolling deployment.");
    Some(Verdict::Failed { operation, refusal })
}

fn is_flying_on(other: &Deployed, id: &str) -> bool {
    other.is_hidden() && other.rollout.as_ref().is_some_and(|rollout| rollout.previous == id)
}

/// One rolling deployment at most on top of each deployed model, which must be deployed or itself be rolling.
fn check_free(endpoint: &Endpoint, previous: &Deployed) -> Result<(), Refusal> {
    let id = &previous.id;
    let on_top = |other: &&Deployed| other.rollout.as_ref().is_some_and(|rollout| rollout.previous == *id);
    if let Some(other) = endpoint.deployed.iter().find(on_top) {
        let message = format!("DeployedModel {id} already has a rolling deployment: {}.", other.id);
        return Err(Refusal::precondition(message));
    }
    if previous.is_hidden() && previous.rollout.is_none() {
        let message = format!("DeployedModel {id} is still being deployed.");
        return Err(Refusal::precondition(message));
    }
    Ok(())
}

fn check_id(given: &Map<String, Value>, endpoint: &Endpoint) -> Result<(), Refusal> {
    let Some(id) = given.get("id").and_then(Value::as_str) else { return Ok(()) };
    let is_fine = (1..=10).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) && id != "0";
    if !is_fine {
        let why = "The ID must be 1 to 10 characters of [0-9], and not 0.";
        return Err(Refusal::value("deployed_model.id", why));
    }
    if endpoint.find(id).is_some() {
        return Err(Refusal::new(Code::AlreadyExists, format!("DeployedModel {id} already exists.")));
    }
    Ok(())
}

fn check_resources(given: &Map<String, Value>) -> Result<(), Refusal> {
    let kinds = ["dedicatedResources", "automaticResources", "sharedResources", "fullFineTunedResources"];
    if kinds.into_iter().filter(|kind| given.contains_key(*kind)).count() != 1 {
        let why = "Exactly one of dedicated_resources, automatic_resources and shared_resources must be set.";
        return Err(Refusal::value("deployed_model.prediction_resources", why));
    }
    let Some(resources) = given.get("dedicatedResources") else { return Ok(()) };
    check_counts(resources)?;
    let machine = &resources["machineSpec"];
    let has_accelerator =
        machine["acceleratorType"].as_str().is_some_and(|kind| !kind.ends_with("UNSPECIFIED"));
    if machine.is_null() {
        let field = "deployed_model.dedicated_resources.machine_spec";
        return Err(Refusal::value(field, "Required field is not set."));
    }
    if has_accelerator != (machine["acceleratorCount"].as_i64().unwrap_or(0) > 0) {
        let field = "deployed_model.dedicated_resources.machine_spec.accelerator_count";
        return Err(Refusal::value(field, "Accelerator type and count must be set together."));
    }
    Ok(())
}

/// The numbers of replicas fit each other.
pub fn check_counts(resources: &Value) -> Result<(), Refusal> {
    let count = |name: &str| resources[name].as_i64().unwrap_or(0);
    let (min, max, required) =
        (count("minReplicaCount"), count("maxReplicaCount"), count("requiredReplicaCount"));
    let field = |name: &str| format!("deployed_model.dedicated_resources.{name}");
    if min < 1 {
        return Err(Refusal::value(&field("min_replica_count"), "The value must be at least 1."));
    }
    if max != 0 && max < min {
        return Err(Refusal::value(
            &field("max_replica_count"),
            "The value must be at least min_replica_count.",
        ));
    }
    if required < 0 || required > min.max(max) {
        return Err(Refusal::value(&field("required_replica_count"), "The value is out of range."));
    }
    Ok(())
}

fn replicas_at_most(resources: &Value) -> u64 {
    let count = |name: &str| resources[name].as_u64().unwrap_or(0);
    count("maxReplicaCount").max(count("minReplicaCount"))
}
