//! The environment and command line of a replica's process. Pure.

use std::collections::BTreeMap;

use crate::spec::{Container, EndpointName, ReplicaId, VersionNumber, VersionSpec};

/// What of the agent's own environment replicas get.
pub const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"];

/// What a replica's process is told about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its endpoint.
    pub endpoint: &'a EndpointName,
    /// Its version.
    pub version: VersionNumber,
    /// Itself.
    pub replica: &'a ReplicaId,
    /// Port to listen on.
    pub port: u16,
    /// Copy of the model.
    pub model_path: &'a str,
    /// Device slots that it holds.
    pub devices: &'a [u32],
    /// The agent's folder: marks processes of this agent.
    pub data_dir: &'a str,
}

/// The whole environment: the inherited part, settings of the engine, the version's own variables, the facts. What
/// comes later wins, so that a version can change `PATH` but not `PORT`.
///
/// `CUDA_VISIBLE_DEVICES` is always there: a replica sees the devices that it holds, and none if it holds none.
pub fn environment(
    inherited: &BTreeMap<String, String>,
    spec: &VersionSpec,
    facts: &Facts<'_>,
) -> BTreeMap<String, String> {
    let mut environment = inherited.clone();
    for (name, value) in &spec.engine {
        environment.insert(format!("ENGINE_{}", name.to_ascii_uppercase()), value.clone());
    }
    environment.extend(spec.env.clone());
    let devices: Vec<String> = facts.devices.iter().map(u32::to_string).collect();
    let told = [
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", facts.port.to_string()),
        ("MODEL_PATH", facts.model_path.to_owned()),
        ("CUDA_VISIBLE_DEVICES", devices.join(",")),
        ("SLUICE_ENDPOINT", facts.endpoint.to_string()),
        ("SLUICE_VERSION", facts.version.0.to_string()),
    ];
    environment.extend(told.map(|(name, value)| (name.to_owned(), value)));
    environment.extend(marks(facts.replica, facts.data_dir));
    environment
}

/// Variables by which a process of a replica is recognised.
pub fn marks(replica: &ReplicaId, data_dir: &str) -> [(String, String); 2] {
    [("SLUICE_REPLICA".to_owned(), replica.to_string()), ("SLUICE_DATA_DIR".to_owned(), data_dir.to_owned())]
}

/// The arguments after the program, with `$(NAME)` replaced.
pub fn arguments(container: &Container, environment: &BTreeMap<String, String>) -> Vec<String> {
    container.command.iter().skip(1).map(|word| expand(word, environment)).collect()
}

/// Replaces `$(NAME)` by the variable's value and `$$(` by `$(`. A name that is not set is left as it stands, as
/// Kubernetes does.
pub fn expand(word: &str, environment: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(literal) = after.strip_prefix("$(") {
            expanded.push_str("$(");
            rest = literal;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|open| open.split_once(')'))
            && let Some(value) = environment.get(name)
        {
            expanded.push_str(value);
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_brackets_are_replaced_and_unknown_ones_left() {
        let environment =
            BTreeMap::from([("PORT".to_owned(), "80".to_owned()), ("A".to_owned(), "$(B)".to_owned())]);
        for (word, expect) in [
            ("--port=$(PORT)", "--port=80"),
            ("$(PORT)$(PORT)", "8080"),
            ("$$(PORT)", "$(PORT)"),
            ("$$$(PORT)", "$$(PORT)"),
            ("$(NONE)", "$(NONE)"),
            ("$(A)", "$(B)"),
            ("$PORT $ $( $(", "$PORT $ $( $("),
            ("$(NONE) $(PORT)", "$(NONE) 80"),
            ("", ""),
        ] {
            assert_eq!(expand(word, &environment), expect, "{word}");
        }
    }

    #[test]
    fn a_version_changes_what_is_inherited_but_not_the_facts() {
        let spec: VersionSpec = serde_json::from_value(serde_json::json!({
            "model": { "source": "/m" }, "container": { "command": ["p", "$(PORT)"] }, "scaling": { "min_replicas": 1 },
            "engine": { "max_batch": "8" }, "env": { "PATH": "/own", "PORT": "1", "X": "y" },
        }))
        .unwrap();
        let endpoint = "chat".parse().unwrap();
        let replica = ReplicaId("r".to_owned());
        let facts = Facts {
            endpoint: &endpoint,
            version: VersionNumber(4),
            replica: &replica,
            port: 20_001,
            model_path: "/copy",
            devices: &[1, 3],
            data_dir: "/d",
        };
        let inherited = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
        let environment = environment(&inherited, &spec, &facts);
        for (name, value) in [
            ("PATH", "/own"),
            ("PORT", "20001"),
            ("X", "y"),
            ("ENGINE_MAX_BATCH", "8"),
            ("CUDA_VISIBLE_DEVICES", "1,3"),
            ("SLUICE_VERSION", "4"),
            ("SLUICE_REPLICA", "r"),
            ("MODEL_PATH", "/copy"),
        ] {
            assert_eq!(environment.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(arguments(&spec.container, &environment), ["20001"]);
    }
}
