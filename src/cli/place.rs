//! Where the command line finds the cloud and the ledger: the same places as the provider, unless told otherwise.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::agent::locations::Locations;
use crate::cloud::Chain;
use crate::cloud::local::{LocalCloud, LocalSettings};
use crate::ledger::{Ledger, address};

/// Where the cloud and the ledger are.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The local cloud's folder [default: that of the agent]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The ledger's address [default: `$SLUICE_LEDGER`, or `ledger` in the local cloud's folder]
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
}

impl Place {
    /// The local cloud, where it runs; never started from here.
    pub fn cloud(&self) -> Result<LocalCloud, CliError> {
        let settings = LocalSettings { data_dir: self.data_dir.clone(), ..LocalSettings::default() };
        LocalCloud::connect(settings).map_err(|error| CliError::Failed(error.chain()))
    }

    /// The ledger. A command never begins one: what it is about was recorded by an apply.
    pub fn ledger(&self) -> Result<Ledger, CliError> {
        let locations = Locations::new(self.data_dir.clone(), None)
            .map_err(|error| CliError::Failed(Chain(&error).to_string()))?;
        Ledger::open_existing(&address(self.ledger.clone(), &locations.data_dir))
            .map_err(|error| CliError::Failed(Chain(&error).to_string()))
    }
}
