//! Which call is which method of which API, and what its query may hold.

use serde_json::Value;

use super::call::{Call, Version};
use super::refusal::{Code, Refusal};
use super::world::World;
use super::{PROJECT, PROJECT_NUMBER};

/// A method: its name, verb, pattern below the location, custom verb, query.
struct Method(&'static str, &'static str, &'static [&'static str], &'static str, &'static [&'static str]);

const PAGE: &[&str] = &["filter", "pageSize", "pageToken", "readMask", "orderBy"];

const METHODS: &[Method] = &[
    Method("endpoints.create", "POST", &["endpoints"], "", &["endpointId"]),
    Method("endpoints.list", "GET", &["endpoints"], "", PAGE),
    Method("endpoints.get", "GET", &["endpoints", "*"], "", &["allDeploymentStates"]),
    Method("endpoints.patch", "PATCH", &["endpoints", "*"], "", &["updateMask"]),
    Method("endpoints.delete", "DELETE", &["endpoints", "*"], "", &[]),
    Method("endpoints.update", "POST", &["endpoints", "*"], "update", &[]),
    Method("endpoints.deployModel", "POST", &["endpoints", "*"], "deployModel", &[]),
    Method("endpoints.undeployModel", "POST", &["endpoints", "*"], "undeployModel", &[]),
    Method("endpoints.mutateDeployedModel", "POST", &["endpoints", "*"], "mutateDeployedModel", &[]),
    Method("endpoints.predict", "POST", &["endpoints", "*"], "predict", &[]),
    Method("endpoints.rawPredict", "POST", &["endpoints", "*"], "rawPredict", &[]),
    Method("models.upload", "POST", &["models"], "upload", &[]),
    Method("models.list", "GET", &["models"], "", PAGE),
    Method("models.get", "GET", &["models", "*"], "", &[]),
    Method("models.delete", "DELETE", &["models", "*"], "", &[]),
    Method("models.listVersions", "GET", &["models", "*"], "listVersions", PAGE),
    Method("models.deleteVersion", "DELETE", &["models", "*"], "deleteVersion", &[]),
    Method("models.mergeVersionAliases", "POST", &["models", "*"], "mergeVersionAliases", &[]),
];

/// Verbs on an operation, which stand below endpoints, models and the location itself.
const OPERATIONS: &[Method] = &[
    Method("operations.get", "GET", &["operations", "*"], "", &[]),
    Method("operations.list", "GET", &["operations"], "", PAGE),
    Method("operations.wait", "POST", &["operations", "*"], "wait", &["timeout"]),
    Method("operations.cancel", "POST", &["operations", "*"], "cancel", &[]),
    Method("operations.delete", "DELETE", &["operations", "*"], "", &[]),
];

/// Query parameters that Google's front end takes everywhere.
const SYSTEM: &[&str] =
    &["$alt", "alt", "$.xgafv", "prettyPrint", "$prettyPrint", "fields", "key", "quotaUser"];

/// What a call is about.
#[derive(Debug, Clone)]
pub struct Place {
    pub method: &'static str,
    pub version: Version,
    /// The path names no version: the one in which an operation was started counts.
    pub is_ui: bool,
    pub project: String,
    pub location: String,
    /// Segments below the location.
    pub rest: Vec<String>,
    query: &'static [&'static str],
}

impl Place {
    /// Whether clients poll with it.
    pub fn is_status(&self) -> bool {
        ["endpoints.get", "operations.get", "operations.wait"].contains(&self.method)
    }

    /// The endpoint or model that the path names, as a key of the world's maps.
    pub fn key(&self) -> String {
        key(&self.location, self.rest.get(1).map_or("", String::as_str))
    }
}

/// How the world's maps name an endpoint or a model.
pub fn key(location: &str, id: &str) -> String {
    format!("{location}/{id}")
}

/// Finds the method of a call.
pub fn place(call: &Call) -> Option<Place> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    if let Some(method) = beside(call, &segments) {
        let (project, location) = (PROJECT.to_owned(), String::new());
        let (version, query) = (
            Version::V1,
            &[
                "query",
                "time",
                "timeout",
                "filter",
                "pageSize",
                "pageToken",
                "orderBy",
                "interval.startTime",
                "interval.endTime",
                "aggregation.alignmentPeriod",
                "aggregation.perSeriesAligner",
                "aggregation.crossSeriesReducer",
                "aggregation.groupByFields",
                "scopes",
            ][..],
        );
        return Some(Place { method, version, is_ui: false, project, location, rest: Vec::new(), query });
    }
    let [word, "projects", project, "locations", location, rest @ ..] = segments.as_slice() else {
        return None;
    };
    let (version, is_ui) = match *word {
        "v1" => (Version::V1, false),
        "v1beta1" => (Version::Beta, false),
        "ui" => (Version::V1, true),
        _ => return None,
    };
    let fits = |method: &&Method, rest: &[&str]| {
        method.1 == call.method
            && method.3 == call.verb
            && method.2.len() == rest.len()
            && method.2.iter().zip(rest).all(|(pattern, part)| *pattern == "*" || pattern == part)
    };
    let tail = if let ["endpoints" | "models", _, tail @ ..] = rest { tail } else { rest };
    let method = METHODS.iter().filter(|_| !is_ui).find(|method| fits(method, rest));
    let method = method.or_else(|| OPERATIONS.iter().find(|method| fits(method, tail)))?;
    Some(Place {
        method: method.0,
        version,
        is_ui,
        project: (*project).to_owned(),
        location: (*location).to_owned(),
        rest: rest.iter().map(|part| (*part).to_owned()).collect(),
        query: method.4,
    })
}

/// Methods of the services that stand beside Vertex AI.
fn beside(call: &Call, segments: &[&str]) -> Option<&'static str> {
    Some(match (call.method.as_str(), segments, call.verb.as_str()) {
        ("POST", ["token"], "") => "oauth.token",
        ("POST", ["v1", "token"], "") => "sts.token",
        ("POST", ["v1", "projects", "-", "serviceAccounts", _], "generateAccessToken") => {
            "iamcredentials.generateAccessToken"
        }
        ("GET", ["computeMetadata", "v1", "instance", "service-accounts", "default", "token"], "") => {
            "metadata.token"
        }
        (
            "GET" | "POST",
            ["v1", "projects", _, "location", "global", "prometheus", "api", "v1", "query"],
            "",
        ) => "monitoring.query",
        ("GET", ["v3", "projects", _, "alerts"], "") => "monitoring.alerts",
        ("GET", ["v3", "projects", _, "alertPolicies", _], "") => "monitoring.getAlertPolicy",
        ("GET", ["v3", "projects", _, "timeSeries"], "") => "monitoring.timeSeries",
        _ => return None,
    })
}

pub fn no_such_method(call: &Call) -> Refusal {
    Refusal::new(Code::NotFound, format!("Method not found: {} {}", call.method, call.path))
}

/// Refuses query parameters that the method does not have.
pub fn check_query(call: &Call, place: &Place, refuses_all_states: bool) -> Result<(), Refusal> {
    for name in call.query.keys() {
        let is_known = place.query.contains(&name.as_str()) || SYSTEM.contains(&name.as_str());
        if !is_known || (refuses_all_states && name == "allDeploymentStates") {
            return Err(Refusal::payload(
                "",
                format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter. Field \
                     '{name}' could not be found in request message."
                ),
            ));
        }
    }
    Ok(())
}

/// Carries a call out.
pub fn carry_out(world: &mut World, call: &Call, place: &Place) -> Result<Value, Refusal> {
    if ![PROJECT, PROJECT_NUMBER].contains(&place.project.as_str()) {
        let message = format!("Permission denied on resource project {}.", place.project);
        return Err(Refusal::new(Code::PermissionDenied, message));
    }
    let Some(body) = json_of(call, place) else {
        return Err(Refusal::new(Code::InvalidArgument, "Invalid JSON payload received. Unexpected token."));
    };
    match place.method {
        "endpoints.create" => world.create_endpoint(call, place, &body),
        "endpoints.list" => world.list_endpoints(call, place),
        "endpoints.get" => world.get_endpoint(call, place),
        "endpoints.patch" => world.patch_endpoint(call, place, &body),
        "endpoints.delete" => world.delete_endpoint(place),
        "endpoints.update" => world.update_endpoint(place, &body),
        "endpoints.deployModel" => world.deploy_model(place, &body),
        "endpoints.undeployModel" => world.undeploy_model(place, &body),
        "endpoints.mutateDeployedModel" => world.mutate_deployed_model(place, &body),
        "endpoints.predict" | "endpoints.rawPredict" => world.predict(call, place, &body),
        "models.upload" => world.upload_model(place, &body),
        "models.list" => Ok(world.list_models(place)),
        "models.get" => world.get_model(place),
        "models.delete" => world.delete_model(place),
        "models.listVersions" => world.list_versions(place),
        "models.deleteVersion" => world.delete_version(place),
        "models.mergeVersionAliases" => world.merge_aliases(place, &body),
        "operations.get" | "operations.wait" => world.get_operation(place),
        "operations.list" => Ok(world.list_operations(place)),
        "operations.cancel" => world.cancel_operation(place),
        "operations.delete" => world.delete_operation(place),
        "monitoring.query" => world.monitoring.query(call, &body),
        "monitoring.alerts" => Ok(world.monitoring.list_alerts()),
        "monitoring.getAlertPolicy" => world.monitoring.get_policy(call),
        "monitoring.timeSeries" => world.monitoring.time_series(call),
        _ => world.grant_token(call, place, &body),
    }
}

/// The body as JSON, where the method takes JSON.
fn json_of(call: &Call, place: &Place) -> Option<Value> {
    let is_form =
        ["oauth.token", "sts.token", "monitoring.query", "endpoints.rawPredict"].contains(&place.method);
    call.json().or_else(|| is_form.then_some(Value::Null))
}
