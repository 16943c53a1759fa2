//! From a version to the service's document, and back to the version that a document is.

use serde_json::{Map, Value, json};

use super::signature::digest;
use crate::spec::{
    CountOrPercent, DeploymentPolicy, EasAutoscaling, EasVersion, PinnedVersion, TimeSpan, VersionNumber,
    VersionSpec,
};

/// The environment variable that tells a replica, and us, which version it runs.
pub(super) const MARK: &str = "SLUICE_VERSION";
/// The one that says of which settings that is true: who changes them elsewhere leaves both as they were.
const SEAL: &str = "SLUICE_SETTINGS";
/// Both of them.
pub(super) const MARKS: [&str; 2] = [MARK, SEAL];
/// Digits of a seal.
const SEAL_LENGTH: usize = 16;
/// Lets a service have update plans. Only at creation: it cannot be switched on later.
pub(super) const PLANS: &str = "eas.aliyun.com/enable-rollout";

/// Where a document is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub service: &'a str,
    pub group: &'a str,
    pub workspace: Option<&'a str>,
    pub replicas: u32,
}

/// The settings of a version that only this cloud knows.
pub(super) fn own(spec: &VersionSpec) -> EasVersion {
    spec.eas.clone().unwrap_or_default()
}

/// The whole document: what is not in it goes away.
pub(super) fn document(version: &PinnedVersion, policy: &DeploymentPolicy, place: Place<'_>) -> Value {
    let (spec, own) = (&version.spec, own(&version.spec));
    let grace = seconds(policy.drain.timeout) + seconds(policy.drain.unroute_delay);
    let mut metadata = json!({
        "name": place.service,
        "instance": place.replicas,
        "group": place.group,
        "rolling_strategy": {
            "max_surge": limit(policy.surge()),
            "max_unavailable": limit(policy.unavailable()),
        },
        "eas": { "termination_grace_period": grace.max(1) },
        "rpc": { "enable_sigterm": own.sigterm },
    });
    let gpus = own.resource.as_ref().and(spec.accelerator.as_ref()).map(|accelerator| accelerator.count);
    let optional = [
        ("workspace_id", place.workspace.map(Value::from)),
        ("resource", own.resource.clone().map(Value::from)),
        ("cpu", own.cpu.map(Value::from)),
        ("memory", own.memory_mb.map(Value::from)),
        ("gpu", gpus.map(Value::from)),
        ("shm_size", own.shm_size_gb.map(Value::from)),
    ];
    set(&mut metadata, optional);
    let mut document = json!({
        "metadata": metadata,
        "containers": [container(version, &own)],
        "storage": [{
            "mount_path": own.mount_path,
            "oss": { "path": spec.model.source, "readOnly": true },
        }],
        "features": { PLANS: "true" },
    });
    if let Some(cloud) = cloud(spec, &own) {
        set(&mut document, [("cloud", Some(cloud))]);
    }
    let seal = json!({ "name": SEAL, "value": essence(&document) });
    if let Some(env) = document.pointer_mut("/containers/0/env").and_then(Value::as_array_mut) {
        env.push(seal);
    }
    document
}

/// A digest of what a document says of a version. Only of what the service tells as it was told: it may spell other parts
/// differently, and add to them.
pub(super) fn essence(document: &Value) -> String {
    let containers = document.get("containers").and_then(Value::as_array).map(Vec::as_slice);
    let containers = containers.unwrap_or_default().iter().map(|container| {
        let env = container.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = env.iter().filter_map(|entry| {
            let name = entry.get("name")?.as_str()?;
            Some((name.to_owned(), entry.get("value")?.clone()))
        });
        let own: Map<String, Value> = named.filter(|(name, _)| !MARKS.contains(&name.as_str())).collect();
        json!([container.get("image"), container.get("port"), container.get("script"), own])
    });
    let containers: Vec<Value> = containers.collect();
    let storage = document.get("storage").and_then(Value::as_array).map(Vec::as_slice);
    let storage = storage.unwrap_or_default().iter();
    let storage: Vec<Value> =
        storage.map(|storage| json!([storage.get("mount_path"), storage.pointer("/oss/path")])).collect();
    let machine = [
        "/cloud/computing/instance_type",
        "/metadata/resource",
        "/metadata/cpu",
        "/metadata/memory",
        "/metadata/gpu",
    ];
    let machine = machine.map(|path| document.pointer(path));
    let text = json!([containers, storage, machine]).to_string();
    digest(text.as_bytes()).chars().take(SEAL_LENGTH).collect()
}

/// The autoscaler of a version, if it has one.
pub(super) fn autoscaler(spec: &VersionSpec) -> Option<Value> {
    let max = spec.scaling.max_replicas.filter(|max| *max > spec.scaling.min_replicas)?;
    let EasAutoscaling { metric, threshold } = own(spec).autoscaling?;
    Some(json!({
        "min": spec.scaling.min_replicas,
        "max": max,
        "scaleStrategies": [{ "metricName": metric, "threshold": threshold }],
    }))
}

/// The version that a document was made from, if it was made by us and is as we made it.
pub(super) fn version_of(document: &Value) -> Option<VersionNumber> {
    let env = document.pointer("/containers/0/env")?.as_array()?;
    let of = |name: &str| {
        let entry = env.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
        entry.get("value")?.as_str()
    };
    // Documents of earlier releases have no seal.
    let is_sealed = of(SEAL).is_none_or(|seal| seal == essence(document));
    of(MARK).filter(|_| is_sealed)?.parse().ok()
}

/// Whether a service that was created with this document can have update plans.
pub(super) fn can_plan(document: &Value) -> bool {
    let features = document.get("features").and_then(|features| features.get(PLANS));
    features.and_then(Value::as_str) == Some("true")
}

/// What stands for `$(NAME)` in commands and variables.
pub(super) fn fill(text: &str, own: &EasVersion) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, after) = rest.split_at(at);
        let inner = after.get(2..).unwrap_or_default();
        if let Some(literal) = before.strip_suffix('$') {
            filled.push_str(literal);
            filled.push_str("$(");
            rest = inner;
            continue;
        }
        let Some((name, tail)) = inner.split_once(')') else { break };
        filled.push_str(before);
        match name {
            "PORT" => filled.push_str(&own.port.to_string()),
            "MODEL_PATH" => filled.push_str(&own.mount_path),
            other => return Err(other.to_owned()),
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn container(version: &PinnedVersion, own: &EasVersion) -> Value {
    let spec = &version.spec;
    // What cannot be filled in was refused when it was planned.
    let filled = |text: &String| fill(text, own).unwrap_or_else(|_| text.clone());
    let mut env = vec![
        (MARK.to_owned(), version.number.to_string()),
        ("PORT".to_owned(), own.port.to_string()),
        ("MODEL_PATH".to_owned(), own.mount_path.clone()),
    ];
    env.extend(
        spec.engine
            .iter()
            .map(|(name, value)| (format!("ENGINE_{}", name.to_ascii_uppercase()), filled(value))),
    );
    env.extend(spec.env.iter().map(|(name, value)| (name.clone(), filled(value))));
    let env: Vec<Value> =
        env.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let health = &spec.health;
    let (period, timeout) = (seconds(health.interval), seconds(health.timeout));
    let probe = |failures: u64| {
        json!({
            "http_get": { "path": health.path, "port": own.port },
            "period_seconds": period,
            "timeout_seconds": timeout,
            "failure_threshold": failures,
        })
    };
    let starts = seconds(health.start_timeout).div_ceil(period.max(1)).max(1);
    let mut container = json!({
        "image": spec.container.image,
        "port": own.port,
        "env": env,
        "startup_check": probe(starts),
        "readiness_check": probe(health.failures_max.into()),
    });
    if !spec.container.command.is_empty() {
        let words: Vec<String> = spec.container.command.iter().map(|word| quoted(&filled(word))).collect();
        set(&mut container, [("script", Some(words.join(" ").into()))]);
    }
    container
}

fn cloud(spec: &VersionSpec, own: &EasVersion) -> Option<Value> {
    let mut cloud = json!({});
    let kind = own.instance_type.clone().filter(|_| own.resource.is_none());
    let kind = kind.or_else(|| spec.accelerator.as_ref().map(|accelerator| accelerator.kind.clone()));
    let computing = kind.filter(|_| own.resource.is_none()).map(|kind| json!({ "instance_type": kind }));
    let network = own.network.as_ref().map(|network| {
        json!({
            "vpc_id": network.vpc_id,
            "vswitch_id": network.vswitch_id,
            "security_group_id": network.security_group_id,
        })
    });
    set(&mut cloud, [("computing", computing), ("networking", network)]);
    cloud.as_object().is_some_and(|cloud| !cloud.is_empty()).then_some(cloud)
}

fn set<const N: usize>(object: &mut Value, fields: [(&str, Option<Value>); N]) {
    let Some(object) = object.as_object_mut() else { return };
    let given: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    object.extend(given);
}

fn limit(limit: CountOrPercent) -> Value {
    match limit {
        CountOrPercent::Count(count) => count.into(),
        CountOrPercent::Percent(percent) => percent.to_string().into(),
    }
}

fn seconds(span: TimeSpan) -> u64 {
    span.as_duration().as_secs()
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(json: Value) -> PinnedVersion {
        let spec = serde_json::from_value(json).unwrap();
        PinnedVersion { number: VersionNumber(3), spec, pins: crate::spec::Pins::default() }
    }

    #[test]
    fn a_version_becomes_a_whole_document() {
        let version = version(json!({
            "model": { "source": "oss://bucket/qwen/" },
            "container": { "image": "reg/vllm:1", "command": ["vllm", "serve", "$(MODEL_PATH)", "--port", "$(PORT)", "it's"] },
            "accelerator": { "type": "ecs.gn7i-c16g1.4xlarge", "count": 1 },
            "scaling": { "min_replicas": 4 },
            "engine": { "max_batch": "8" },
        }));
        let place = Place { service: "chat", group: "chat_group", workspace: None, replicas: 4 };
        let document = document(&version, &DeploymentPolicy::default(), place);
        let metadata = &document["metadata"];
        assert_eq!(metadata["rolling_strategy"], json!({ "max_surge": 1, "max_unavailable": 0 }));
        assert_eq!(metadata["eas"]["termination_grace_period"], 125);
        assert_eq!(metadata["rpc"]["enable_sigterm"], true);
        let container = &document["containers"][0];
        assert_eq!(container["script"], r"vllm serve /model_dir --port 8000 'it'\''s'");
        assert_eq!(container["startup_check"]["failure_threshold"], 600);
        assert_eq!(document["cloud"]["computing"]["instance_type"], "ecs.gn7i-c16g1.4xlarge");
        assert_eq!(version_of(&document), Some(VersionNumber(3)));
        assert!(can_plan(&document));
        assert_eq!(version_of(&json!({ "containers": [{}] })), None);
        let mut elsewhere = document.clone();
        elsewhere["metadata"]["instance"] = 9.into();
        elsewhere["metadata"]["labels"] = json!({});
        assert_eq!(version_of(&elsewhere), Some(VersionNumber(3)), "that is no other version");
        elsewhere["containers"][0]["image"] = "reg/vllm:2".into();
        assert_eq!(version_of(&elsewhere), None, "who changes it elsewhere makes another");
        let env = elsewhere["containers"][0]["env"].as_array_mut().unwrap();
        env.retain(|entry| entry["name"] != SEAL);
        assert_eq!(version_of(&elsewhere), Some(VersionNumber(3)), "an earlier release sealed nothing");
    }

    #[test]
    fn placeholders_that_stand_for_nothing_are_named() {
        let own = EasVersion::default();
        assert_eq!(fill("$$(PORT) $(PORT)/$(MODEL_PATH) $(", &own).unwrap(), "$(PORT) 8000//model_dir $(");
        assert_eq!(fill("$(HOME)", &own), Err("HOME".to_owned()));
    }
}
