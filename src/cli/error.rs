//! How a command fails: exit code 2 for what the caller got wrong, 1 for what went wrong.

use std::process::ExitCode;

use crate::spec::spelled_out;

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments or the input make no sense.
    #[error("{0}")]
    Input(String),
    /// The command could not do its work.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// Tells the user, and the shell.
    #[expect(clippy::print_stderr, reason = "errors of a command line go to standard error")]
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {}", spelled_out(&self.to_string()));
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}
