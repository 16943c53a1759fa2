//! The whole story on this machine: train, apply, roll, fail, repair, roll back, drift, destroy.
//!
//! `make demo` builds and runs it. It needs no accelerator, no account and no network; it works in a temporary folder
//! of its own, asks nothing, and checks every claim that it makes. The exit code is 0 only if all of them held.

mod fleet;
mod load;
mod processes;
mod steps;
mod story;
mod terraform;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::steps::Demo;
use crate::story::{Failure, Story, broken};
use crate::workspace::Workspace;

/// Time for the agent to take the order to end.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);
/// Time for what the agent supervises to end with it.
const CLEANUP_DEADLINE: Duration = Duration::from_secs(5);
const SHUTDOWNS: u32 = 3;

#[derive(Debug, Parser)]
#[command(name = "demo", about = "Roll, fail, roll back, detect drift and destroy, with every claim checked")]
struct Arguments {
    /// Leave the folder with configuration, state, ledger and logs
    #[arg(long)]
    keep: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let story = Story::new();
    let (place, stop) = match Workspace::create().and_then(|place| Ok((place, stop_on_signals()?))) {
        Ok(prepared) => prepared,
        Err(failure) => {
            eprintln!("demo: {failure}");
            return ExitCode::FAILURE;
        }
    };
    println!("Sluice demo in {}", place.root().display());
    let told = match Demo::new(&story, &place, stop) {
        Ok(demo) => demo.run().await,
        Err(failure) => Err(failure),
    };
    if told.is_err() {
        println!("\nCleaning up …");
        clean_up(&place).await;
    }
    conclude(&story, place, &told, arguments.keep)
}

/// Says how it went, and what is where.
fn conclude(story: &Story, place: Workspace, told: &Result<(), Failure>, keep: bool) -> ExitCode {
    let (claims, seconds) = (story.claims(), story.seconds());
    let code = match told {
        Ok(()) => {
            println!("\nAll {claims} claims hold ({seconds} s).");
            ExitCode::SUCCESS
        }
        Err(Failure::Interrupted) => {
            println!("Interrupted after {claims} claims ({seconds} s). Every process was ended.");
            ExitCode::FAILURE
        }
        Err(Failure::Claim { claim, evidence }) => {
            println!("\nFAILED after {claims} claims ({seconds} s): {claim}\n\n{evidence}\n");
            ExitCode::FAILURE
        }
        Err(Failure::Broken(what)) => {
            println!("\nFAILED after {claims} claims ({seconds} s): {what}\n");
            ExitCode::FAILURE
        }
    };
    let failed = matches!(told, Err(Failure::Claim { .. } | Failure::Broken(_)));
    if keep || failed {
        println!(
            "Kept: {} (logs of terraform and load: logs; of the agent and its replicas: cloud)",
            place.keep().display()
        );
    }
    code
}

/// Ends everything that the demo started, whatever state it is in.
async fn clean_up(place: &Workspace) {
    let (Ok(cloud), Ok(places)) = (steps::cloud(place), steps::end::places(place)) else { return };
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    // More than once: a provider that is about to end may have started another agent.
    for _ in 0..SHUTDOWNS {
        let _not_running = tokio::time::timeout(SHUTDOWN_DEADLINE, cloud.shut_down_agent(true)).await;
        if processes::wait_until_gone(&places, CLEANUP_DEADLINE).await.is_empty() {
            return;
        }
    }
    processes::end_all(&places).await;
}

/// A token that is cancelled by the first Ctrl-C, or another signal that means the end.
fn stop_on_signals() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut arrivals = signal(kind).map_err(broken("handle signals"))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                stop.cancel();
            }
        });
    }
    Ok(stop)
}
