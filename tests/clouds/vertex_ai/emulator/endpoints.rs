//! Endpoints: what is kept of them, and the calls that create, read, change and delete them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::PROJECT_NUMBER;
use super::call::Call;
use super::messages::{ENDPOINT, UPDATE_ENDPOINT};
use super::operations::id_of;
use super::refusal::{Code, Refusal};
use super::rolling::{Deployed, Watched};
use super::routes::{Place, key};
use super::shape::{camel, read, show};
use super::traffic;
use super::world::{Quirk, World};

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    pub id: String,
    pub location: String,
    /// What callers set.
    pub given: Map<String, Value>,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Changes with every change.
    pub revision: u64,
    pub deployed: Vec<Deployed>,
    pub split: BTreeMap<String, i64>,
    /// Splits that take effect later.
    pub later: Vec<(Timestamp, BTreeMap<String, i64>)>,
    /// What the replicas of this endpoint have been through.
    pub watched: Watched,
    /// Requests answered, by the deployed model that answered.
    pub answered: BTreeMap<String, u64>,
    /// Requests that found no ready replica.
    pub lost: u64,
    /// How far each deployed model is behind its share of requests.
    pub owed: BTreeMap<String, i64>,
}

impl Endpoint {
    fn new(id: &str, location: &str, given: Map<String, Value>, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            location: location.to_owned(),
            given,
            created: now,
            updated: now,
            revision: 1,
            deployed: Vec::new(),
            split: BTreeMap::new(),
            later: Vec::new(),
            watched: Watched::default(),
            answered: BTreeMap::new(),
            lost: 0,
            owed: BTreeMap::new(),
        }
    }

    /// Its full name, with the number of the project.
    pub fn name(&self) -> String {
        format!("projects/{PROJECT_NUMBER}/locations/{}/endpoints/{}", self.location, self.id)
    }

    /// Notes a change: its time, and another etag.
    pub fn touch(&mut self, now: Timestamp) {
        self.updated = now;
        self.revision += 1;
    }

    pub fn etag(&self) -> String {
        format!("AMEw9y{:08x}", self.revision.wrapping_mul(2_654_435_761) & 0xffff_ffff)
    }

    /// Whether it shares its serving address with other endpoints.
    pub fn is_shared_public(&self) -> bool {
        let is_on = |name: &str| self.given.get(name).and_then(Value::as_bool).unwrap_or(false);
        let private = self
            .given
            .get("privateServiceConnectConfig")
            .is_some_and(|config| config["enablePrivateServiceConnect"].as_bool().unwrap_or(false));
        !is_on("dedicatedEndpointEnabled") && !private && !self.given.contains_key("network")
    }

    /// The address of its own, where it has one.
    pub fn dns(&self) -> Option<String> {
        let is_dedicated = self.given.get("dedicatedEndpointEnabled").and_then(Value::as_bool) == Some(true);
        is_dedicated
            .then(|| format!("{}.{}-{PROJECT_NUMBER}.prediction.vertexai.goog", self.id, self.location))
    }

    pub fn find(&self, id: &str) -> Option<&Deployed> {
        self.deployed.iter().find(|deployed| deployed.id == id)
    }

    pub fn find_mut(&mut self, id: &str) -> Option<&mut Deployed> {
        self.deployed.iter_mut().find(|deployed| deployed.id == id)
    }
}

impl World {
    /// The endpoint with this id, wherever it is.
    pub fn endpoint(&self, id: &str) -> &Endpoint {
        self.endpoints
            .values()
            .find(|endpoint| endpoint.id == id)
            .unwrap_or_else(|| panic!("no endpoint {id}"))
    }

    /// The ids of all endpoints.
    pub fn endpoint_ids(&self) -> Vec<String> {
        self.endpoints.values().map(|endpoint| endpoint.id.clone()).collect()
    }

    /// The deployed models of an endpoint: model version, share of the traffic, ready replicas.
    pub fn deployed(&self, id: &str) -> Vec<(String, i64, usize)> {
        let endpoint = self.endpoint(id);
        let models = endpoint.deployed.iter();
        models
            .map(|deployed| {
                let name = format!("{}@{}", id_of(&deployed.model), deployed.version);
                let share = endpoint.split.get(&deployed.id).copied().unwrap_or(0);
                (name, share, deployed.ready(&self.script, self.now))
            })
            .collect()
    }

    /// Replicas that were ever started on an endpoint, for models that are still deployed.
    pub fn started(&self, id: &str) -> u64 {
        self.endpoint(id).deployed.iter().map(|deployed| deployed.started).sum()
    }

    /// The autoscaler goes to so many replicas of what has the traffic.
    pub fn scale_out(&mut self, id: &str, replicas: usize) {
        let endpoint = self.endpoints.values_mut().find(|endpoint| endpoint.id == id).unwrap();
        let live: Vec<String> = endpoint.split.keys().cloned().collect();
        for deployed in endpoint.deployed.iter_mut().filter(|deployed| live.contains(&deployed.id)) {
            deployed.scaled = Some(replicas);
        }
        self.advance(60);
    }

    /// Somebody else deploys a version of a model, with machines of its own and a share of the traffic.
    pub fn deploy_foreign(&mut self, location: &str, endpoint: &str, model: &str, split: &Value) {
        let machine = json!({
            "machineType": "g2-standard-12", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1,
        });
        let resources = json!({ "minReplicaCount": 4, "maxReplicaCount": 4, "machineSpec": machine });
        let model = format!("projects/{PROJECT_NUMBER}/locations/{location}/models/{model}");
        let deployed = json!({
            "id": "7", "displayName": "by hand", "model": model, "enableContainerLogging": true,
            "dedicatedResources": resources,
        });
        self.deploy_by_hand(location, endpoint, &json!({ "deployedModel": deployed, "trafficSplit": split }));
    }

    /// Somebody else deploys a model to machines that the service chooses, and gives it all the traffic.
    pub fn deploy_automatic(&mut self, location: &str, endpoint: &str, model: &str) {
        let model = format!("projects/{PROJECT_NUMBER}/locations/{location}/models/{model}");
        let resources = json!({ "minReplicaCount": 4, "maxReplicaCount": 4 });
        let deployed = json!({ "model": model, "automaticResources": resources });
        self.deploy_by_hand(
            location,
            endpoint,
            &json!({ "deployedModel": deployed, "trafficSplit": { "0": 100 } }),
        );
    }

    fn deploy_by_hand(&mut self, location: &str, endpoint: &str, body: &Value) {
        let target = format!(
            "/v1beta1/projects/{PROJECT_NUMBER}/locations/{location}/endpoints/{endpoint}:deployModel"
        );
        let call = Call::new("POST", &target, BTreeMap::new(), body.to_string().into_bytes());
        let place = super::routes::place(&call).unwrap();
        self.deploy_model(&place, body).unwrap();
        self.advance(120);
    }

    /// Somebody else deletes an endpoint with all that is deployed to it.
    pub fn remove_endpoint(&mut self, id: &str) {
        self.endpoints.retain(|_, endpoint| endpoint.id != id);
    }

    /// Somebody else creates an endpoint.
    pub fn create_foreign(&mut self, location: &str, endpoint: &str) {
        let target = format!(
            "/v1beta1/projects/{PROJECT_NUMBER}/locations/{location}/endpoints?endpointId={endpoint}"
        );
        let body = json!({ "displayName": "by hand" });
        let call = Call::new("POST", &target, BTreeMap::new(), Vec::new());
        let place = super::routes::place(&call).unwrap();
        self.create_endpoint(&call, &place, &body).unwrap();
        self.advance(60);
    }

    pub(super) fn create_endpoint(
        &mut self,
        call: &Call,
        place: &Place,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let mut given = read(body, &ENDPOINT, place.version)?;
        given.remove("etag");
        check_settings(&given)?;
        if given.remove("trafficSplit").is_some_and(|split| split != json!({})) {
            return Err(Refusal::value("endpoint.traffic_split", "No deployed model can get traffic yet."));
        }
        let id = match call.query.get("endpointId").filter(|id| !id.is_empty()) {
            Some(id) => check_id(id)?,
            None => self.next_id(),
        };
        let key = key(&place.location, &id);
        if self.endpoints.contains_key(&key) || self.being_created.contains(&key) {
            let message = format!("Endpoint with ID {id} already exists.");
            return Err(Refusal::new(Code::AlreadyExists, message));
        }
        let (location, parent) = (place.location.clone(), format!("{}/endpoints/{id}", place.location));
        self.being_created.insert(key.clone());
        let effect = move |world: &mut Self| {
            let endpoint = Endpoint::new(&id, &location, given, world.now);
            let value = world.endpoint_value(&endpoint, true);
            world.being_created.remove(&key);
            world.endpoints.insert(key, endpoint);
            Ok(value)
        };
        Ok(self.start_operation("CreateEndpoint", &parent, place.version, Box::new(effect)))
    }

    pub(super) fn get_endpoint(&self, call: &Call, place: &Place) -> Result<Value, Refusal> {
        let all = call.query.get("allDeploymentStates").is_some_and(|value| value == "true");
        let endpoint = self.endpoint_at(place)?;
        Ok(show(&self.endpoint_value(endpoint, all), &ENDPOINT, place.version))
    }

    pub(super) fn list_endpoints(&self, call: &Call, place: &Place) -> Result<Value, Refusal> {
        let filter = call.query.get("filter").map_or("", String::as_str);
        let mut shown = Vec::new();
        for endpoint in self.endpoints.values().filter(|endpoint| endpoint.location == place.location) {
            if is_match(endpoint, filter)? {
                shown.push(show(&self.endpoint_value(endpoint, false), &ENDPOINT, place.version));
            }
        }
        let size = call.query.get("pageSize").and_then(|size| size.parse().ok()).unwrap_or(100_usize);
        let start = call.query.get("pageToken").and_then(|token| token.parse().ok()).unwrap_or(0_usize);
        let page: Vec<Value> = shown.iter().skip(start).take(size.clamp(1, 100)).cloned().collect();
        let mut answer = if page.is_empty() { json!({}) } else { json!({ "endpoints": page }) };
        if start + page.len() < shown.len() {
            answer["nextPageToken"] = json!((start + page.len()).to_string());
        }
        Ok(answer)
    }

    pub(super) fn patch_endpoint(
        &mut self,
        call: &Call,
        place: &Place,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let given = read(body, &ENDPOINT, place.version)?;
        let mask = call.query.get("updateMask").filter(|mask| !mask.is_empty());
        let mask = mask.ok_or_else(|| Refusal::value("update_mask", "Required field is not set."))?;
        let fields: Vec<String> = mask.split(',').map(camel).collect();
        let writable =
            ["displayName", "description", "labels", "trafficSplit", "predictRequestResponseLoggingConfig"];
        for field in &fields {
            if !writable.contains(&field.as_str()) {
                return Err(Refusal::value("update_mask", &format!("Field {field} cannot be updated.")));
            }
        }
        let is_precondition = self.has(Quirk::StaleEtagIsPrecondition);
        let now = self.now;
        let meddles = self.script.meddlers > 0;
        self.script.meddlers = self.script.meddlers.saturating_sub(1);
        let endpoint = self.endpoint_at_mut(place)?;
        if meddles {
            endpoint.given.insert("labels".to_owned(), json!({ "somebody": "else" }));
            endpoint.touch(now);
        }
        let etag = given.get("etag").and_then(Value::as_str).unwrap_or_default();
        if !etag.is_empty() && etag != endpoint.etag() {
            let code = if is_precondition { Code::FailedPrecondition } else { Code::Aborted };
            return Err(Refusal::new(
                code,
                "The etag does not match: the endpoint has changed since it was read.",
            ));
        }
        let mut changed = endpoint.given.clone();
        for field in fields.iter().filter(|field| *field != "trafficSplit") {
            match given.get(field) {
                Some(value) => changed.insert(field.clone(), value.clone()),
                None => changed.remove(field),
            };
        }
        check_settings(&changed)?;
        if fields.iter().any(|field| field == "trafficSplit") {
            let split = traffic::parse(given.get("trafficSplit").unwrap_or(&json!({})))?;
            traffic::check(&split, endpoint, None)?;
            endpoint.split = split;
        }
        endpoint.given = changed;
        endpoint.touch(now);
        let endpoint = self.endpoint_at(place)?;
        Ok(show(&self.endpoint_value(endpoint, false), &ENDPOINT, place.version))
    }

    /// The service honours one field here and ignores all others.
    pub(super) fn update_endpoint(&mut self, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let given = read(body, &UPDATE_ENDPOINT, place.version)?;
        let config =
            given.get("endpoint").and_then(|endpoint| endpoint.get("clientConnectionConfig")).cloned();
        let (key, parent) = (place.key(), self.parent(place)?);
        let effect = move |world: &mut Self| {
            let now = world.now;
            let Some(endpoint) = world.endpoints.get_mut(&key) else { return Err(gone(&key)) };
            if let Some(config) = config {
                endpoint.given.insert("clientConnectionConfig".to_owned(), config);
                endpoint.touch(now);
            }
            Ok(world.endpoint_value(&world.endpoints[&key], true))
        };
        Ok(self.start_operation("UpdateEndpoint", &parent, place.version, Box::new(effect)))
    }

    pub(super) fn delete_endpoint(&mut self, place: &Place) -> Result<Value, Refusal> {
        let endpoint = self.endpoint_at(place)?;
        if !endpoint.deployed.is_empty() {
            let message = format!(
                "Endpoint {} has deployed or being deployed Models. Undeploy them before deleting the Endpoint.",
                endpoint.name()
            );
            return Err(Refusal::precondition(message));
        }
        let (key, parent) = (place.key(), self.parent(place)?);
        let effect = move |world: &mut Self| {
            world.endpoints.remove(&key);
            Ok(json!({}))
        };
        Ok(self.start_operation("DeleteEndpoint", &parent, place.version, Box::new(effect)))
    }

    pub(super) fn endpoint_at(&self, place: &Place) -> Result<&Endpoint, Refusal> {
        self.endpoints.get(&place.key()).ok_or_else(|| gone(&place.key()))
    }

    pub(super) fn endpoint_at_mut(&mut self, place: &Place) -> Result<&mut Endpoint, Refusal> {
        self.endpoints.get_mut(&place.key()).ok_or_else(|| gone(&place.key()))
    }

    /// The part of an operation's name that names the endpoint.
    pub(super) fn parent(&self, place: &Place) -> Result<String, Refusal> {
        let endpoint = self.endpoint_at(place)?;
        Ok(format!("{}/endpoints/{}", endpoint.location, endpoint.id))
    }

    /// An endpoint with everything that any version of the API shows.
    pub(super) fn endpoint_value(&self, endpoint: &Endpoint, all_states: bool) -> Value {
        let mut value = Value::Object(endpoint.given.clone());
        let deployed = endpoint.deployed.iter().filter(|deployed| all_states || !deployed.is_hidden());
        value["name"] = json!(endpoint.name());
        value["deployedModels"] =
            deployed.map(|deployed| self.deployed_value(deployed, all_states)).collect();
        if !endpoint.split.is_empty() {
            value["trafficSplit"] = json!(endpoint.split);
        }
        value["etag"] = json!(endpoint.etag());
        value["createTime"] = json!(endpoint.created.to_string());
        value["updateTime"] = json!(endpoint.updated.to_string());
        if let Some(dns) = endpoint.dns() {
            value["dedicatedEndpointDns"] = json!(dns);
        }
        value
    }

    /// A deployed model with everything that any version of the API shows.
    pub(super) fn deployed_value(&self, deployed: &Deployed, all_states: bool) -> Value {
        let mut value = Value::Object(deployed.given.clone());
        let suffix = format!("@{}", deployed.version);
        let suffix = if self.has(Quirk::DropsVersionSuffix) { "" } else { &suffix };
        value["id"] = json!(deployed.id);
        value["model"] = json!(format!("{}{suffix}", deployed.model));
        value["modelVersionId"] = json!(deployed.version);
        value["createTime"] = json!(deployed.created.to_string());
        if value.get("displayName").is_none() {
            value["displayName"] = json!(id_of(&deployed.model));
        }
        value["status"] = json!({
            "message": deployed.message,
            "lastUpdateTime": deployed.updated.to_string(),
            "availableReplicaCount": deployed.ready(&self.script, self.now),
        });
        match &deployed.rollout {
            Some(rollout) if deployed.is_hidden() || !self.has(Quirk::ForgetsRolloutOptions) => {
                value["rolloutOptions"] = rollout.value();
            }
            _ => {}
        }
        if all_states && deployed.is_hidden() {
            value["state"] = json!("BEING_DEPLOYED");
        } else if all_states && self.has(Quirk::NamesSettledState) {
            value["state"] = json!("DEPLOYED");
        }
        value
    }
}

fn gone(key: &str) -> Refusal {
    let name = key.replace('/', "/endpoints/");
    Refusal::new(
        Code::NotFound,
        format!("Endpoint `projects/{PROJECT_NUMBER}/locations/{name}` is not found."),
    )
}

/// Client-chosen ids: a word of at most 63, or a number of at most nine digits.
fn check_id(id: &str) -> Result<String, Refusal> {
    let is_number = id.bytes().all(|byte| byte.is_ascii_digit()) && id.len() <= 9 && !id.starts_with('0');
    let is_word = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.len() <= 63
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !id.ends_with('-');
    if is_number || is_word {
        return Ok(id.to_owned());
    }
    let why = "The ID must be up to 63 characters of [a-z0-9-] that start with a letter and end with a letter or \
               digit, or up to 9 digits without a leading zero.";
    Err(Refusal::value("endpoint_id", why))
}

fn check_settings(given: &Map<String, Value>) -> Result<(), Refusal> {
    let name = given.get("displayName").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::value("endpoint.display_name", "Required field is not set."));
    }
    if name.len() > 128 {
        return Err(Refusal::value("endpoint.display_name", "The length must be at most 128."));
    }
    for (label, value) in given.get("labels").and_then(Value::as_object).into_iter().flatten() {
        let texts = [label.as_str(), value.as_str().unwrap_or_default()];
        let is_fine = |text: &str| {
            text.chars().count() <= 64
                && text.chars().all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || "_-".contains(c))
        };
        if label.is_empty() || !texts.into_iter().all(is_fine) {
            return Err(Refusal::value("endpoint.labels", &format!("Label {label} is invalid.")));
        }
    }
    if given.contains_key("network") && given.contains_key("privateServiceConnectConfig") {
        return Err(Refusal::value(
            "endpoint.network",
            "Only one of network and private service connect can be set.",
        ));
    }
    Ok(())
}

/// The filters that the service documents, one condition at a time.
fn is_match(endpoint: &Endpoint, filter: &str) -> Result<bool, Refusal> {
    let mut all = true;
    for condition in filter.split(" AND ").map(str::trim).filter(|condition| !condition.is_empty()) {
        let text = |value: &str| value.trim().trim_matches('"').to_owned();
        let label = |name: &str| {
            let labels = endpoint.given.get("labels").and_then(Value::as_object);
            labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).map(str::to_owned)
        };
        let display = endpoint.given.get("displayName").and_then(Value::as_str).unwrap_or_default();
        let holds = if let Some((name, value)) = condition.split_once("!=") {
            is_name(name) && display != text(value)
        } else if let Some((name, value)) = condition.split_once('=') {
            match name.trim() {
                "endpoint" => endpoint.id == text(value),
                name if is_name(name) => display == text(value),
                name => match name.strip_prefix("labels.") {
                    Some(name) => label(name) == Some(text(value)),
                    None => return Err(Refusal::value("filter", &format!("Invalid filter: {condition}"))),
                },
            }
        } else {
            match condition.strip_prefix("labels.").and_then(|rest| rest.strip_suffix(":*")) {
                Some(name) => label(name).is_some(),
                None => return Err(Refusal::value("filter", &format!("Invalid filter: {condition}"))),
            }
        };
        all &= holds;
    }
    Ok(all)
}

fn is_name(name: &str) -> bool {
    ["displayName", "display_name"].contains(&name.trim())
}
