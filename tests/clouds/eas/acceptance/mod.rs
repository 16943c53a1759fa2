//! The real `terraform` against the emulator, story by story.

mod adoption;
mod batches;
mod canary;
mod failure;
mod faults;
mod interrupt;
mod keys;
mod lifecycle;
mod refusals;
mod versions;

use serde_json::Value;

use super::emulator::{Emulator, KEY, Knobs, REGION};
use crate::terraform::Output;
use crate::workspace::Workspace;

/// An emulator whose clock runs with the looks of the client, and a folder for Terraform.
pub struct World {
    pub emulator: Emulator,
    pub workspace: Workspace,
}

/// What the configuration says.
#[derive(Debug, Clone)]
pub struct Config {
    pub image: String,
    pub replicas: u32,
    /// More lines of the version.
    pub version: String,
    /// More lines of the version's block for this cloud.
    pub own: String,
    /// More lines of the endpoint.
    pub endpoint: String,
    /// The endpoint's version; the newest one when not given.
    pub pinned: Option<u32>,
    /// Lines of the policy.
    pub policy: String,
}

impl Config {
    /// Four replicas of this image.
    pub fn image(image: &str) -> Self {
        Self {
            image: image.to_owned(),
            replicas: 4,
            version: String::new(),
            own: String::new(),
            endpoint: String::new(),
            pinned: None,
            policy: "max_surge = 1\n    max_unavailable = 0\n    min_ready = \"0s\"".to_owned(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// With more lines of the policy.
    pub fn policy(self, lines: &str) -> Self {
        self.with(|config| config.policy = format!("{}\n    {lines}", config.policy))
    }
}

/// Seconds that pass on the service with each look.
pub const STEP: u64 = 5;

impl World {
    pub fn new() -> Self {
        Self::with(Knobs { auto: STEP, ..Knobs::default() })
    }

    pub fn with(knobs: Knobs) -> Self {
        let keys = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1),
            ("ALIBABA_CLOUD_REGION", REGION),
        ];
        Self::with_environment(knobs, &keys)
    }

    /// Where Terraform finds its keys in another way.
    pub fn with_environment(knobs: Knobs, environment: &[(&str, &str)]) -> Self {
        Self { emulator: Emulator::start(knobs), workspace: Workspace::new(environment) }
    }

    pub fn write(&self, config: &Config) {
        let Config { image, replicas, version, own, endpoint, policy, .. } = config;
        let (authority, ledger) = (self.emulator.authority(), self.workspace.ledger());
        let newest = "sluice_endpoint_version.chat.number".to_owned();
        let number = config.pinned.map_or(newest, |number| number.to_string());
        self.workspace.write(&format!(
            r#"provider "sluice" {{
  cloud  = "eas"
  ledger = "{ledger}"
  eas = {{
    endpoint_url  = "http://{authority}"
    sts_url       = "http://{authority}"
    metadata_url  = "http://{authority}/latest"
    poll_interval = "20ms"
  }}
}}

resource "sluice_endpoint_version" "chat" {{
  endpoint    = "chat"
  model       = {{ source = "oss://bucket/chat/" }}
  container   = {{ image = "{image}", command = ["serve", "$(MODEL_PATH)", "--port", "$(PORT)"] }}
  accelerator = {{ type = "ecs.gn7i-c16g1.4xlarge", count = 1 }}
  scaling     = {{ min_replicas = {replicas} }}
  {version}
  eas = {{
    {own}
  }}
}}

resource "sluice_endpoint" "chat" {{
  name    = sluice_endpoint_version.chat.endpoint
  version = {number}
  {endpoint}
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

    /// Fails unless this version serves alone, in the state and on the service.
    #[track_caller]
    pub fn serves(&self, number: u32, image: &str, replicas: u32) {
        let state = self.state();
        assert_eq!(state["live_version"], number, "{state:#}");
        assert_eq!(state["version"], number, "{state:#}");
        assert_eq!(state["status"], "serving", "{state:#}");
        self.runs(image, replicas);
    }

    /// Fails unless the service has nothing but so many ready replicas of an image.
    #[track_caller]
    pub fn runs(&self, image: &str, replicas: u32) {
        let emulator = self.emulator.state();
        assert_eq!(emulator.services.keys().collect::<Vec<_>>(), ["chat"]);
        let service = &emulator.services["chat"];
        assert_eq!((service.ready(), service.live()), (replicas, replicas));
        let images = service.replicas.iter().filter(|replica| replica.is_live()).map(|replica| {
            let document = service.document_of(replica.version).unwrap();
            document["containers"][0]["image"].as_str().unwrap()
        });
        assert!(images.clone().all(|found| found == image), "{:?}", images.collect::<Vec<_>>());
    }

    /// What the adapter noted, oldest first.
    pub fn notes(&self) -> Vec<Value> {
        let folder = self.workspace.path("ledger/eas/chat/notes");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: &str) -> usize {
        self.emulator.state().calls(operation)
    }

    /// The bodies of all calls of an operation.
    pub fn bodies(&self, operation: &str) -> Vec<Value> {
        let state = self.emulator.state();
        state
            .requests
            .iter()
            .filter(|request| request.operation == operation)
            .map(|request| request.body.clone())
            .collect()
    }

    /// The fewest replicas that were ready, and the most that there were, since this was last asked.
    pub fn extremes(&self) -> (Option<u32>, u32) {
        let mut state = self.emulator.state();
        let service = state.services.get_mut("chat").unwrap();
        let seen = (service.least_ready, service.most);
        (service.least_ready, service.most) = (Some(service.ready()), service.live());
        seen
    }
}
