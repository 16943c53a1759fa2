//! All settings of one version, as the service keeps them, and the part of them that it shows.

use serde_json::{Value, json};

use super::bodies::given;
use super::options::{self, InstanceOption};

/// All settings of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub name: String,
    pub option: InstanceOption,
    pub model: Model,
    pub least: u64,
    pub most: u64,
    pub cooldown: i64,
    pub advanced: Value,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    HuggingFace { repo: String, revision: Option<String> },
    Uploaded(String),
    Artifact(String),
}

impl Model {
    /// The model in words, for answers that reveal which version serves.
    pub fn described(&self) -> String {
        match self {
            Self::HuggingFace { repo, revision } => {
                format!("{repo}@{}", revision.as_deref().unwrap_or("main"))
            }
            Self::Uploaded(id) => format!("uploaded:{id}"),
            Self::Artifact(name) => name.clone(),
        }
    }
}

impl Settings {
    /// From a checked body of a create.
    pub fn created(body: &Value) -> Self {
        let model = Model::Uploaded(String::new());
        let blank = Self {
            name: String::new(),
            option: options::by_id("TwD5AqnBSVN0").unwrap(),
            model,
            least: 0,
            most: 1,
            cooldown: 300,
            advanced: json!({
                "tokenizer_skip_special_tokens": true,
                "tokenizer_add_special_tokens": true
            }),
        };
        blank.patched(body)
    }

    /// From a checked body of the webhook.
    pub fn of_artifact(body: &Value) -> Self {
        let artifact = body["wandbArtifactVersionName"].as_str().unwrap();
        let default_name = artifact.rsplit('/').next().unwrap_or(artifact).replace(':', "-");
        let mut settings = Self::created(&json!({ "name": default_name }));
        settings.take_artifact(body);
        settings
    }

    /// The settings with another artifact, by a checked body of the webhook.
    pub fn take_artifact(&mut self, body: &Value) {
        *self = self.patched(body);
        self.model = Model::Artifact(body["wandbArtifactVersionName"].as_str().unwrap().to_owned());
        if let Some(accelerator) = given(body, "accelerator") {
            let gpu = accelerator["type"].as_str().unwrap();
            self.option = options::by_hardware(gpu, accelerator["count"].as_u64().unwrap()).unwrap();
        }
    }

    /// The settings after a checked body of an update: what is missing or null stays, down to the revision of a model
    /// whose repository changes. Only `advanced` is replaced as a whole.
    pub fn patched(&self, body: &Value) -> Self {
        let mut settings = self.clone();
        if let Some(name) = text(body, "name") {
            settings.name = name;
        }
        if let Some(option) = text(body, "instanceOptionId") {
            settings.option = options::by_id(&option).unwrap();
        }
        if let Some(advanced) = given(body, "advanced") {
            settings.advanced = advanced.clone();
        }
        settings.model = self.model_after(body);
        settings.rescale(body);
        settings
    }

    fn model_after(&self, body: &Value) -> Model {
        if let Some(id) = text(body, "uploadedModelId") {
            return Model::Uploaded(id);
        }
        let (old_repo, old_revision) = match &self.model {
            Model::HuggingFace { repo, revision } => (Some(repo.clone()), revision.clone()),
            _ => (None, None),
        };
        let revision = text(body, "hfModelRepoRevision").or(old_revision);
        match text(body, "hfModelRepo").or(old_repo) {
            Some(repo) => Model::HuggingFace { repo, revision },
            None => self.model.clone(),
        }
    }

    fn rescale(&mut self, body: &Value) {
        if let Some(fixed) = given(body, "simplescale") {
            let replicas = fixed["replicas"].as_u64().unwrap();
            (self.least, self.most) = (replicas, replicas);
        }
        if let Some(policy) = given(body, "autoscalingPolicy") {
            self.least = policy["minReplica"].as_u64().unwrap_or(0);
            self.most = policy["maxReplica"].as_u64().unwrap_or(1);
            self.cooldown = policy["cooldownPeriod"].as_i64().unwrap_or(300);
        }
    }

    /// How many replicas run while it is awake and nobody asks for more.
    pub fn replicas(&self) -> u64 {
        self.least.max(1)
    }

    /// The part that the service shows: neither model, nor comment, nor times.
    pub fn shown(&self, identity: &Identity, counts: Counts) -> Value {
        json!({
            "name": self.name,
            "gpuType": self.option.gpu,
            "numGpu": self.option.count,
            "instanceId": format!("inst-{}", self.option.gpu.replace(' ', "-").to_lowercase()),
            "projectId": identity.project,
            "creatorId": identity.creator,
            "teamId": identity.team,
            "autoscalingMin": self.least,
            "autoscalingMax": self.most,
            "autoscalingCooldown": self.cooldown,
            "maxBatchSize": given(&self.advanced, "max_batch_size").cloned().unwrap_or(json!(256)),
            "maxInputLength": self.advanced["max_input_length"],
            "maxContextLength": self.advanced["max_context_length"],
            "tokenizerSkipSpecialTokens": self.advanced["tokenizer_skip_special_tokens"],
            "tokenizerAddSpecialTokens": self.advanced["tokenizer_add_special_tokens"],
            "currReplicaCnt": counts.current,
            "desiredReplicaCnt": counts.desired,
            "updatedReplicaCnt": counts.updated,
        })
    }

    /// Everything, for tests alone.
    pub fn everything(&self) -> Value {
        json!({
            "name": self.name,
            "instanceOptionId": self.option.id,
            "model": self.model.described(),
            "least": self.least,
            "most": self.most,
            "cooldown": self.cooldown,
            "advanced": self.advanced,
        })
    }
}

/// What of an endpoint never changes.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: String,
    pub project: String,
    pub team: String,
    pub creator: String,
}

/// How many replicas there are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub current: Option<u64>,
    pub desired: Option<u64>,
    pub updated: Option<u64>,
}

fn text(body: &Value, name: &str) -> Option<String> {
    given(body, name).and_then(Value::as_str).map(str::to_owned)
}
