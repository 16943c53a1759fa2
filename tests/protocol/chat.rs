//! An endpoint with real replicas, made and changed as Terraform does.

use std::time::Duration;

use serde_json::json;
use sluice::terraform::value::Value;
use sluice::terraform::{Provider as _, wire};
use tokio::task::JoinHandle;

use crate::client::within;
use crate::replica;
use crate::surface::{Saved, Surface, apply_request, version};

/// The endpoint `chat`: v0 serves with two replicas, v1 is minted.
pub struct Chat {
    pub surface: Surface,
    version: Saved,
    endpoint: Saved,
}

impl Chat {
    pub async fn serving() -> Self {
        let surface = Surface::start().await;
        let config = json!({ "local": { "device_slots": 8 } });
        let config = Value::from_json(surface.provider.schema().root(), &config).unwrap();
        let surface = surface.configured(&config).await;
        let mut chat = Self { surface, version: Saved::default(), endpoint: Saved::default() };
        chat.mint("one").await;
        let config = chat.config(0);
        let created = chat.surface.change("sluice_endpoint", Saved::default(), &config).await;
        chat.endpoint = created.expect("the endpoint can be planned");
        chat.mint("two").await;
        chat
    }

    /// Mints the next version.
    async fn mint(&mut self, word: &str) {
        let mut config = version(self.surface.folder.path());
        let command: Vec<Value> = replica::command().into_iter().map(Value::from).collect();
        assert!(config.set(&"container.command".into(), Value::List(command)));
        assert!(config.set(&"scaling.min_replicas".into(), 2.into()));
        config.set_attribute("env", Value::object([("WORD", word)]));
        let prior = std::mem::take(&mut self.version);
        let minted = self.surface.change("sluice_endpoint_version", prior, &config).await;
        self.version = minted.expect("the version can be planned");
    }

    /// The endpoint on a version, replaced in batches of one, with a pause after the first.
    fn config(&self, number: u32) -> Value {
        let schema = self.surface.schema("sluice_endpoint");
        let json = json!({
            "name": "chat",
            "version": number,
            "policy": {
                "min_ready": "100ms",
                "batch": { "size": "1", "pause": "first" },
                "drain": { "timeout": "5s", "unroute_delay": "10ms" },
            },
        });
        Value::from_json(schema.root(), &json).unwrap()
    }

    /// Begins the rollout to v1. It waits for a word after its first batch.
    pub async fn begin_rollout(&self) -> JoinHandle<wire::ApplyResourceChangeResponse> {
        let schema = self.surface.schema("sluice_endpoint");
        let config = self.config(1);
        let plan = self.surface.plan("sluice_endpoint", &self.endpoint, &config).await;
        assert_eq!(plan.diagnostics, []);
        let request = apply_request(&schema, "sluice_endpoint", &self.endpoint, &config, plan);
        let client = self.surface.client.clone();
        let apply = tokio::spawn(async move { client.provider("ApplyResourceChange", &request).await });
        self.until("\"opened\"").await;
        apply
    }

    /// Waits until the journal of the rollout holds this word.
    pub async fn until(&self, word: &str) {
        let journal = self.surface.folder.path().join("data/ledger/local/chat/rollouts/000002");
        let says = || {
            let entries =
                std::fs::read_dir(&journal).into_iter().flatten().map(|entry| entry.unwrap().path());
            entries
                .into_iter()
                .any(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(word)))
        };
        within(word, async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !says() {
                ticks.tick().await;
            }
        })
        .await;
    }
}
