//! `gateway run`: the local cloud's gateway.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, block_on};
use crate::agent::gateway::GatewayOptions;
use crate::cloud::Chain;

/// What to do with the gateway.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Run the gateway in the foreground; the agent starts it by itself
    Run(GatewayRun),
}

/// Runs the command.
pub fn run(command: GatewayCommand) -> Result<String, CliError> {
    let GatewayCommand::Run(run) = command;
    block_on(crate::agent::gateway::run(run.into()))?
        .map(|()| String::new())
        .map_err(|error| CliError::Failed(Chain(&error).to_string()))
}

/// Runs the gateway of the local cloud. The agent starts it by itself.
#[derive(Debug, Clone, Args)]
pub struct GatewayRun {
    /// Socket of the gateway's control API
    #[arg(long, value_name = "PATH")]
    pub control_socket: PathBuf,
}

impl From<GatewayRun> for GatewayOptions {
    fn from(run: GatewayRun) -> Self {
        Self::new(run.control_socket)
    }
}
