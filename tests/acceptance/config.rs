//! The Terraform configuration of a test: blocks of attributes, with expressions as text.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::path::Path;

use super::programs::{example, models};

type Block = BTreeMap<String, String>;

/// A whole configuration. The first endpoint is `chat`.
#[derive(Debug, Clone)]
pub struct Config {
    provider: Block,
    policy: Block,
    pairs: Vec<Pair>,
}

/// A version and the endpoint that serves it.
#[derive(Debug, Clone)]
struct Pair {
    label: String,
    version: Block,
    endpoint: Block,
}

impl Config {
    /// Two quick replicas of the plain model, on an agent in this folder.
    pub fn new(data_dir: &Path) -> Self {
        let provider = [("local", format!("{{ data_dir = {}, device_slots = 8 }}", quoted(data_dir)))];
        let policy = [
            ("name", "\"quick\""),
            ("max_surge", "1"),
            ("max_unavailable", "0"),
            ("min_ready", "\"200ms\""),
            ("progress_deadline", "\"30s\""),
            ("rollback", "{ deadline = \"30s\" }"),
            ("drain", "{ timeout = \"10s\", unroute_delay = \"100ms\" }"),
        ];
        let provider = block(provider);
        let policy = block(policy);
        Self { provider, policy, pairs: vec![pair("chat")] }
    }

    /// Adds an endpoint like the first one.
    pub fn and_endpoint(mut self, name: &str) -> Self {
        self.pairs.push(pair(name));
        self
    }

    /// Sets an attribute of the first endpoint, its version, the policy or the provider: `version.scaling`.
    pub fn set(&mut self, attribute: &str, expression: impl Display) -> &mut Self {
        self.set_of(0, attribute, expression)
    }

    /// Like [`Config::set`], for the endpoint at an index.
    pub fn set_of(&mut self, index: usize, attribute: &str, expression: impl Display) -> &mut Self {
        let (block, name) = attribute.split_once('.').unwrap();
        self.block(index, block).insert(name.to_owned(), expression.to_string());
        self
    }

    /// Removes an attribute.
    pub fn unset(&mut self, attribute: &str) -> &mut Self {
        let (block, name) = attribute.split_once('.').unwrap();
        self.block(0, block).remove(name);
        self
    }

    /// Like [`Config::set`], for a configuration that is used once.
    pub fn with(mut self, attribute: &str, expression: impl Display) -> Self {
        self.set(attribute, expression);
        self
    }

    /// Serves this model.
    pub fn model(self, path: &Path) -> Self {
        self.with("version.model", source(path))
    }

    /// Runs so many replicas.
    pub fn replicas(self, count: u32) -> Self {
        self.with("version.scaling", format!("{{ min_replicas = {count} }}"))
    }

    /// Starts the model server with more arguments.
    pub fn serving_with(self, arguments: &[&str]) -> Self {
        self.with("version.container", container(arguments))
    }

    fn block(&mut self, index: usize, name: &str) -> &mut Block {
        match name {
            "provider" => &mut self.provider,
            "policy" => &mut self.policy,
            "version" => &mut self.pairs[index].version,
            "endpoint" => &mut self.pairs[index].endpoint,
            other => panic!("there is no block `{other}`"),
        }
    }

    /// The text of the configuration file.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "terraform {\n  required_providers {\n    sluice = { source = \"sluice-rs/sluice\" }\n  }\n}\n",
        );
        write_block(&mut text, "provider \"sluice\"", &self.provider);
        write_block(&mut text, "resource \"sluice_deployment_policy\" \"quick\"", &self.policy);
        for Pair { label, version, endpoint } in &self.pairs {
            write_block(&mut text, &format!("resource \"sluice_endpoint_version\" \"{label}\""), version);
            write_block(&mut text, &format!("resource \"sluice_endpoint\" \"{label}\""), endpoint);
        }
        text
    }
}

/// A path as an expression.
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}

/// A model as an expression.
pub fn source(path: &Path) -> String {
    format!("{{ source = {} }}", quoted(path))
}

/// The model server with more arguments, as a `container`.
pub fn container(arguments: &[&str]) -> String {
    let server = example("model-server");
    let mut words = vec![server.to_str().unwrap(), "serve"];
    words.extend(arguments);
    format!("{{ command = {words:?} }}")
}

fn pair(name: &str) -> Pair {
    let version = [
        ("endpoint", format!("\"{name}\"")),
        ("model", source(&models().plain)),
        ("container", container(&[])),
        ("accelerator", "{ type = \"cpu\", count = 1 }".to_owned()),
        ("scaling", "{ min_replicas = 2 }".to_owned()),
        ("health", "{ interval = \"200ms\", start_timeout = \"20s\" }".to_owned()),
    ];
    let endpoint = [
        ("name", format!("sluice_endpoint_version.{name}.endpoint")),
        ("version", format!("sluice_endpoint_version.{name}.number")),
        ("policy", "sluice_deployment_policy.quick".to_owned()),
    ];
    Pair { label: name.to_owned(), version: block(version), endpoint: block(endpoint) }
}

fn block<V: ToString, const N: usize>(attributes: [(&str, V); N]) -> Block {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}

fn write_block(text: &mut String, head: &str, block: &Block) {
    let _ = writeln!(text, "\n{head} {{");
    for (name, expression) in block {
        let _ = writeln!(text, "  {name} = {expression}");
    }
    text.push_str("}\n");
}
