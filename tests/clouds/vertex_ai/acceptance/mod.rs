//! The real `terraform` against the emulator, story by story.

mod basics;
mod canary;
mod credentials;
mod drift;
mod failure;
mod faults;
mod gates;
mod identities;
mod interrupt;
mod models;
mod refusals;
mod rolling;
mod shapes;

use serde_json::{Value, json};

use super::emulator::{Emulator, Quirk};
use crate::terraform::Output;
use crate::workspace::Workspace;

/// The token that the emulator takes.
const TOKEN: &str = "ya29.of-the-tests";
const REGION: &str = "us-central1";

/// An emulator and a folder for Terraform.
pub struct World {
    pub emulator: Emulator,
    pub workspace: Workspace,
}

/// What the configuration says.
#[derive(Debug, Clone)]
pub struct Config {
    pub source: String,
    pub replicas: u32,
    pub replicas_max: Option<u32>,
    pub machine: String,
    /// More lines of the version.
    pub version: String,
    /// More lines of the version's block for this cloud.
    pub own: String,
    /// More lines of the endpoint.
    pub top: String,
    /// Lines of the endpoint's block for this cloud.
    pub endpoint: String,
    /// The endpoint's version; the newest one when not given.
    pub pinned: Option<u32>,
    /// Lines of the policy.
    pub policy: String,
}

impl Config {
    /// Four replicas of a version of the registered model `chat`.
    pub fn model(version: u32) -> Self {
        Self {
            source: format!("models/chat@{version}"),
            replicas: 4,
            replicas_max: None,
            machine: "g2-standard-12".to_owned(),
            version: String::new(),
            own: String::new(),
            top: String::new(),
            endpoint: String::new(),
            pinned: None,
            policy: "max_surge = \"25%\"\n    max_unavailable = 0".to_owned(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl World {
    /// An emulator with four versions of the model `chat`, and an empty workspace.
    pub fn new() -> Self {
        Self::with_environment(&[("GOOGLE_OAUTH_ACCESS_TOKEN", TOKEN)])
    }

    pub fn with_environment(environment: &[(&str, &str)]) -> Self {
        let emulator = Emulator::start();
        {
            let mut world = emulator.world();
            world.tokens.accept(TOKEN);
            for _ in 0..4 {
                world.register(REGION, "chat", &container("/predict"));
            }
        }
        Self { emulator, workspace: Workspace::new(environment) }
    }

    /// Switches a peculiarity of the service on.
    pub fn quirk(&self, quirk: Quirk) {
        self.emulator.world().script.quirks.insert(quirk);
    }

    pub fn write(&self, config: &Config) {
        let Config { source, replicas, machine, version, own, top, endpoint, policy, .. } = config;
        let url = self.emulator.url();
        let ledger = self.workspace.ledger();
        let most = config.replicas_max.map_or(String::new(), |most| format!(", max_replicas = {most}"));
        let block = if endpoint.is_empty() { String::new() } else { format!("vertex_ai = {{ {endpoint} }}") };
        let number = config
            .pinned
            .map_or("sluice_endpoint_version.chat.number".to_owned(), |number| number.to_string());
        self.workspace.write(&format!(
            r#"provider "sluice" {{
  cloud  = "vertex_ai"
  ledger = "{ledger}"
  vertex_ai = {{
    project        = "demo-project"
    region         = "{REGION}"
    endpoint_url   = "{url}"
    monitoring_url = "{url}"
    poll_interval  = "20ms"
  }}
}}

resource "sluice_endpoint_version" "chat" {{
  endpoint    = "chat"
  model       = {{ source = "{source}" }}
  accelerator = {{ type = "NVIDIA_L4", count = 1 }}
  scaling     = {{ min_replicas = {replicas}{most} }}
  {version}
  vertex_ai = {{
    machine_type = "{machine}"
    {own}
  }}
}}

resource "sluice_endpoint" "chat" {{
  name      = sluice_endpoint_version.chat.endpoint
  version   = {number}
  {top}
  {block}
  policy = {{
    {policy}
  }}
}}
"#
        ));
    }

    /// Writes and applies a configuration, which has to succeed.
    #[track_caller]
    pub fn apply(&self, config: &Config) -> Output {
        self.write(config);
        self.workspace.apply()
    }

    /// Writes and applies a configuration, which has to fail and say all of this.
    #[track_caller]
    pub fn fails(&self, config: &Config, expected: &[&str]) -> Output {
        self.write(config);
        self.workspace.terraform(&["apply", "-auto-approve"]).failed_with(expected)
    }

    /// Attributes of the endpoint in Terraform's state.
    pub fn state(&self) -> Value {
        self.workspace.state().attributes("sluice_endpoint.chat").clone()
    }

    /// Fails unless this version serves alone: in the state, and on the service with one deployed model that has all
    /// the traffic and so many ready replicas.
    #[track_caller]
    pub fn serves(&self, number: u32, model: &str, replicas: usize) {
        let state = self.state();
        assert_eq!(state["live_version"], number, "{state:#}");
        assert_eq!(state["version"], number, "{state:#}");
        assert_eq!(state["status"], "serving", "{state:#}");
        assert_eq!(self.deployed(), [(model.to_owned(), 100, replicas)]);
    }

    /// Deployed models as model version, share of the traffic, ready replicas.
    pub fn deployed(&self) -> Vec<(String, i64, usize)> {
        self.emulator.world().deployed("chat")
    }

    /// How often a method of the API was called.
    pub fn calls(&self, method: &str) -> usize {
        self.emulator.world().calls(method).len()
    }

    /// The bodies of all calls of a method.
    pub fn bodies(&self, method: &str) -> Vec<Value> {
        self.emulator.world().calls(method).iter().map(|call| call.body.clone()).collect()
    }
}

/// The container of a registered model.
pub fn container(route: &str) -> Value {
    json!({ "imageUri": "gcr.io/demo/serve:1", "predictRoute": route, "healthRoute": "/health" })
}
