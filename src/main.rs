//! One binary: a Terraform plugin when Terraform starts it, a command line otherwise.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice::cli::agent::AgentRun;
use sluice::cli::gateway::GatewayRun;
use sluice::cloud::Chain;

#[derive(Debug, Parser)]
enum Command {
    #[command(subcommand)]
    Agent(AgentCommand),
    #[command(subcommand)]
    Gateway(GatewayCommand),
}

#[derive(Debug, Subcommand)]
enum AgentCommand {
    Run(AgentRun),
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    Run(GatewayRun),
}

fn main() -> ExitCode {
    let command = Command::parse();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        match command {
            Command::Agent(AgentCommand::Run(run)) => {
                sluice::agent::run(run.into()).await.map_err(Into::into)
            }
            Command::Gateway(GatewayCommand::Run(run)) => {
                sluice::agent::gateway::run(run.into()).await.map_err(Into::into)
            }
        }
    });
    // A model that is being copied does not hold up the end; the next agent removes what is left of the copy.
    runtime.shutdown_background();
    result
}
