//! The model registry: models, their numbered versions and aliases.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::PROJECT_NUMBER;
use super::messages::{MERGE_ALIASES, MODEL, UPLOAD};
use super::refusal::{Code, Refusal};
use super::routes::{Place, key};
use super::shape::{read, show};
use super::world::World;

/// A model.
#[derive(Debug)]
pub struct Model {
    pub id: String,
    pub location: String,
    versions: Vec<ModelVersion>,
    next: u64,
    created: Timestamp,
}

/// A version of a model.
#[derive(Debug, Clone)]
pub struct ModelVersion {
    pub id: String,
    pub aliases: Vec<String>,
    pub given: Map<String, Value>,
    pub created: Timestamp,
}

impl ModelVersion {
    /// The predict route and the health route.
    pub fn routes(&self) -> [Option<&str>; 2] {
        let container = self.given.get("containerSpec");
        ["predictRoute", "healthRoute"].map(|route| container?.get(route)?.as_str())
    }

    /// Seconds after which a deployment has failed, where the version says so.
    pub fn deployment_timeout(&self) -> Option<i64> {
        let text = self.given.get("containerSpec")?.get("deploymentTimeout")?.as_str()?;
        text.strip_suffix('s')?.parse().ok()
    }
}

impl Model {
    fn name(&self) -> String {
        format!("projects/{PROJECT_NUMBER}/locations/{}/models/{}", self.location, self.id)
    }

    fn find(&self, word: &str) -> Option<&ModelVersion> {
        let word = if word.is_empty() { "default" } else { word };
        self.versions
            .iter()
            .find(|version| version.id == word || version.aliases.iter().any(|alias| alias == word))
    }
}

impl World {
    /// The versions of a model.
    pub fn model_versions(&self, id: &str) -> Vec<String> {
        let models = self.models.values().filter(|model| model.id == id);
        models.flat_map(|model| model.versions.iter().map(|version| version.id.clone())).collect()
    }

    /// Somebody else registers a version of a model, with these routes.
    pub fn register(&mut self, location: &str, id: &str, container: &Value) -> String {
        let mut given = Map::new();
        given.insert("displayName".to_owned(), json!(id));
        given.insert("containerSpec".to_owned(), container.clone());
        self.add_version(location, id, given)
    }

    /// Somebody else gives a model version an explanation spec.
    pub fn explain(&mut self, id: &str, number: &str) {
        let versions =
            self.models.values_mut().filter(|model| model.id == id).flat_map(|model| &mut model.versions);
        for version in versions.filter(|version| version.id == number) {
            version.given.insert("explanationSpec".to_owned(), json!({ "parameters": { "topK": 1 } }));
        }
    }

    fn add_version(&mut self, location: &str, id: &str, mut given: Map<String, Value>) -> String {
        let now = self.now;
        let model = self.models.entry(key(location, id)).or_insert_with(|| Model {
            id: id.to_owned(),
            location: location.to_owned(),
            versions: Vec::new(),
            next: 1,
            created: now,
        });
        let number = model.next.to_string();
        model.next += 1;
        let wanted = given.remove("versionAliases");
        let texts = wanted.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        let mut aliases: Vec<String> = texts.map(str::to_owned).collect();
        if model.versions.is_empty() && !aliases.iter().any(|alias| alias == "default") {
            aliases.push("default".to_owned());
        }
        for version in &mut model.versions {
            version.aliases.retain(|alias| !aliases.contains(alias));
        }
        model.versions.push(ModelVersion { id: number.clone(), aliases, given, created: now });
        number
    }

    pub(super) fn upload_model(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let mut request = read(body, &UPLOAD, place.version)?;
        let Some(Value::Object(given)) = request.remove("model") else {
            return Err(Refusal::value("model", "Required field is not set."));
        };
        check_model(&given)?;
        let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = match (text("parentModel"), text("modelId")) {
            ("", "") => self.next_id(),
            ("", id) if self.models.contains_key(&key(&place.location, id)) => {
                return Err(Refusal::new(Code::AlreadyExists, format!("Model {id} already exists.")));
            }
            ("", id) => check_id(id)?,
            (parent, _) => self.model_named(parent, "parent_model")?.id.clone(),
        };
        let location = place.location.clone();
        let name = format!("projects/{PROJECT_NUMBER}/locations/{location}/models/{id}");
        let parent = format!("{location}/models/{id}");
        let effect = move |world: &mut Self| {
            let number = world.add_version(&location, &id, given);
            Ok(json!({ "model": name, "modelVersionId": number }))
        };
        Ok(self.start_operation("UploadModel", &parent, place.version, Box::new(effect)))
    }

    pub(super) fn get_model(&self, place: &Place) -> Result<Value, Refusal> {
        let (model, version) = self.version_at(place)?;
        Ok(show(&self.model_value(model, version), &MODEL, place.version))
    }

    pub(super) fn list_models(&self, place: &Place) -> Value {
        let models = self.models.values().filter(|model| model.location == place.location);
        let shown: Vec<Value> = models
            .filter_map(|model| Some(show(&self.model_value(model, model.find("")?), &MODEL, place.version)))
            .collect();
        if shown.is_empty() { json!({}) } else { json!({ "models": shown }) }
    }

    pub(super) fn list_versions(&self, place: &Place) -> Result<Value, Refusal> {
        let (model, _) = self.version_at(place)?;
        let versions = model.versions.iter();
        let shown: Vec<Value> =
            versions.map(|version| show(&self.model_value(model, version), &MODEL, place.version)).collect();
        Ok(json!({ "models": shown }))
    }

    pub(super) fn delete_version(&mut self, place: &Place) -> Result<Value, Refusal> {
        let (model, version) = self.version_at(place)?;
        if model.versions.len() == 1 {
            return Err(Refusal::precondition(
                "The only version of a model cannot be deleted; delete the model.",
            ));
        }
        self.check_unused(model, Some(version))?;
        if version.aliases.iter().any(|alias| alias == "default") {
            return Err(Refusal::precondition("The default version of a model cannot be deleted."));
        }
        let (model, number) = (key(&model.location, &model.id), version.id.clone());
        let parent =
            format!("{}/models/{}", place.location, model.split('/').next_back().unwrap_or_default());
        let effect = move |world: &mut Self| {
            if let Some(model) = world.models.get_mut(&model) {
                model.versions.retain(|version| version.id != number);
            }
            Ok(json!({}))
        };
        Ok(self.start_operation("DeleteModelVersion", &parent, place.version, Box::new(effect)))
    }

    pub(super) fn delete_model(&mut self, place: &Place) -> Result<Value, Refusal> {
        let (model, _) = self.version_at(place)?;
        self.check_unused(model, None)?;
        let key = key(&model.location, &model.id);
        let parent = format!("{}/models/{}", model.location, model.id);
        let effect = move |world: &mut Self| {
            world.models.remove(&key);
            Ok(json!({}))
        };
        Ok(self.start_operation("DeleteModel", &parent, place.version, Box::new(effect)))
    }

    pub(super) fn merge_aliases(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let request = read(body, &MERGE_ALIASES, place.version)?;
        let (model, version) = self.version_at(place)?;
        let (key, number) = (key(&model.location, &model.id), version.id.clone());
        let aliases: Vec<&str> = request
            .get("versionAliases")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for version in self.models.get_mut(&key).into_iter().flat_map(|model| &mut model.versions) {
            for alias in &aliases {
                match alias.strip_prefix('-') {
                    Some(removed) if version.id == number => version.aliases.retain(|known| known != removed),
                    Some(_) => {}
                    None => {
                        version.aliases.retain(|known| known != alias);
                        if version.id == number {
                            version.aliases.push((*alias).to_owned());
                        }
                    }
                }
            }
        }
        self.get_model(place)
    }

    /// A model version by its full name, with a version or an alias behind the at sign.
    pub(super) fn resolve(&self, name: &str, field: &str) -> Result<(String, &ModelVersion), Refusal> {
        let (name, word) = name.split_once('@').unwrap_or((name, ""));
        let model = self.model_named(name, field)?;
        let version = model.find(word).ok_or_else(|| missing(&format!("{name}@{word}")))?;
        Ok((model.name(), version))
    }

    /// A version that is known to have been there.
    pub(super) fn resolve_version(
        &self,
        name: &str,
        number: &str,
    ) -> Result<(&ModelVersion, &Model), Refusal> {
        let model = self.model_named(name, "model")?;
        Ok((model.find(number).ok_or_else(|| missing(name))?, model))
    }

    fn model_named(&self, name: &str, field: &str) -> Result<&Model, Refusal> {
        let parts: Vec<&str> = name.split('/').collect();
        let ["projects", project, "locations", location, "models", id] = parts.as_slice() else {
            let why =
                if name.is_empty() { "Required field is not set." } else { "The resource name is invalid." };
            return Err(Refusal::value(field, why));
        };
        if ![super::PROJECT, PROJECT_NUMBER].contains(project) {
            let message = format!("Permission denied on resource project {project}.");
            return Err(Refusal::new(Code::PermissionDenied, message));
        }
        self.models.get(&key(location, id)).ok_or_else(|| missing(name))
    }

    fn version_at(&self, place: &Place) -> Result<(&Model, &ModelVersion), Refusal> {
        let text = place.rest.get(1).map_or("", String::as_str);
        let (id, word) = text.split_once('@').unwrap_or((text, ""));
        let model = self.models.get(&key(&place.location, id)).ok_or_else(|| missing(text))?;
        Ok((model, model.find(word).ok_or_else(|| missing(text))?))
    }

    fn check_unused(&self, model: &Model, version: Option<&ModelVersion>) -> Result<(), Refusal> {
        let is_used = self.endpoints.values().flat_map(|endpoint| &endpoint.deployed).any(|deployed| {
            deployed.model == model.name() && version.is_none_or(|version| version.id == deployed.version)
        });
        if is_used {
            let message = format!("Model {} is deployed or being deployed. Undeploy it first.", model.name());
            return Err(Refusal::precondition(message));
        }
        Ok(())
    }

    fn model_value(&self, model: &Model, version: &ModelVersion) -> Value {
        let mut value = Value::Object(version.given.clone());
        let used: Vec<Value> = self
            .endpoints
            .values()
            .flat_map(|endpoint| endpoint.deployed.iter().map(move |deployed| (endpoint, deployed)))
            .filter(|(_, deployed)| deployed.model == model.name() && deployed.version == version.id)
            .map(
                |(endpoint, deployed)| json!({ "endpoint": endpoint.name(), "deployedModelId": deployed.id }),
            )
            .collect();
        value["name"] = json!(model.name());
        value["versionId"] = json!(version.id);
        value["versionAliases"] = json!(version.aliases);
        value["versionCreateTime"] = json!(version.created.to_string());
        value["versionUpdateTime"] = json!(version.created.to_string());
        value["createTime"] = json!(model.created.to_string());
        value["updateTime"] = json!(version.created.to_string());
        value["supportedDeploymentResourcesTypes"] = json!(["DEDICATED_RESOURCES"]);
        value["deployedModels"] = json!(used);
        value["etag"] = json!(format!("AMEw9y{}", version.id));
        value
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::new(Code::NotFound, format!("The Model does not exist: {name}."))
}

fn check_id(id: &str) -> Result<String, Refusal> {
    let is_fine = id.len() <= 63
        && id.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    let why = "The ID must be up to 63 characters of [a-z0-9_-] and not start with a digit or hyphen.";
    if is_fine { Ok(id.to_owned()) } else { Err(Refusal::value("model_id", why)) }
}

fn check_model(given: &Map<String, Value>) -> Result<(), Refusal> {
    let name = given.get("displayName").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.len() > 128 {
        return Err(Refusal::value("model.display_name", "The length must be 1 to 128."));
    }
    let Some(container) = given.get("containerSpec") else {
        return Err(Refusal::value("model.container_spec", "Required field is not set."));
    };
    if container["imageUri"].as_str().unwrap_or_default().is_empty() {
        return Err(Refusal::value("model.container_spec.image_uri", "Required field is not set."));
    }
    for route in ["predictRoute", "healthRoute"] {
        if container[route].as_str().is_some_and(|path| !path.starts_with('/')) {
            let field = format!("model.container_spec.{}", super::shape::snake(route));
            return Err(Refusal::value(&field, "The route must start with a slash."));
        }
    }
    if given.get("artifactUri").and_then(Value::as_str).is_some_and(|uri| !uri.starts_with("gs://")) {
        return Err(Refusal::value("model.artifact_uri", "The URI must be a Cloud Storage path."));
    }
    let timeout = container["deploymentTimeout"].as_str();
    let seconds = timeout.map(|text| text.strip_suffix('s').and_then(|text| text.parse::<u32>().ok()));
    if seconds.is_some_and(|seconds| seconds.is_none_or(|seconds| seconds > 7200)) {
        return Err(Refusal::value("model.container_spec.deployment_timeout", "At most two hours."));
    }
    Ok(())
}
