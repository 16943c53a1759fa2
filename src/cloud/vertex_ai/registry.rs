//! The model registry: finds registered models, uploads those that are an artifact and a container, removes them again.

use std::time::Duration;

use serde_json::json;

use super::client::unless_missing;
use super::memory::{Memory, Note};
use super::names::{ModelRef, alias, model_id};
use super::types::{Model, Models, Operation};
use super::{VertexAiCloud, check, convert, failure};
use crate::cloud::{CloudError, CloudErrorKind, Retry};
use crate::spec::{EndpointName, PinnedVersion, Pins, Problem, VersionNumber, VersionSpec};

/// Longest time of an upload: the service copies the artifact.
const UPLOAD_LONGEST: Duration = Duration::from_hours(1);
/// Longest time in which a version is deleted.
const DELETE_LONGEST: Duration = Duration::from_mins(10);

impl VertexAiCloud {
    /// Resolves a registered model to the number of the version that its name or alias means now.
    pub(super) async fn pin_model(
        &self,
        spec: &VersionSpec,
    ) -> Result<Result<Pins, Vec<Problem>>, CloudError> {
        if check::is_upload(spec) {
            return Ok(Ok(Pins::default()));
        }
        let source = &spec.model.source;
        let full = match source.strip_prefix("models/") {
            Some(name) => format!("{}/models/{name}", self.client.place.parent()),
            None => source.clone(),
        };
        let Some(model) = self.model(&full).await? else {
            let detail = format!("Vertex AI has no model `{full}`. Register it, or correct the name.");
            return Ok(Err(vec![Problem::at("model.source", "No such model", detail)]));
        };
        let problems = unusable(spec, &model);
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let name = full.split('@').next().unwrap_or(&full);
        let model_location = Some(format!("{name}@{}", model.version_id));
        Ok(Ok(Pins { model_location, ..Pins::default() }))
    }

    /// Makes sure that the model of a version is in the registry, and notes where.
    pub(super) async fn publish(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
    ) -> Result<(), CloudError> {
        let name = match &version.pins.model_location {
            Some(location) => location.clone(),
            None => self.uploaded(endpoint, version).await?,
        };
        let memory = Memory::read(&self.notes, endpoint).await?;
        if memory.model_of(version.number) == Some(name.as_str()) {
            return Ok(());
        }
        let note = Note::Published { version: version.number, model: name };
        Memory::note(&self.notes, endpoint, &note).await
    }

    /// The uploaded model of a version, by its alias; uploads it when it is not there yet. An upload whose answer was
    /// lost is found again by the same alias.
    async fn uploaded(&self, endpoint: &EndpointName, version: &PinnedVersion) -> Result<String, CloudError> {
        let operation = format!("upload the model of {} of endpoint `{endpoint}`", version.number);
        let alias = alias(version)?;
        let parent = format!("{}/models/{}", self.client.place.parent(), model_id(endpoint));
        if let Some(found) = self.model(&format!("{parent}@{alias}")).await? {
            return Ok(format!("{parent}@{}", found.version_id));
        }
        let model = convert::model(endpoint, version, alias.clone());
        let body = if self.model(&parent).await?.is_some() {
            json!({ "model": model, "parentModel": parent })
        } else {
            json!({ "model": model, "modelId": model_id(endpoint) })
        };
        let path = format!("{}/models:upload", self.client.place.parent());
        let uploaded = match self.client.post::<Operation>(&operation, &path, &body).await {
            Ok(started) => self.client.finish(&operation, started, UPLOAD_LONGEST).await.map(drop),
            // Perhaps only the answer was lost.
            Err(error) if error.kind == CloudErrorKind::Unreachable => {
                self.await_uploads(&operation, endpoint).await;
                Err(error)
            }
            Err(error) => Err(error),
        };
        // Whether it worked is seen in the registry.
        match self.model(&format!("{parent}@{alias}")).await? {
            Some(found) => Ok(format!("{parent}@{}", found.version_id)),
            None => Err(uploaded.err().unwrap_or_else(|| {
                failure(operation, CloudErrorKind::Internal)
                    .with_message("it is not in the registry afterwards")
            })),
        }
    }

    /// Waits for uploads of this endpoint's models that are under way.
    async fn await_uploads(&self, operation: &str, endpoint: &EndpointName) {
        let parent = format!("models/{}", model_id(endpoint));
        let open = self.client.operations(&parent).await.unwrap_or_default();
        for upload in open.into_iter().filter(|upload| !upload.done) {
            // Whether it worked is seen in the registry.
            let _ended = self.client.finish(operation, upload, UPLOAD_LONGEST).await;
        }
    }

    /// Fails unless the model of a version is still there.
    pub(super) async fn check_model(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<(), CloudError> {
        let memory = Memory::read(&self.notes, endpoint).await?;
        let missing = |words: String| {
            let operation = format!("find the model of {number} of endpoint `{endpoint}`");
            Err(failure(operation, CloudErrorKind::Artifact).with_message(words))
        };
        let Some(name) = memory.model_of(number) else {
            return missing("nobody noted which registered model it is".to_owned());
        };
        if self.model(name).await?.is_none() {
            return missing(format!("`{name}` is not in the registry any more"));
        }
        Ok(())
    }

    /// Removes a model version that was uploaded for this endpoint. Registered models belong to somebody else.
    pub(super) async fn retire(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<(), CloudError> {
        let operation = format!("remove the model of {number} of endpoint `{endpoint}`");
        let memory = Memory::read(&self.notes, endpoint).await?;
        let own = model_id(endpoint);
        let Some(model) = memory.model_of(number).and_then(ModelRef::read).filter(|model| model.id == own)
        else {
            return Ok(());
        };
        let parent = format!("{}/models/{own}", self.client.place.parent());
        let Some(found) = self.model(&format!("{parent}@{}", model.version)).await? else { return Ok(()) };
        if !found.deployed_models.is_empty() {
            return Err(failure(operation, CloudErrorKind::Conflict).with_message("it is deployed"));
        }
        let path = self.without_default(&operation, &parent, &found).await?;
        let started = self.client.delete(&operation, &path).await?;
        self.client.finish(&operation, started, DELETE_LONGEST).await.map(drop)
    }

    /// What to delete: the version, after another one has become the default; the whole model for its only version.
    async fn without_default(
        &self,
        operation: &str,
        parent: &str,
        found: &Model,
    ) -> Result<String, CloudError> {
        let all: Models = self.client.get(operation, &format!("{parent}:listVersions"), &[]).await?;
        let mut others = all.models.iter().filter(|model| model.version_id != found.version_id);
        let Some(other) = others.next_back() else { return Ok(parent.to_owned()) };
        if found.version_aliases.iter().any(|alias| alias == "default") {
            let path = format!("{parent}@{}:mergeVersionAliases", other.version_id);
            let _changed: Model =
                self.client.post(operation, &path, &json!({ "versionAliases": ["default"] })).await?;
        }
        Ok(format!("{parent}@{}:deleteVersion", found.version_id))
    }

    /// Whether two model versions answer on the same routes.
    pub(super) async fn share_routes(&self, one: &str, other: &str) -> Result<bool, CloudError> {
        let routes = |model: Option<Model>| {
            let container = model.and_then(|model| model.container_spec).unwrap_or_default();
            (container.predict_route, container.health_route)
        };
        Ok(routes(self.model(one).await?) == routes(self.model(other).await?))
    }

    async fn model(&self, name: &str) -> Result<Option<Model>, CloudError> {
        let mut answer = self.client.get(&format!("read model `{name}`"), name, &[]).await;
        if let Err(error) = &mut answer
            && error.kind == CloudErrorKind::Conflict
        {
            error.retry = Retry::Backoff;
        }
        unless_missing(answer)
    }
}

/// The model of a version, as it was noted when the version was published.
pub(super) fn model_ref(memory: &Memory, version: &PinnedVersion) -> Result<ModelRef, CloudError> {
    let noted = memory.model_of(version.number).or(version.pins.model_location.as_deref());
    noted.and_then(ModelRef::read).ok_or_else(|| {
        failure(format!("find the model of {}", version.number), CloudErrorKind::Artifact)
            .with_message("nobody noted which registered model it is")
    })
}

fn unusable(spec: &VersionSpec, model: &Model) -> Vec<Problem> {
    let mut problems = Vec::new();
    if model.explanation_spec.is_some() && !convert::own(spec).disable_explanations {
        problems.push(Problem::at(
            "vertex_ai.disable_explanations",
            "A model with explanations",
            "Rolling deployments cannot serve explanations: set vertex_ai = { disable_explanations = true }.",
        ));
    }
    let kinds = &model.supported_deployment_resources_types;
    if !kinds.is_empty() && kinds.iter().all(|kind| kind != "DEDICATED_RESOURCES") {
        let detail = format!("It runs on {} only, and not on machines of its own.", kinds.join(", "));
        problems.push(Problem::at("model.source", "A model that cannot be deployed this way", detail));
    }
    problems
}
