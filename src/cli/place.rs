//! Where the command line finds the cloud and the ledger: the same places as the provider, unless told otherwise.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::agent::locations::Locations;
use crate::cloud::local::{LocalCloud, LocalSettings};
use crate::cloud::{Chain, CloudSettings};
use crate::engine::Engine;
use crate::ledger::{Ledger, address};
use crate::spec::{CloudName, EndpointName, RolloutRevision};

/// Names that are told to somebody who mistyped one.
const OTHERS_MAX: usize = 8;

/// Where the cloud and the ledger are.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The cloud of the endpoint
    #[arg(long, value_name = "NAME", env = "SLUICE_CLOUD", default_value_t = CloudName::Local)]
    pub cloud: CloudName,
    /// The local cloud's folder [default: that of the agent]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The ledger's address [default: `$SLUICE_LEDGER`, or `ledger` in the local cloud's folder]
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
}

impl Place {
    /// The local cloud, where it runs; never started from here.
    pub fn local_cloud(&self) -> Result<LocalCloud, CliError> {
        let settings = LocalSettings { data_dir: self.data_dir.clone(), ..LocalSettings::default() };
        LocalCloud::connect(settings).map_err(|error| CliError::Failed(error.chain()))
    }

    /// The engine on the cloud, which is reached as its own tools reach it; no agent is started from here.
    pub async fn engine(&self) -> Result<Engine, CliError> {
        let local = LocalSettings { data_dir: self.data_dir.clone(), ..LocalSettings::default() };
        let settings = CloudSettings { local, ..CloudSettings::default() };
        let connected = Engine::connect(self.cloud, &settings, self.ledger()?).await;
        connected.map_err(|error| CliError::Failed(error.chain()))
    }

    /// What a ledger knows instead of an endpoint that it does not know, for those who mistyped its name.
    pub async fn others(&self, ledger: &Ledger, endpoint: &EndpointName) -> String {
        let cloud = self.cloud;
        let known = ledger.endpoints(cloud).await.unwrap_or_default();
        if known.contains(endpoint) {
            return String::new();
        }
        let named: Vec<&str> = known.iter().take(OTHERS_MAX).map(EndpointName::as_str).collect();
        match known.len() {
            0 => format!("; it has no endpoint of the {cloud} cloud"),
            1..=OTHERS_MAX => format!("; of the {cloud} cloud it has {}", named.join(", ")),
            all => format!("; of the {cloud} cloud it has {all}, such as {}", named.join(", ")),
        }
    }

    /// That an endpoint has no rollout, or not this one.
    pub async fn no_rollout(
        &self,
        ledger: &Ledger,
        endpoint: &EndpointName,
        rollout: Option<RolloutRevision>,
    ) -> CliError {
        let rollout = rollout.map_or_else(String::new, |rollout| format!(" {rollout}"));
        let others = self.others(ledger, endpoint).await;
        let url = ledger.url();
        CliError::Input(format!(
            "endpoint `{endpoint}` has no rollout{rollout} in the ledger at {url}{others}"
        ))
    }

    /// The ledger. A command never begins one: what it is about was recorded by an apply.
    pub fn ledger(&self) -> Result<Ledger, CliError> {
        let locations = Locations::new(self.data_dir.clone(), None)
            .map_err(|error| CliError::Failed(Chain(&error).to_string()))?;
        Ledger::open_existing(&address(self.ledger.clone(), &locations.data_dir))
            .map_err(|error| CliError::Failed(Chain(&error).to_string()))
    }
}
