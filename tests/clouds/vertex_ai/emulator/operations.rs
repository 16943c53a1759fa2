//! Long-running operations. Each takes effect when it is done, not when it is asked for.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::PROJECT_NUMBER;
use super::call::Version;
use super::messages::{DEPLOYED_MODEL, ENDPOINT};
use super::refusal::{Code, Refusal};
use super::rolling::Verdict;
use super::routes::Place;
use super::shape::show;
use super::world::{Quirk, World};

/// What happens when an operation is due.
type Effect = Box<dyn FnOnce(&mut World) -> Result<Value, Refusal> + Send>;

/// An operation.
pub struct Operation {
    /// Its full name.
    pub name: String,
    kind: &'static str,
    version: Version,
    created: Timestamp,
    updated: Timestamp,
    stage: Option<&'static str>,
    due: Option<(Timestamp, Effect)>,
    outcome: Option<Result<Value, Refusal>>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {:?}", self.kind, self.name, self.outcome)
    }
}

impl World {
    /// Starts an operation that takes effect after a while.
    pub(super) fn start_operation(
        &mut self,
        kind: &'static str,
        parent: &str,
        version: Version,
        effect: Effect,
    ) -> Value {
        let due = (self.after(self.script.settle_seconds), effect);
        self.open_operation(kind, parent, version, Some(due))
    }

    /// Starts the operation of a deployment, which ends with it.
    pub(super) fn start_deployment(&mut self, parent: &str, version: Version) -> Value {
        self.open_operation("DeployModel", parent, version, None)
    }

    fn open_operation(
        &mut self,
        kind: &'static str,
        parent: &str,
        version: Version,
        due: Option<(Timestamp, Effect)>,
    ) -> Value {
        let id = self.next_id();
        let name = format!("projects/{PROJECT_NUMBER}/locations/{parent}/operations/{id}");
        let stage = (kind == "DeployModel").then_some("STARTING_DEPLOYMENT");
        let (created, updated) = (self.now, self.now);
        let operation = Operation { name, kind, version, created, updated, stage, due, outcome: None };
        let shown = operation.shown(version);
        self.operations.insert(id, operation);
        shown
    }

    /// Carries out what is due.
    pub(super) fn finish_due_operations(&mut self) {
        let now = self.now;
        let due: Vec<String> = self
            .operations
            .iter()
            .filter(|(_, operation)| operation.due.as_ref().is_some_and(|(due, _)| *due <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let effect = self.operations.get_mut(&id).and_then(|operation| operation.due.take());
            let outcome = effect.map(|(_, effect)| effect(self));
            if let Some(operation) = self.operations.get_mut(&id) {
                operation.outcome = outcome;
                operation.updated = now;
            }
        }
    }

    /// Ends the operation of a deployment, or tells how far it is.
    pub(super) fn finish_deployment(&mut self, verdict: Verdict) {
        let now = self.now;
        let operation = match &verdict {
            Verdict::Stage { operation, .. }
            | Verdict::Deployed { operation, .. }
            | Verdict::Failed { operation, .. } => operation.clone(),
        };
        let Some(operation) = self.operations.get_mut(&operation) else { return };
        operation.updated = now;
        match verdict {
            Verdict::Stage { stage, .. } => operation.stage = Some(stage),
            Verdict::Deployed { deployed, .. } => {
                operation.stage = Some("SUCCESSFULLY_DEPLOYED");
                operation.outcome = Some(Ok(json!({ "deployedModel": deployed })));
            }
            Verdict::Failed { refusal, .. } => {
                operation.stage = Some("FAILED_TO_DEPLOY");
                operation.outcome = Some(Err(refusal));
            }
        }
    }

    pub(super) fn get_operation(&self, place: &Place) -> Result<Value, Refusal> {
        let operation = self.operation(place)?;
        Ok(operation.shown(if place.is_ui { operation.version } else { place.version }))
    }

    pub(super) fn list_operations(&self, place: &Place) -> Value {
        let parent = format!("projects/{PROJECT_NUMBER}/locations/{}/", place.location);
        let below = place.rest.split_last().map_or(String::new(), |(_, above)| above.join("/"));
        let parent = format!("{parent}{below}");
        let operations = self.operations.values().filter(|operation| operation.name.starts_with(&parent));
        let shown: Vec<Value> = operations
            .map(|operation| operation.shown(if place.is_ui { operation.version } else { place.version }))
            .collect();
        if shown.is_empty() { json!({}) } else { json!({ "operations": shown }) }
    }

    /// Best effort: most operations go on as if nothing had been said.
    pub(super) fn cancel_operation(&mut self, place: &Place) -> Result<Value, Refusal> {
        let operation = self.operation(place)?;
        let is_stoppable = operation.kind == "DeployModel" && operation.outcome.is_none();
        let id = id_of(&operation.name).to_owned();
        if is_stoppable && self.has(Quirk::CancelStopsDeployments) {
            let refusal = Refusal::new(Code::Cancelled, "The operation was cancelled.");
            let endpoints = self.endpoints.values_mut();
            let verdicts: Vec<Verdict> =
                endpoints.filter_map(|endpoint| endpoint.cancel(&id, &refusal)).collect();
            for verdict in verdicts {
                self.finish_deployment(verdict);
            }
        }
        Ok(json!({}))
    }

    pub(super) fn delete_operation(&mut self, place: &Place) -> Result<Value, Refusal> {
        let id = id_of(&self.operation(place)?.name).to_owned();
        self.operations.remove(&id);
        Ok(json!({}))
    }

    fn operation(&self, place: &Place) -> Result<&Operation, Refusal> {
        let id = place.rest.last().map_or("", String::as_str);
        let found =
            self.operations.get(id).filter(|operation| operation.name.ends_with(&place.rest.join("/")));
        found.ok_or_else(|| Refusal::new(Code::NotFound, format!("The operation {id} is not found.")))
    }
}

impl Operation {
    /// As one version of the API shows it: `done` only when it is, then exactly one of response and error.
    pub fn shown(&self, version: Version) -> Value {
        let metadata = match self.kind {
            "DeleteEndpoint" | "DeleteModel" | "DeleteModelVersion" => "DeleteOperationMetadata".to_owned(),
            kind => format!("{kind}OperationMetadata"),
        };
        let mut shown = json!({
            "name": self.name,
            "metadata": {
                "@type": type_url(version, &metadata),
                "genericMetadata": { "createTime": self.created.to_string(), "updateTime": self.updated.to_string() },
            },
        });
        if let Some(stage) = self.stage.filter(|_| version == Version::Beta) {
            shown["metadata"]["deploymentStage"] = json!(stage);
        }
        match &self.outcome {
            None => {}
            Some(Ok(value)) => {
                shown["done"] = json!(true);
                shown["response"] = self.response(value, version);
            }
            Some(Err(refusal)) => {
                shown["done"] = json!(true);
                shown["error"] = refusal.status();
            }
        }
        shown
    }

    fn response(&self, value: &Value, version: Version) -> Value {
        let (name, mut shown) = match self.kind {
            "CreateEndpoint" | "UpdateEndpoint" => ("Endpoint", show(value, &ENDPOINT, version)),
            "DeployModel" | "MutateDeployedModel" => {
                let deployed = show(&value["deployedModel"], &DEPLOYED_MODEL, version);
                let name = if self.kind == "DeployModel" {
                    "DeployModelResponse"
                } else {
                    "MutateDeployedModelResponse"
                };
                (name, json!({ "deployedModel": deployed }))
            }
            "UndeployModel" => ("UndeployModelResponse", json!({})),
            "UploadModel" => ("UploadModelResponse", value.clone()),
            _ => return json!({ "@type": "type.googleapis.com/google.protobuf.Empty" }),
        };
        shown["@type"] = json!(type_url(version, name));
        shown
    }
}

/// The last part of a name.
pub fn id_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn type_url(version: Version, name: &str) -> String {
    format!("type.googleapis.com/google.cloud.aiplatform.{}.{name}", version.word())
}
