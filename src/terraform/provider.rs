//! The `provider "sluice"` block: which cloud, which ledger, and how to reach them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;

use super::action::Action;
use super::decode::decode;
use super::deployment_policy::DeploymentPolicyResource;
use super::diagnostics::{Diagnostics, Report, sentence};
use super::endpoint::EndpointResource;
use super::endpoint_token::EndpointTokenResource;
use super::endpoint_version::EndpointVersionResource;
use super::ephemeral::EphemeralResource;
use super::function::Function;
use super::list::ListResource;
use super::refresh::Refresh;
use super::resource::{DataSource, ManagedResource, Provider};
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};
use super::{actions, data_sources, functions, labels, lists};
use crate::agent::locations::Locations;
use crate::cloud::eas::EasSettings;
use crate::cloud::friendli::FriendliSettings;
use crate::cloud::local::LocalSettings;
use crate::cloud::sagemaker::SagemakerSettings;
use crate::cloud::vertex_ai::VertexAiSettings;
use crate::cloud::{Chain, CloudSettings};
use crate::engine::Engine;
use crate::ledger::{Ledger, LedgerError, address};
use crate::spec::{CloudName, PinnedVersion, VersionId};

/// Manages GPU inference endpoints, the immutable versions that they serve, and the policies by which one version
/// replaces another.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ProviderConfig {
    /// The cloud of resources that name none. `local` by default: replica processes on this machine.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    cloud: Option<CloudName>,
    /// Where versions and rollouts are recorded: `file:///path`, `s3://bucket/folder`, `gs://bucket/folder` or
    /// `az://container/folder`; credentials come from the environment. By default the folder `ledger` in the local
    /// cloud's data folder. Also read from `SLUICE_LEDGER`.
    ledger: Option<String>,
    /// Labels of every endpoint and version. A resource's own `labels` win over them.
    default_labels: Option<BTreeMap<String, String>>,
    /// How to reach the local cloud.
    local: Option<LocalConfig>,
    sagemaker: Option<SagemakerSettings>,
    vertex_ai: Option<VertexAiSettings>,
    eas: Option<EasSettings>,
    friendli: Option<FriendliSettings>,
}

/// How to reach the local cloud.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct LocalConfig {
    /// Folder of the agent's store, models and logs. By default `SLUICE_DATA_DIR`, else `sluice` in the user's data
    /// folder.
    data_dir: Option<String>,
    /// Path of the agent's socket. By default `agent.sock` in the data folder.
    socket: Option<String>,
    /// Address of an agent that listens on TCP: `HOST:PORT`. Needs `token`.
    address: Option<String>,
    /// Token of an agent that listens on TCP. Also read from `SLUICE_AGENT_TOKEN`.
    #[schemars(extend("x-terraform" = { "sensitive": true }))]
    token: Option<String>,
    /// Starts the agent when it is not running. `true` by default; not for an agent at an `address`.
    autostart: Option<bool>,
    /// Device slots of an agent that is started. By default the devices found on the machine.
    #[schemars(range(min = 1, max = 1024))]
    device_slots: Option<u32>,
    /// Device type of an agent that is started.
    device_type: Option<String>,
}

/// What is behind all resources: the configuration, connections made when first needed, and the versions planned by
/// this process.
#[derive(Debug, Default)]
pub struct Connections {
    settings: RwLock<Settings>,
    engines: AsyncMutex<BTreeMap<CloudName, Engine>>,
    planned: Mutex<BTreeMap<VersionId, PinnedVersion>>,
    /// Looks at endpoints while their states are refreshed.
    pub(super) refresh: Refresh,
}

#[derive(Debug, Default)]
struct Settings {
    config: ProviderConfig,
    /// Some of the configuration is not known yet: nothing can be asked while planning.
    incomplete: bool,
}

impl Connections {
    /// The cloud of resources that name none.
    pub fn default_cloud(&self) -> CloudName {
        self.settings().config.cloud.unwrap_or_default()
    }

    /// The cloud that a resource's value names, else the provider's.
    pub fn cloud_of(&self, value: &Value) -> CloudName {
        let named = value.attribute("cloud").as_str().and_then(|name| name.parse().ok());
        named.unwrap_or_else(|| self.default_cloud())
    }

    /// Labels of every resource.
    pub fn default_labels(&self) -> BTreeMap<String, String> {
        self.settings().config.default_labels.clone().unwrap_or_default()
    }

    /// Whether the configuration is complete enough to ask anything.
    pub fn is_complete(&self) -> bool {
        !self.settings().incomplete
    }

    /// The engine for a cloud; connects when first asked. What is wrong is reported.
    pub async fn engine(&self, cloud: CloudName, diagnostics: &mut Diagnostics) -> Option<Engine> {
        let mut engines = self.engines.lock().await;
        if let Some(engine) = engines.get(&cloud) {
            return Some(engine.clone());
        }
        match self.connect(cloud).await {
            Ok(engine) => {
                engines.insert(cloud, engine.clone());
                Some(engine)
            }
            Err((summary, detail)) => {
                diagnostics.error_at(&Path::root(), summary, detail);
                None
            }
        }
    }

    /// Notes a version that this process has planned: an endpoint planned after it can preview its rollout.
    pub fn note_planned(&self, id: VersionId, version: PinnedVersion) {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).insert(id, version);
    }

    /// A version that this process has planned.
    pub fn planned(&self, id: &VersionId) -> Option<PinnedVersion> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The ledger alone, for those who need no cloud. It must have been begun by an apply. What is wrong is reported.
    pub fn ledger(&self, diagnostics: &mut Diagnostics) -> Option<Ledger> {
        let config = self.settings().config.clone();
        let opened = local_settings(config.local.unwrap_or_default()).and_then(|(_, data_dir)| {
            Ledger::open_existing(&address(config.ledger, &data_dir)).map_err(|error| not_opened(&error))
        });
        opened.map_err(|(summary, detail)| diagnostics.error_at(&Path::root(), summary, detail)).ok()
    }

    async fn connect(&self, cloud: CloudName) -> Result<Engine, (String, String)> {
        let config = self.settings().config.clone();
        let (local, data_dir) = local_settings(config.local.unwrap_or_default())?;
        let url = address(config.ledger, &data_dir);
        let ledger = Ledger::open(&url).map_err(|error| not_opened(&error))?;
        let settings = CloudSettings {
            local,
            sagemaker: config.sagemaker.unwrap_or_default(),
            vertex_ai: config.vertex_ai.unwrap_or_default(),
            eas: config.eas.unwrap_or_default(),
            friendli: config.friendli.unwrap_or_default(),
        };
        Engine::connect(cloud, &settings, ledger)
            .await
            .map_err(|error| (format!("The {cloud} cloud cannot be used"), error.chain()))
    }

    fn settings(&self) -> std::sync::RwLockReadGuard<'_, Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_opened(error: &LedgerError) -> (String, String) {
    ("The ledger cannot be opened".to_owned(), sentence(&Chain(error).to_string()))
}

fn local_settings(config: LocalConfig) -> Result<(LocalSettings, PathBuf), (String, String)> {
    let unusable = |detail: String| ("The local cloud cannot be used".to_owned(), detail);
    let program = std::env::current_exe()
        .map_err(|error| unusable(format!("The provider cannot find its own program: {error}.")))?;
    let socket = config.socket.map(PathBuf::from);
    let locations = Locations::new(config.data_dir.map(PathBuf::from), socket.clone())
        .map_err(|error| unusable(Chain(&error).to_string()))?;
    let settings = LocalSettings {
        socket,
        autostart: config.autostart.unwrap_or(config.address.is_none()),
        token: config.token.or_else(|| std::env::var("SLUICE_AGENT_TOKEN").ok()),
        address: config.address,
        data_dir: Some(locations.data_dir.clone()),
        device_slots: config.device_slots,
        device_type: config.device_type,
        program,
    };
    Ok((settings, locations.data_dir))
}

/// The provider.
pub struct SluiceProvider {
    schema: ResourceSchema,
    connections: Arc<Connections>,
    resources: Vec<Arc<dyn ManagedResource>>,
    data_sources: Vec<Arc<dyn DataSource>>,
    ephemerals: Vec<Arc<dyn EphemeralResource>>,
    lists: Vec<Arc<dyn ListResource>>,
    actions: Vec<Arc<dyn Action>>,
    functions: Vec<Arc<dyn Function>>,
}

impl SluiceProvider {
    /// The provider, not yet configured.
    ///
    /// # Errors
    /// A type cannot be turned into a schema: a mistake in the program, which a test finds.
    pub fn new() -> Result<Self, SchemaError> {
        let connections = Arc::<Connections>::default();
        let resources: Vec<Arc<dyn ManagedResource>> = vec![
            Arc::new(EndpointResource::new(connections.clone())?),
            Arc::new(EndpointVersionResource::new(connections.clone())?),
            Arc::new(DeploymentPolicyResource::new(connections.clone())?),
        ];
        Ok(Self {
            schema: ResourceSchema::from_type::<ProviderConfig>(0)?,
            lists: lists::all(&connections, &resources)?,
            resources,
            data_sources: data_sources::all(&connections)?,
            ephemerals: vec![Arc::new(EndpointTokenResource::new(connections.clone())?)],
            actions: actions::all(&connections)?,
            functions: functions::all()?,
            connections,
        })
    }
}

#[async_trait]
impl Provider for SluiceProvider {
    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        labels::validate(config, "default_labels", diagnostics);
        let local = config.attribute("local");
        let set = |name: &str| !local.attribute(name).is_null();
        let known = |name: &str| local.attribute(name).is_wholly_known();
        if set("address") && known("token") && !set("token") && std::env::var("SLUICE_AGENT_TOKEN").is_err() {
            diagnostics.error_at(
                &Path::from("local.address"),
                "Missing token",
                "An agent that listens on TCP needs `token`, or SLUICE_AGENT_TOKEN in the environment.",
            );
        }
        if set("address") && local.attribute("autostart").as_bool() == Some(true) {
            diagnostics.error_at(
                &Path::from("local.autostart"),
                "Conflicting settings",
                "An agent at an `address` cannot be started from here: remove `autostart` or `address`.",
            );
        }
    }

    async fn configure(&self, config: &Value, _terraform_version: &str, diagnostics: &mut Diagnostics) {
        let decoded: Option<ProviderConfig> = decode(config, &Path::root(), diagnostics);
        let mut settings = self.connections.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.incomplete = !config.is_wholly_known();
        settings.config = decoded.unwrap_or_default();
    }

    fn resources(&self) -> Vec<Arc<dyn ManagedResource>> {
        self.resources.clone()
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        self.data_sources.clone()
    }

    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource>> {
        self.ephemerals.clone()
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource>> {
        self.lists.clone()
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        self.actions.clone()
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        self.functions.clone()
    }

    fn awaits_configuration(&self) -> bool {
        !self.connections.is_complete()
    }
}
