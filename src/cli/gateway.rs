//! `gateway run`: the local cloud's gateway.

use std::path::PathBuf;

use clap::Args;

use crate::agent::gateway::GatewayOptions;

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
