//! The command line: one file per command. The same binary is the Terraform plugin when Terraform starts it.

pub mod agent;
mod command;
mod error;
pub mod gateway;
mod history;
mod paint;
mod place;
mod preview;
mod report;
mod rollback;
pub mod rollout;
mod screen;
mod status;
mod table;
mod verify;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::rollout::Command as Word;

pub use error::CliError;

/// GPU inference endpoints: rollouts, the local cloud, and what runs on it.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, about, disable_help_subcommand = true)]
struct Arguments {
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    color: paint::Color,
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
    /// The versions of an endpoint, newest first
    History(history::HistoryArguments),
    /// What differs between two versions of an endpoint
    Diff(history::DiffArguments),
    /// Every step of a rollout with its time and price, before it runs
    Preview(preview::PreviewArguments),
    /// What a Terraform plan means for endpoints, as Markdown for a pull request
    Report(report::ReportArguments),
    /// Follow the newest rollout of an endpoint until it ends
    Watch(watch::WatchArguments),
    /// Stop starting and stopping replicas until told to go on
    Pause(command::CommandArguments),
    /// Go on after a pause
    Resume(command::CommandArguments),
    /// Let the rest of the version follow its canary, without waiting any longer
    Promote(command::CommandArguments),
    /// Change the batches that are still to come in the rollout that is under way
    Adjust(command::AdjustArguments),
    /// Give up the rollout that is under way and go back to the prior version
    Abort(command::CommandArguments),
    /// Bring back the settings of an earlier version, under a new number
    Rollback(rollback::RollbackArguments),
    /// Check the journal of a rollout: the chain, every decision, every limit
    Verify(verify::VerifyArguments),
}

/// Runs what has to be awaited. A program that serves wants every core; a question does not.
fn block_on<F: Future>(future: F) -> Result<F::Output, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("failed to start the runtime: {error}")))?;
    let output = runtime.block_on(future);
    // Blocking work that nobody waits for any more, such as a copy of a model, must not hold up the end.
    runtime.shutdown_background();
    Ok(output)
}

/// Prints a line. A reader that has seen enough and went away is no failure.
fn print(text: &str) -> Result<(), CliError> {
    match writeln!(std::io::stdout(), "{}", paint::without_strange_codes(text)) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("failed to write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> CliError {
    CliError::Failed(crate::cloud::Chain(error).to_string())
}

fn to_json(value: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::Failed(error.to_string()))
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let paint = paint::Paint::new(arguments.color);
    let answer = match arguments.command {
        Command::Agent(command) => agent::run(command),
        Command::Gateway(command) => gateway::run(command),
        Command::Rollout(command) => rollout::run(&command),
        Command::Status(arguments) => status::run(&arguments, paint),
        Command::History(arguments) => history::history(&arguments, paint),
        Command::Diff(arguments) => history::compare(&arguments, paint),
        Command::Preview(arguments) => preview::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Pause(arguments) => command::run(&arguments, Word::Pause),
        Command::Resume(arguments) => command::run(&arguments, Word::Resume),
        Command::Promote(arguments) => command::run(&arguments, Word::Promote),
        Command::Adjust(arguments) => command::adjust(&arguments),
        Command::Abort(arguments) => command::run(&arguments, Word::Abort),
        Command::Rollback(arguments) => rollback::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
    };
    match answer {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => print(&text).map_or_else(|error| error.report(), |()| ExitCode::SUCCESS),
        Err(error) => error.report(),
    }
}
