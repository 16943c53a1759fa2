//! `agent run` and `agent stop`: the local cloud's agent.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, block_on};
use crate::agent::{AgentOptions, Session};
use crate::cloud::Chain;
use crate::cloud::local::{LocalCloud, LocalSettings};
use crate::spec::TimeSpan;

/// What to do with the agent.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Run the agent in the foreground
    Run(AgentRun),
    /// End the agent that runs; replicas and gateway go on serving
    Stop(AgentStop),
}

/// Which agent to end, and what with it.
#[derive(Debug, Args)]
pub struct AgentStop {
    /// The agent's folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// End every replica and the gateway too
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub fn run(command: AgentCommand) -> Result<String, CliError> {
    match command {
        AgentCommand::Run(run) => block_on(crate::agent::run(run.into()))?
            .map(|()| String::new())
            .map_err(|error| CliError::Failed(Chain(&error).to_string())),
        AgentCommand::Stop(stop) => block_on(end(stop))?.map(|()| String::new()),
    }
}

async fn end(stop: AgentStop) -> Result<(), CliError> {
    let settings = LocalSettings { data_dir: stop.data_dir, ..LocalSettings::default() };
    let ended = async { LocalCloud::connect(settings)?.shut_down_agent(stop.all).await };
    ended.await.map_err(|error| CliError::Failed(error.chain()))
}

/// Runs the agent of the local cloud in the foreground.
#[derive(Debug, Clone, Args)]
pub struct AgentRun {
    /// Folder of the agent [default: `$SLUICE_DATA_DIR`, `$XDG_DATA_HOME/sluice` or ~/.local/share/sluice]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Socket of the control API [default: agent.sock in the folder]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// TCP port for the control API as well
    #[arg(long, value_name = "HOST:PORT", requires = "token_file")]
    pub listen: Option<SocketAddr>,
    /// File with the token that callers on the TCP port must show
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
    /// Number of device slots [default: as many as there are devices]
    #[arg(long, value_name = "N")]
    pub device_slots: Option<u32>,
    /// Type of the devices [default: nvidia if there are such devices, otherwise cpu]
    #[arg(long, value_name = "TYPE")]
    pub device_type: Option<String>,
    /// End when there have been no endpoints and no calls for so long, for example 10s
    #[arg(long, value_name = "DURATION")]
    pub exit_when_idle: Option<TimeSpan>,
    /// Leave the terminal: a session of its own, SIGINT and SIGHUP ignored
    #[arg(long)]
    pub detached: bool,
}

impl From<AgentRun> for AgentOptions {
    fn from(run: AgentRun) -> Self {
        Self {
            data_dir: run.data_dir,
            socket: run.socket,
            listen: run.listen,
            token_file: run.token_file,
            device_slots: run.device_slots,
            device_type: run.device_type,
            exit_when_idle: run.exit_when_idle.map(TimeSpan::as_duration),
            session: if run.detached { Session::Detached } else { Session::Attached },
        }
    }
}
