//! A provider that does what a test asks for through the attribute `behavior`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice::terraform::diagnostics::{Diagnostics, Report};
use sluice::terraform::resource::{
    ApplyOutcome, Context, CreateRequest, DataSource, DeleteRequest, Imported, ManagedResource, Provider,
    ReadOutcome, ReadRequest, UpdateRequest,
};
use sluice::terraform::schema::ResourceSchema;
use sluice::terraform::value::{Path, Value};
use sluice::terraform::{Action, EphemeralResource};
use sluice::terraform::{Mode, STARTED_BY_HAND, serve, started_by_terraform};

/// Starts the plugin even when nothing else says so.
pub const PLUGIN: &str = "PROBE_PLUGIN";
/// Starts it in debug mode.
pub const DEBUG: &str = "PROBE_DEBUG";
/// Written to stderr when a create begins to wait.
pub const WAITING: &str = "probe: waiting";

/// Written to stderr when it was asked to end.
pub const STOPPED: &str = "probe: stopped";

/// The plugin's process.
pub fn main() -> ExitCode {
    let debug = std::env::var_os(DEBUG).is_some();
    if !debug && !started_by_terraform() {
        eprintln!("{STARTED_BY_HAND}");
        return ExitCode::FAILURE;
    }
    let mode = if debug { Mode::Debug("registry.terraform.io/test/probe".into()) } else { Mode::Plugin };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(serve(Arc::new(ProbeProvider), mode)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct ProbeProvider;

static PROVIDER_SCHEMA: LazyLock<ResourceSchema> = LazyLock::new(ResourceSchema::empty);
static THING_SCHEMA: LazyLock<ResourceSchema> =
    LazyLock::new(|| ResourceSchema::from_type::<Thing>(2).unwrap());

#[async_trait]
impl Provider for ProbeProvider {
    fn schema(&self) -> &ResourceSchema {
        &PROVIDER_SCHEMA
    }

    async fn validate(&self, _config: &Value, _diagnostics: &mut Diagnostics) {}

    async fn configure(&self, _config: &Value, _version: &str, _diagnostics: &mut Diagnostics) {}

    fn resources(&self) -> Vec<Arc<dyn ManagedResource>> {
        vec![Arc::new(ProbeThing)]
    }

    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource>> {
        vec![Arc::new(crate::lease::ProbeLease)]
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(crate::deed::ProbeDeed)]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(ProbeEcho), Arc::new(crate::deprecation::ProbeRelic)]
    }
}

/// A thing to probe with.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Thing {
    /// Fixed for the life of the thing.
    #[schemars(extend("x-terraform" = {"requires_replace": true}))]
    name: String,
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    size: u32,
    ratio: Option<f64>,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<u16>>,
    settings: Option<Settings>,
    steps: Option<Vec<Step>>,
    pools: Option<BTreeMap<String, Step>>,
    /// What `size` was called before.
    #[schemars(extend("x-terraform" = {"deprecated": "Use `size` instead."}))]
    amount: Option<u32>,
    behavior: Option<String>,
    #[schemars(extend("x-terraform" = {"write_only": true}))]
    secret: Option<String>,
    #[schemars(extend("x-terraform" = {"computed": true, "stable": true}))]
    id: Option<String>,
    /// Counts changes.
    #[schemars(extend("x-terraform" = {"computed": true}))]
    revision: Option<i64>,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Settings {
    #[serde(default)]
    mode: Speed,
    #[serde(default = "three")]
    timeout_seconds: u32,
    note: Option<String>,
    #[schemars(extend("x-terraform" = {"deprecated": "Use `timeout_seconds` instead."}))]
    patience: Option<u32>,
    #[schemars(extend("x-terraform" = {"computed": true}))]
    token: Option<String>,
}

#[derive(Deserialize, serde::Serialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Speed {
    /// Take care.
    #[default]
    Slow,
    /// Take none.
    Fast,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Step {
    action: String,
    #[serde(default = "three")]
    weight: u32,
}

fn three() -> u32 {
    3
}

struct ProbeThing;

impl ProbeThing {
    /// What is planned with everything unknown told.
    fn finished(planned: &Value, revision: i64) -> Value {
        let mut state = planned.clone();
        let id = format!("id-{}", planned.attribute("name").as_str().unwrap_or_default());
        state.set_attribute("id", id);
        state.set_attribute("revision", revision);
        if state.attribute("settings").as_map().is_some() {
            assert!(state.set(&Path::from("settings.token"), "made".into()));
        }
        state
    }
}

#[async_trait]
impl ManagedResource for ProbeThing {
    fn type_name(&self) -> &'static str {
        "probe_thing"
    }

    fn schema(&self) -> &ResourceSchema {
        &THING_SCHEMA
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        if config.attribute("name").as_str() == Some("forbidden") {
            diagnostics.error_at(&Path::from("name"), "Forbidden name", "Choose another one.");
        }
    }

    async fn read(&self, _: &Context, request: ReadRequest, _: &mut Diagnostics) -> ReadOutcome {
        let mut state = request.state;
        if state.attribute("revision").is_null() {
            let name = state.attribute("id").as_str().unwrap_or_default().replace("id-", "");
            state.set_attribute("name", name);
            state.set_attribute("size", 3);
            state.set_attribute("revision", 1);
        }
        ReadOutcome { state: Some(state), private: None }
    }

    async fn create(
        &self,
        context: &Context,
        request: CreateRequest,
        found: &mut Diagnostics,
    ) -> ApplyOutcome {
        match request.config.attribute("behavior").as_str() {
            Some("wait") => {
                eprintln!("{WAITING}");
                context.stop.cancelled().await;
                eprintln!("{STOPPED}");
                found.warning_at(&Path::root(), "Interrupted", "The thing is made and not finished.");
                return ApplyOutcome::state(Self::finished(&request.planned, 0));
            }
            Some("panic") => panic!("asked to panic"),
            Some("checkpoint and panic") => {
                context.checkpoint(Self::finished(&request.planned, 0));
                panic!("asked to panic");
            }
            _ => {}
        }
        assert!(request.planned.attribute("secret").is_null());
        ApplyOutcome { state: Some(Self::finished(&request.planned, 1)), private: Some(b"made".to_vec()) }
    }

    async fn update(&self, _: &Context, request: UpdateRequest, found: &mut Diagnostics) -> ApplyOutcome {
        match request.config.attribute("behavior").as_str() {
            Some("panic") => panic!("asked to panic"),
            Some("fail") => {
                found.error_at(&Path::from("behavior"), "Asked to fail", "Nothing was changed.");
                return ApplyOutcome::none();
            }
            _ => {}
        }
        let revision = request.prior.attribute("revision").as_i64().unwrap_or_default() + 1;
        ApplyOutcome::state(Self::finished(&request.planned, revision))
    }

    async fn delete(&self, _: &Context, _: DeleteRequest, _: &mut Diagnostics) -> ApplyOutcome {
        ApplyOutcome::none()
    }

    async fn import(&self, _: &Context, id: &str, _: &mut Diagnostics) -> Option<Imported> {
        let mut state = THING_SCHEMA.null_object();
        state.set_attribute("id", id);
        Some(Imported { state, private: Vec::new() })
    }

    async fn upgrade(
        &self,
        version: i64,
        mut state: serde_json::Value,
        _: &mut Diagnostics,
    ) -> Option<serde_json::Value> {
        assert_eq!(version, 1);
        let old = state.as_object_mut()?;
        let title = old.remove("title")?;
        old.insert("name".into(), title);
        Some(state)
    }
}

/// Says what it is told.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Echo {
    #[schemars(length(max = 9))]
    said: String,
    #[schemars(extend("x-terraform" = {"computed": true}))]
    heard: Option<String>,
}

struct ProbeEcho;

static ECHO_SCHEMA: LazyLock<ResourceSchema> =
    LazyLock::new(|| ResourceSchema::from_type::<Echo>(0).unwrap());

#[async_trait]
impl DataSource for ProbeEcho {
    fn type_name(&self) -> &'static str {
        "probe_echo"
    }

    fn schema(&self) -> &ResourceSchema {
        &ECHO_SCHEMA
    }

    async fn read(&self, _: &Context, config: &Value, _: &mut Diagnostics) -> Option<Value> {
        let said = config.attribute("said").as_str().filter(|said| !said.is_empty())?;
        let mut state = config.clone();
        state.set_attribute("heard", said.to_uppercase());
        Some(state)
    }
}

/// The schema of `probe_thing`, for those who encode its values.
pub fn thing_schema() -> &'static ResourceSchema {
    &THING_SCHEMA
}
