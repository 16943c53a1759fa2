//! One binary: a Terraform plugin when Terraform starts it, a command line otherwise.

use std::process::ExitCode;
use std::sync::Arc;

use sluice::terraform::provider::SluiceProvider;
use sluice::terraform::{self, Mode};

/// Address under which the registry knows the provider.
const ADDRESS: &str = "registry.terraform.io/sluice-rs/sluice";

fn main() -> ExitCode {
    let debug = std::env::args().nth(1).is_some_and(|argument| argument == "--debug");
    if debug {
        return serve(Mode::Debug(ADDRESS.to_owned()));
    }
    if std::env::args().len() > 1 {
        return sluice::cli::run();
    }
    if terraform::started_by_terraform() {
        return serve(Mode::Plugin);
    }
    complain(terraform::STARTED_BY_HAND)
}

fn serve(mode: Mode) -> ExitCode {
    let provider = match SluiceProvider::new() {
        Ok(provider) => Arc::new(provider),
        Err(error) => return complain(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("failed to start the runtime: {error}")),
    };
    match runtime.block_on(terraform::serve(provider, mode)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&sluice::cloud::Chain(&error).to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "standard output belongs to the handshake")]
fn complain(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}
