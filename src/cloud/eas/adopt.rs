//! From a document that somebody else wrote to a version, as far as a version can say it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{MARKS, essence};
use super::memory::Note;
use super::sight::Sight;
use super::types::Autoscaler;
use super::{EasCloud, failed, service_name};
use crate::cloud::{Adopted, CloudError, CloudErrorKind};
use crate::spec::{
    Accelerator, Container, EasAutoscaling, EasNetwork, EasVersion, EndpointName, HealthCheck, Model,
    PinnedVersion, Pins, Scaling, TimeSpan, VersionNumber, VersionSpec,
};

/// Parts of a document that a version says, or that belong to the endpoint and its policy.
const DOCUMENT: [&str; 8] =
    ["metadata", "containers", "storage", "cloud", "features", "labels", "runtime", "name"];
const METADATA: [&str; 12] = [
    "name",
    "instance",
    "group",
    "workspace_id",
    "resource",
    "cpu",
    "memory",
    "gpu",
    "shm_size",
    "rolling_strategy",
    "eas",
    "rpc",
];
const CONTAINER: [&str; 6] = ["image", "port", "script", "env", "startup_check", "readiness_check"];
const CLOUD: [&str; 2] = ["computing", "networking"];
/// What makes a script more than words.
const SHELL: &str = "|&;<>()$`\\\"*?[]#~%!{}\n\r\t";

impl EasCloud {
    /// Turns what a service runs, and what is no version of ours, into one.
    pub(super) async fn take_over(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let Some(sight) = self.sight(endpoint).await?.filter(|sight| sight.main.target.is_none()) else {
            return Ok(None);
        };
        let refuse = |why: String| {
            failed(format!("take over endpoint `{endpoint}`"), CloudErrorKind::Invalid).with_message(why)
        };
        let spec = spec(&sight).map_err(refuse)?;
        Ok(Some(found(spec, number)))
    }

    /// As [`EasCloud::take_over`], once the service is at rest with it and as far as a version can say it.
    pub(super) async fn stranger(
        &self,
        endpoint: &EndpointName,
        number: VersionNumber,
    ) -> Result<Option<Adopted>, CloudError> {
        let sight = self.sight(endpoint).await?;
        let at_rest = sight.filter(|sight| {
            sight.main.target.is_none() && sight.main.is_complete() && sight.canary.is_none()
        });
        Ok(at_rest.and_then(|sight| spec(&sight).ok()).map(|spec| found(spec, number)))
    }

    /// Notes which document is the version, unless another one is there by now.
    pub(super) async fn note_taken(
        &self,
        endpoint: &EndpointName,
        version: &PinnedVersion,
    ) -> Result<(), CloudError> {
        let Some(sight) = self.sight(endpoint).await? else { return Ok(()) };
        if sight.main.target.is_some() || spec(&sight).as_ref() != Ok(&version.spec) {
            return Ok(());
        }
        let essence = essence(&sight.main.service.document());
        self.note(endpoint, &Note::Adopted { version: version.number, essence }).await
    }

    /// Refuses to leave the workspace in which a service was created.
    pub(super) async fn check_workspace(
        &self,
        endpoint: &EndpointName,
        prior: Option<&str>,
        planned: Option<&str>,
    ) -> Result<Option<String>, CloudError> {
        if prior == planned {
            return Ok(None);
        }
        let Some(service) = self.client.service(&service_name(endpoint)).await? else { return Ok(None) };
        let told = service.workspace_id.as_deref().filter(|workspace| !workspace.is_empty());
        let is_in = told.or(prior).unwrap_or("the account's default one");
        Ok((planned != Some(is_in)).then(|| is_in.to_owned()))
    }
}

fn found(spec: VersionSpec, number: VersionNumber) -> Adopted {
    Adopted { version: PinnedVersion { number, spec, pins: Pins::default() }, creator: None }
}

/// The version that says what a service runs; why none does, otherwise.
fn spec(sight: &Sight) -> Result<VersionSpec, String> {
    let document = sight.main.service.document();
    let nothing = Value::Null;
    let part = |name: &str| document.get(name).unwrap_or(&nothing);
    only(&document, "", &DOCUMENT)?;
    only(part("metadata"), "metadata.", &METADATA)?;
    only(part("cloud"), "cloud.", &CLOUD)?;
    let container = sole(part("containers")).ok_or("it runs several containers, or none")?;
    only(container, "containers[0].", &CONTAINER)?;
    let storage = sole(part("storage")).ok_or("it mounts no model, or several things")?;
    let source = text(storage, "/oss/path").ok_or("it mounts no model from OSS")?;
    let port = whole(container, "/port").and_then(|port| u16::try_from(port).ok());
    let own = own(&document, storage, port.ok_or("it names no port")?, sight.autoscaler.as_ref())?;
    let (engine, env) = variables(container, &own)?;
    let gpus = whole(&document, "/metadata/gpu").filter(|_| own.resource.is_some());
    Ok(VersionSpec {
        model: Model { source },
        container: Container {
            image: Some(text(container, "/image").ok_or("it names no image")?),
            command: text(container, "/script").map(|script| command(&script)).unwrap_or_default(),
        },
        accelerator: gpus
            .and_then(|count| u32::try_from(count).ok())
            .map(|count| Accelerator { kind: "gpu".to_owned(), count }),
        scaling: scaling(&document, sight.autoscaler.as_ref())?,
        health: health(container)?,
        warmup: None,
        engine,
        env,
        secret_env_version: None,
        sagemaker: None,
        vertex_ai: None,
        eas: Some(own),
        friendli: None,
    })
}

fn own(
    document: &Value,
    storage: &Value,
    port: u16,
    autoscaler: Option<&Autoscaler>,
) -> Result<EasVersion, String> {
    let network = document.pointer("/cloud/networking").map(|network| {
        let field = |name: &str| text(network, name).ok_or("its network is incomplete");
        Ok::<_, String>(EasNetwork {
            vpc_id: field("/vpc_id")?,
            vswitch_id: field("/vswitch_id")?,
            security_group_id: field("/security_group_id")?,
        })
    });
    let small = |path: &str| whole(document, path).and_then(|number| u32::try_from(number).ok());
    Ok(EasVersion {
        instance_type: text(document, "/cloud/computing/instance_type"),
        resource: text(document, "/metadata/resource"),
        cpu: small("/metadata/cpu"),
        memory_mb: whole(document, "/metadata/memory"),
        shm_size_gb: small("/metadata/shm_size"),
        port,
        mount_path: text(storage, "/mount_path").ok_or("it mounts its model nowhere")?,
        sigterm: document.pointer("/metadata/rpc/enable_sigterm").and_then(Value::as_bool).unwrap_or(false),
        autoscaling: autoscaler.map(autoscaling).transpose()?,
        network: network.transpose()?,
    })
}

fn autoscaling(autoscaler: &Autoscaler) -> Result<EasAutoscaling, String> {
    let [strategy] = autoscaler.scale_strategies.as_slice() else {
        return Err("its number of replicas follows several metrics".to_owned());
    };
    let threshold = format!("{}", strategy.threshold).parse();
    Ok(EasAutoscaling {
        metric: strategy.metric_name.clone(),
        threshold: threshold.map_err(|_| "its autoscaler has no whole threshold".to_owned())?,
    })
}

fn scaling(document: &Value, autoscaler: Option<&Autoscaler>) -> Result<Scaling, String> {
    if let Some(autoscaler) = autoscaler {
        let Autoscaler { min_replica, max_replica, .. } = *autoscaler;
        if min_replica == 0 || max_replica <= min_replica {
            return Err("it may have no replica at all".to_owned());
        }
        return Ok(Scaling { min_replicas: min_replica, max_replicas: Some(max_replica) });
    }
    let instances = whole(document, "/metadata/instance").and_then(|count| u32::try_from(count).ok());
    let min_replicas = instances.filter(|count| *count > 0).ok_or("it has no replicas")?;
    Ok(Scaling { min_replicas, max_replicas: None })
}

/// The check of a replica; the usual one where the service has none.
fn health(container: &Value) -> Result<HealthCheck, String> {
    let usual = HealthCheck::default();
    let Some(check) = container.get("readiness_check").filter(|check| !check.is_null()) else {
        return Ok(usual);
    };
    let path = text(check, "/http_get/path").ok_or("its readiness check does not ask over HTTP")?;
    let span =
        |of: &Value, path: &str, usual: TimeSpan| whole(of, path).map_or(usual, TimeSpan::from_seconds);
    let interval = span(check, "/period_seconds", usual.interval);
    let starts = container.get("startup_check").filter(|check| !check.is_null());
    let starts = starts.and_then(|check| {
        let period = whole(check, "/period_seconds").unwrap_or(1);
        Some(TimeSpan::from_seconds(whole(check, "/failure_threshold")?.saturating_mul(period)))
    });
    let failures = whole(check, "/failure_threshold").and_then(|count| u32::try_from(count).ok());
    Ok(HealthCheck {
        path,
        interval,
        timeout: span(check, "/timeout_seconds", usual.timeout),
        start_timeout: starts.unwrap_or(usual.start_timeout),
        failures_max: failures.unwrap_or(usual.failures_max),
    })
}

type Variables = BTreeMap<String, String>;

/// Its variables: settings of the engine, and the others. Those that Sluice sets itself have to say what they say here.
fn variables(container: &Value, own: &EasVersion) -> Result<(Variables, Variables), String> {
    let (mut engine, mut env) = (Variables::new(), Variables::new());
    let entries = container.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for entry in entries {
        let name = text(entry, "/name").ok_or("a variable has no name")?;
        let value = text(entry, "/value").unwrap_or_default();
        let expected = match name.as_str() {
            "PORT" => Some(own.port.to_string()),
            "MODEL_PATH" => Some(own.mount_path.clone()),
            _ => None,
        };
        if expected.as_ref().is_some_and(|expected| *expected != value) {
            return Err(format!("its variable {name} says something else than Sluice would set"));
        }
        if expected.is_some() || MARKS.contains(&name.as_str()) {
            continue;
        }
        let value = value.replace("$(", "$$(");
        match name.strip_prefix("ENGINE_").filter(|name| name.bytes().all(|byte| !byte.is_ascii_lowercase()))
        {
            Some(setting) => engine.insert(setting.to_ascii_lowercase(), value),
            None => env.insert(name, value),
        };
    }
    Ok((engine, env))
}

/// The words of a script; what a shell would do more with goes to a shell.
fn command(script: &str) -> Vec<String> {
    let words = words(script);
    words.unwrap_or_else(|| vec!["sh".to_owned(), "-c".to_owned(), script.replace("$(", "$$(")])
}

/// Words as a shell reads them, if it does no more than that. Quotes are those that we write.
fn words(script: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if !quoted && rest.peek() == Some(&'\'') => {
                word.get_or_insert_default().extend(rest.next());
            }
            ' ' if !quoted => words.extend(word.take()),
            c if !quoted && SHELL.contains(c) => return None,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let words = words.into_iter().map(|word| word.replace("$(", "$$("));
    (!quoted).then(|| words.collect::<Vec<_>>()).filter(|words| !words.is_empty())
}

/// Fails if a part of the document says something that no version says, and that the next one would take away.
fn only(part: &Value, path: &str, known: &[&str]) -> Result<(), String> {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Object(all) => !all.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::String(text) => !text.is_empty(),
        // The service adds what it is not.
        Value::Bool(says) => *says,
        Value::Number(_) => true,
    };
    let Some(part) = part.as_object() else { return Ok(()) };
    match part.iter().find(|(name, value)| !known.contains(&name.as_str()) && says(value)) {
        Some((name, _)) => Err(format!("its document sets `{path}{name}`, which no version can say")),
        None => Ok(()),
    }
}

fn sole(list: &Value) -> Option<&Value> {
    list.as_array().filter(|list| list.len() == 1)?.first()
}

fn text(of: &Value, path: &str) -> Option<String> {
    of.pointer(path)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn whole(of: &Value, path: &str) -> Option<u64> {
    of.pointer(path)?.as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::eas::document::{Place, document};
    use crate::spec::DeploymentPolicy;

    #[test]
    fn scripts_are_words_or_go_to_a_shell() {
        let split = |script: &str| words(script).unwrap();
        assert_eq!(split(r"serve  /model --name 'it'\''s' ''"), ["serve", "/model", "--name", "it's", ""]);
        for script in ["a && b", "echo $HOME", "a | b", "a 'b", ""] {
            assert_eq!(words(script), None, "{script}");
        }
        assert_eq!(command("exec $(cat f)"), ["sh", "-c", "exec $$(cat f)"]);
    }

    #[test]
    fn a_document_of_ours_says_the_version_that_it_was_made_from() {
        let spec: VersionSpec = serde_json::from_value(json!({
            "model": { "source": "oss://bucket/qwen/" },
            "container": { "image": "reg/vllm:1", "command": ["vllm", "it's", "$$(X)"] },
            "scaling": { "min_replicas": 4 },
            "engine": { "max_batch": "8" },
            "env": { "A": "b" },
            "health": { "path": "/ready", "interval": "2s", "start_timeout": "60s" },
            "eas": { "instance_type": "ecs.gn7i-c16g1.4xlarge", "shm_size_gb": 8 },
        }))
        .unwrap();
        let version = PinnedVersion { number: VersionNumber(3), spec: spec.clone(), pins: Pins::default() };
        let place = Place { service: "chat", group: "chat_group", workspace: None, replicas: 4 };
        let document = document(&version, &DeploymentPolicy::default(), place);
        let sight = |document: &Value| Sight::of_document(document);
        assert_eq!(super::spec(&sight(&document)), Ok(spec));
        for (path, value, why) in [
            ("/metadata", json!({ "name": "chat", "instance": 1, "quota_id": "q" }), "metadata.quota_id"),
            ("/containers", json!([]), "several containers"),
            ("/storage", json!([{ "mount_path": "/m", "nfs": {} }]), "no model from OSS"),
        ] {
            let mut changed = document.clone();
            *changed.pointer_mut(path).unwrap() = value;
            let refused = super::spec(&sight(&changed)).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
