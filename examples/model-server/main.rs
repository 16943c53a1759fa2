//! A small language model and a server for it: what the examples and the tests deploy.
//!
//! It stands for a real inference engine. It shares no code with Sluice on purpose, for Sluice must treat it as any
//! other program: start it, wait for `/health`, send it requests, stop it with SIGTERM.

mod api;
mod artifact;
mod completion;
mod faults;
mod model;
mod sampling;
mod server;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::faults::{Faults, duration};
use crate::model::Model;

#[derive(Debug, Parser)]
#[command(
    name = "model-server",
    about = "Train a small language model, or serve one over the OpenAI completions API"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Train),
    Serve(Box<Serve>),
}

/// Count the n-grams of a text and write the model
#[derive(Debug, clap::Args)]
struct Train {
    /// The text to learn from
    #[arg(long, value_name = "FILE")]
    text: PathBuf,

    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// The name that the model answers with [default: the text's file name without its extension]
    #[arg(long)]
    name: Option<String>,

    /// The longest sequence of words to count
    #[arg(long, default_value_t = 3)]
    order: usize,
}

/// Load a model and answer completions until SIGTERM
#[derive(Debug, clap::Args)]
struct Serve {
    #[arg(long, value_name = "FILE", help = "The model to load [default: $MODEL_PATH]")]
    model: Option<PathBuf>,

    /// The address to listen on [default: $HOST, or 127.0.0.1]
    #[arg(long)]
    host: Option<String>,

    /// The port to listen on; 0 takes a free one and prints it [default: $PORT]
    #[arg(long)]
    port: Option<u16>,

    /// The name to serve the model under [default: the name stored in the model]
    #[arg(long)]
    name: Option<String>,

    /// The pace of generation
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2ms")]
    token_interval: Duration,

    /// Take this long to load the weights
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "load_seconds_per_mib")]
    load_delay: Option<Duration>,

    /// Take this long for every MiB of weights
    #[arg(long, value_name = "SECONDS")]
    load_seconds_per_mib: Option<f64>,

    #[command(flatten)]
    faults: Faults,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Train(arguments) => report(train(&arguments)),
        Command::Serve(arguments) => match settings(*arguments) {
            Ok(settings) => report(server::serve(settings).await),
            Err(problem) => {
                eprintln!("model-server: {problem}");
                ExitCode::from(2)
            }
        },
    }
}

fn report<E: std::error::Error>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            let chain = causes.fold(error.to_string(), |chain, cause| format!("{chain}: {cause}"));
            eprintln!("model-server: {chain}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TrainError {
    #[error("failed to read text {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("failed to train on {path}")]
    Train { path: PathBuf, source: model::ModelError },
    #[error("failed to write model {path}")]
    Write { path: PathBuf, source: std::io::Error },
}

fn train(arguments: &Train) -> Result<(), TrainError> {
    let path = &arguments.text;
    let text =
        std::fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.clone(), source })?;
    let name = arguments.name.clone().unwrap_or_else(|| name_of(path));
    let model = Model::train(&name, &text, arguments.order)
        .map_err(|source| TrainError::Train { path: path.clone(), source })?;
    let bytes = artifact::encode(&model);
    write(&arguments.output, &bytes)
        .map_err(|source| TrainError::Write { path: arguments.output.clone(), source })?;
    println!(
        "trained {name}: {} words, {} {}-grams, {} bytes, sha256 {}… → {}",
        model.vocabulary().len(),
        model.longest_ngrams(),
        arguments.order,
        bytes.len(),
        artifact::checksum(&bytes),
        arguments.output.display(),
    );
    Ok(())
}

/// Writes beside the target and renames, so that nobody ever loads half a model.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path)
}

fn name_of(text: &Path) -> String {
    text.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Flags first, then the environment, then defaults.
fn settings(arguments: Serve) -> Result<server::Settings, String> {
    let model = arguments
        .model
        .or_else(|| std::env::var_os("MODEL_PATH").map(PathBuf::from))
        .ok_or("no model: give --model or set MODEL_PATH")?;
    let port = match (arguments.port, std::env::var("PORT")) {
        (Some(port), _) => port,
        (None, Ok(port)) => port.parse().map_err(|_| format!("PORT is {port:?}, not a port number"))?,
        (None, Err(_)) => return Err("no port: give --port or set PORT".to_owned()),
    };
    let host =
        arguments.host.or_else(|| std::env::var("HOST").ok()).unwrap_or_else(|| "127.0.0.1".to_owned());
    let load_pace = match (arguments.load_delay, arguments.load_seconds_per_mib) {
        (Some(delay), _) => server::LoadPace::Fixed(delay),
        (None, Some(seconds)) => {
            let per_mib = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
            server::LoadPace::PerMib(per_mib)
        }
        (None, None) => server::LoadPace::Fixed(Duration::ZERO),
    };
    let Serve { name, token_interval, faults, .. } = arguments;
    Ok(server::Settings { model, host, port, name, token_interval, load_pace, faults })
}
