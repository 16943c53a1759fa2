//! The command line: one file per command. The same binary is the Terraform plugin when Terraform starts it.

pub mod agent;
mod error;
pub mod gateway;
mod rollout;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::CliError;

/// GPU inference endpoints: rollouts, the local cloud, and what runs on it.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The agent of the local cloud
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// The gateway of the local cloud
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// Decisions of the rollout engine, without a cloud
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Endpoints of the local cloud and their replicas
    Status(status::StatusArguments),
}

/// Runs what has to be awaited. A program that serves wants every core; a question does not.
fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("failed to start the runtime: {error}")))?;
    Ok(runtime.block_on(future))
}

/// Runs the command that the arguments name.
#[expect(clippy::print_stdout, reason = "a command line answers on standard output")]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let answer = match arguments.command {
        Command::Agent(command) => agent::run(command),
        Command::Gateway(command) => gateway::run(command),
        Command::Rollout(command) => rollout::run(&command),
        Command::Status(arguments) => status::run(&arguments),
    };
    match answer {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => error.report(),
    }
}
