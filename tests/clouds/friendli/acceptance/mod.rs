//! The real `terraform` against the emulator.

mod artifacts;
mod at_rest;
mod clients;
mod drift;
mod failures;
mod history;
mod import;
mod lost;
mod refused;
mod resume;

use std::path::PathBuf;

use serde_json::Value;

use super::emulator::{Completion, Emulator, Instruction, PROJECTS};
use crate::terraform::Output;
use crate::workspace::Workspace;

/// The endpoint's address in the configuration.
const ENDPOINT: &str = "sluice_endpoint.chat";
/// The version's.
const VERSION: &str = "sluice_endpoint_version.chat";

/// An emulator, and Terraform beside it.
struct Stage {
    emulator: Emulator,
    workspace: Workspace,
}

/// A configuration of one endpoint.
#[derive(Debug, Clone)]
struct Config {
    /// Attributes of the version.
    version: String,
    /// Attributes of the policy.
    policy: String,
    /// Further attributes of the endpoint.
    endpoint: String,
    /// The number to serve.
    number: String,
    /// The time between two looks.
    poll: &'static str,
}

impl Config {
    /// A version of this model and this largest batch, with a comment.
    fn new(revision: &str, batch: u32, comment: &str) -> Self {
        let version = format!(
            "comment     = \"{comment}\"\n  model       = {{ source = \"hf://meta/llama@{revision}\" }}\n  accelerator = \
             {{ type = \"nvidia-h100\", count = 1 }}\n  scaling     = {{ min_replicas = 2, max_replicas = 3 }}\n  \
             engine      = {{ max_batch_size = \"{batch}\" }}"
        );
        Self {
            version,
            policy:
                "min_ready = \"0s\"\n    progress_deadline = \"20s\"\n    rollback = { deadline = \"20s\" }"
                    .into(),
            endpoint: String::new(),
            number: "sluice_endpoint_version.chat.number".into(),
            poll: "20ms",
        }
    }

    fn text(&self, stage: &Stage) -> String {
        let Self { version, policy, endpoint, number, poll } = self;
        format!(
            r#"provider "sluice" {{
  cloud    = "friendli"
  ledger   = "{}"
  friendli = {{ endpoint_url = "{}", poll_interval = "{poll}" }}
}}

resource "sluice_endpoint_version" "chat" {{
  endpoint    = "chat"
  {version}
}}

resource "sluice_endpoint" "chat" {{
  name    = sluice_endpoint_version.chat.endpoint
  version = {number}
  policy  = {{
    {policy}
  }}
  {endpoint}
}}
"#,
            stage.workspace.ledger(),
            stage.emulator.url()
        )
    }
}

impl Stage {
    /// Where time passes with every look.
    fn new() -> Self {
        let emulator = Emulator::start();
        emulator.tell(Instruction::PassWithEachLook(20));
        let workspace =
            Workspace::new(&[("FRIENDLI_TOKEN", "flp_alice"), ("FRIENDLI_PROJECT_ID", PROJECTS[0])]);
        Self { emulator, workspace }
    }

    /// Where a first version serves.
    fn serving() -> (Self, Config) {
        let stage = Self::new();
        let config = Config::new("main", 64, "first");
        stage.write(&config);
        stage.workspace.apply();
        (stage, config)
    }

    fn write(&self, config: &Config) {
        self.workspace.write(&config.text(self));
    }

    fn apply(&self) -> Output {
        self.workspace.terraform(&["apply", "-auto-approve"])
    }

    fn chat(&self) -> Value {
        self.workspace.state().attributes(ENDPOINT).clone()
    }

    /// What the adapter noted, oldest first.
    fn notes(&self) -> Vec<Value> {
        let files = self.note_files();
        files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
    }

    /// The files of the notes. Those that are being written have a `#` in their name.
    fn note_files(&self) -> Vec<PathBuf> {
        let Ok(folder) = std::fs::read_dir(self.workspace.path("ledger/friendli/chat/notes")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
        files.retain(|file| !file.to_string_lossy().contains('#'));
        files.sort();
        files
    }

    /// Removes what was noted after the first note of this kind, as if the process had died in between.
    #[track_caller]
    fn forget_after(&self, last: &str) {
        let kept = self.notes().iter().position(|note| note["note"] == last).expect("it was noted");
        for file in self.note_files().into_iter().skip(kept + 1) {
            std::fs::remove_file(file).unwrap();
        }
    }

    /// Every version, oldest first.
    fn history(&self) -> Vec<Value> {
        let told = self.workspace.sluice(&["history", "chat", "--cloud", "friendli", "--json"]).succeeded();
        let mut history: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
        history.reverse();
        history
    }

    /// The answers that clients got since there were so many.
    fn answers_since(&self, count: usize) -> Vec<Completion> {
        self.emulator.completions().split_off(count)
    }

    /// Fails unless the next plan changes the endpoint from one version to another.
    #[track_caller]
    fn plans(&self, from: u32, to: u32) {
        let (_, plan) = self.workspace.plan();
        let change = plan.change(ENDPOINT);
        assert_eq!(plan.actions(ENDPOINT), ["update"], "{change}");
        assert_eq!((&change["before"]["version"], &change["after"]["version"]), (&from.into(), &to.into()));
    }

    /// The journal of each rollout has to be what its decisions lead to.
    #[track_caller]
    fn journal_holds(&self) {
        self.workspace.sluice(&["verify", "chat", "--cloud", "friendli"]).succeeded();
    }
}
