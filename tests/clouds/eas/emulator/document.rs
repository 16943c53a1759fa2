//! Service documents: what they may hold, how they are merged, and how they are stored.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// What a value may be.
enum Shape {
    Text,
    Number,
    Flag,
    /// A count, or a text such as `25%`.
    Share,
    /// Any keys, with texts as values.
    Texts,
    Object(&'static [(&'static str, Shape)]),
    List(&'static Shape),
}

use Shape::{Flag, List, Number, Object, Share, Text, Texts};

const PROBE: Shape = Object(&[
    ("http_get", Object(&[("path", Text), ("port", Number)])),
    ("tcp_socket", Object(&[("port", Number)])),
    ("exec", Object(&[("command", List(&Text))])),
    ("initial_delay_seconds", Number),
    ("period_seconds", Number),
    ("timeout_seconds", Number),
    ("success_threshold", Number),
    ("failure_threshold", Number),
]);

const CONTAINER: Shape = Object(&[
    ("image", Text),
    ("port", Number),
    ("script", Text),
    ("command", Text),
    ("args", List(&Text)),
    ("env", List(&Object(&[("name", Text), ("value", Text)]))),
    ("startup_check", PROBE),
    ("liveness_check", PROBE),
    ("readiness_check", PROBE),
]);

const METADATA: Shape = Object(&[
    ("name", Text),
    ("instance", Number),
    ("workspace_id", Text),
    ("group", Text),
    ("resource", Text),
    ("quota_id", Text),
    ("cpu", Number),
    ("memory", Number),
    ("gpu", Number),
    ("disk", Text),
    ("shm_size", Number),
    ("enable_webservice", Flag),
    ("rolling_strategy", Object(&[("max_surge", Share), ("max_unavailable", Share)])),
    ("eas", Object(&[("termination_grace_period", Number)])),
    (
        "rpc",
        Object(&[
            ("enable_sigterm", Flag),
            ("keepalive", Number),
            ("max_queue_size", Number),
            ("rate_limit", Number),
            ("worker_threads", Number),
        ]),
    ),
]);

const STORAGE: Shape = Object(&[
    ("mount_path", Text),
    ("oss", Object(&[("path", Text), ("readOnly", Flag)])),
    ("nfs", Object(&[("server", Text), ("path", Text)])),
    ("dataset", Object(&[("id", Text), ("version", Text), ("read_only", Flag)])),
]);

const CLOUD: Shape = Object(&[
    ("computing", Object(&[("instance_type", Text), ("instances", List(&Object(&[("type", Text)])))])),
    ("networking", Object(&[("vpc_id", Text), ("vswitch_id", Text), ("security_group_id", Text)])),
    ("container_registry", Object(&[("instance_id", Text)])),
]);

const DOCUMENT: Shape = Object(&[
    ("metadata", METADATA),
    ("containers", List(&CONTAINER)),
    ("storage", List(&STORAGE)),
    ("cloud", CLOUD),
    ("features", Texts),
    ("labels", Texts),
    ("options", Object(&[("priority", Number), ("enable_cache", Flag)])),
    ("runtime", Object(&[("termination_grace_period", Number)])),
    ("dockerAuth", Text),
    ("token", Text),
]);

/// Reads a document and brings it into one form: keys with dots become objects.
pub fn parse(body: &[u8]) -> Result<Value, Refusal> {
    let document: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("The service config is not valid JSON: {error}")))?;
    if !document.is_object() {
        return Err(Refusal::bad_request("The service config is not an object."));
    }
    Ok(expand(document))
}

/// Refuses a document that the service would not take.
pub fn check(document: &Value) -> Result<(), Refusal> {
    check_shape("", document, &DOCUMENT).map_err(Refusal::bad_request)?;
    check_metadata(&document["metadata"]).map_err(Refusal::bad_request)?;
    check_containers(&document["containers"]).map_err(Refusal::bad_request)?;
    let metadata = &document["metadata"];
    if metadata["resource"].is_string() && document["cloud"]["computing"].is_object() {
        return Err(Refusal::bad_request("metadata.resource and cloud.computing exclude each other."));
    }
    for storage in document["storage"].as_array().into_iter().flatten() {
        let sources = ["oss", "nfs", "dataset"].iter().filter(|source| storage[**source].is_object()).count();
        if sources != 1 || !storage["mount_path"].as_str().is_some_and(|path| path.starts_with('/')) {
            return Err(Refusal::bad_request("storage: one source and an absolute mount_path are required."));
        }
    }
    Ok(())
}

/// Lays one document over another. Nothing goes away.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// The document as the service tells it: perhaps with other keys than were sent, never with secrets.
pub fn stored(document: &Value, rewritten: bool) -> Value {
    let mut document = document.clone();
    let Some(blocks) = document.as_object_mut() else { return document };
    for secret in ["token", "dockerAuth"] {
        if let Some(value) = blocks.get_mut(secret) {
            *value = "******".into();
        }
    }
    if rewritten {
        let eas =
            blocks.get_mut("metadata").and_then(Value::as_object_mut).and_then(|block| block.remove("eas"));
        if let Some(eas) = eas {
            blocks.insert("runtime".into(), eas);
        }
        blocks.entry("labels").or_insert_with(|| json!({}));
        blocks["metadata"]["enable_webservice"] = false.into();
    }
    document
}

/// Replicas that the document asks for.
pub fn instances(document: &Value) -> Option<u32> {
    document["metadata"]["instance"].as_u64().and_then(|count| u32::try_from(count).ok())
}

/// Seconds that a replica gets to finish its requests.
pub fn grace(document: &Value) -> u64 {
    let aliases = [&document["metadata"]["eas"], &document["runtime"]];
    aliases.iter().find_map(|block| block["termination_grace_period"].as_u64()).unwrap_or(30)
}

/// The image of the first container.
pub fn image(document: &Value) -> &str {
    document["containers"][0]["image"].as_str().unwrap_or_default()
}

/// Replicas above, and below, the wanted number during an update.
pub fn limits(document: &Value, wanted: u32) -> (u32, u32) {
    let strategy = &document["metadata"]["rolling_strategy"];
    let dedicated = document["metadata"]["resource"].is_string();
    let surge = share(&strategy["max_surge"], wanted, true).unwrap_or_else(|| (wanted * 2).div_ceil(100));
    let unavailable = share(&strategy["max_unavailable"], wanted, false).unwrap_or(u32::from(dedicated));
    (surge.max(1), unavailable)
}

/// A count, or a percent of `whole`.
pub fn share(value: &Value, whole: u32, up: bool) -> Option<u32> {
    if let Some(count) = value.as_u64() {
        return u32::try_from(count).ok();
    }
    let text = value.as_str()?;
    let Some(percent) = text.strip_suffix('%') else { return text.parse().ok() };
    let hundredths = percent.parse::<u32>().ok().filter(|percent| *percent <= 100)? * whole;
    Some(if up { hundredths.div_ceil(100) } else { hundredths / 100 })
}

fn check_shape(path: &str, value: &Value, shape: &Shape) -> Result<(), String> {
    let fits = match (shape, value) {
        (Text, Value::String(_)) | (Flag, Value::Bool(_)) => true,
        (Number, Value::Number(number)) => number.is_u64(),
        (Share, value) => share(value, 100, true).is_some(),
        (Texts, Value::Object(texts)) => texts.values().all(Value::is_string),
        (List(shape), Value::Array(items)) => {
            return items.iter().try_for_each(|item| check_shape(&format!("{path}[]"), item, shape));
        }
        (Object(fields), Value::Object(object)) => return check_fields(path, object, fields),
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("Invalid value of {path}: {value}")) }
}

fn check_fields(path: &str, object: &Map<String, Value>, fields: &[(&str, Shape)]) -> Result<(), String> {
    object.iter().try_for_each(|(key, value)| {
        let path = format!("{path}.{key}").trim_start_matches('.').to_owned();
        let field = fields.iter().find(|(name, _)| name == key);
        let (_, shape) = field.ok_or_else(|| format!("Unknown field {path}"))?;
        check_shape(&path, value, shape)
    })
}

fn check_metadata(metadata: &Value) -> Result<(), String> {
    let name = metadata["name"].as_str().ok_or("metadata.name is required")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !(3..=63).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(format!(
            "Invalid service name {name}: 3 to 63 lower-case letters, digits and underscores"
        ));
    }
    if instances(&json!({ "metadata": metadata })).is_none_or(|count| count == 0) {
        return Err("metadata.instance must be at least 1".into());
    }
    if share(&metadata["rolling_strategy"]["max_surge"], 100, true) == Some(0) {
        return Err("metadata.rolling_strategy.max_surge must be positive".into());
    }
    Ok(())
}

fn check_containers(containers: &Value) -> Result<(), String> {
    let containers = containers.as_array().filter(|containers| !containers.is_empty());
    for container in containers.ok_or("containers is required")? {
        if container["image"].as_str().is_none_or(str::is_empty) {
            return Err("containers[].image is required".into());
        }
        if container["script"].is_string() && container["command"].is_string() {
            return Err("containers[]: script and command exclude each other".into());
        }
        if [8080, 9090].contains(&container["port"].as_u64().unwrap_or_default()) {
            return Err("containers[].port: 8080 and 9090 are used by the service itself".into());
        }
        for check in ["startup_check", "liveness_check", "readiness_check"] {
            let probe = &container[check];
            let ways =
                ["http_get", "tcp_socket", "exec"].iter().filter(|way| probe[**way].is_object()).count();
            if probe.is_object() && ways != 1 {
                return Err(format!("containers[].{check}: exactly one of http_get, tcp_socket, exec"));
            }
            if probe["success_threshold"].as_u64().is_some_and(|n| n != 1) && check != "readiness_check" {
                return Err(format!("containers[].{check}.success_threshold must be 1"));
            }
            if ["period_seconds", "timeout_seconds", "failure_threshold"].iter().any(|key| probe[*key] == 0) {
                return Err(format!("containers[].{check}: periods and thresholds must be at least 1"));
            }
        }
    }
    Ok(())
}

fn expand(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut expanded = Value::Object(Map::new());
            for (key, value) in object {
                let is_free = ["features", "labels", "Labels"].contains(&key.as_str());
                let mut inner = if is_free { value } else { expand(value) };
                for part in key.rsplit('.') {
                    inner = json!({ part: inner });
                }
                merge(&mut expanded, &inner);
            }
            expanded
        }
        Value::Array(items) => Value::Array(items.into_iter().map(expand).collect()),
        value => value,
    }
}
