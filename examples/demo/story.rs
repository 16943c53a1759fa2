//! What the reader of the terminal sees: headings, commands, lines, and a check mark for every claim that held.

use std::cell::Cell;
use std::fmt::Display;

use tokio::time::Instant;

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something that should be true is not.
    #[error("{claim}")]
    Claim { claim: String, evidence: String },
    /// The user or the system asked the demo to stop.
    #[error("interrupted")]
    Interrupted,
    /// The demo itself could not go on.
    #[error("{0}")]
    Broken(String),
}

/// Turns an error into a failure that says what was being done.
pub fn broken<E: Display>(what: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let what = what.into();
    move |error| Failure::Broken(format!("failed to {what}: {error}"))
}

/// Counts headings and claims while telling them.
#[derive(Debug)]
pub struct Story {
    started: Instant,
    headings: Cell<u32>,
    claims: Cell<u32>,
}

impl Story {
    /// A story that begins now.
    pub fn new() -> Self {
        Self { started: Instant::now(), headings: Cell::new(0), claims: Cell::new(0) }
    }

    /// Opens the next numbered step.
    pub fn heading(&self, text: &str) {
        self.headings.set(self.headings.get() + 1);
        println!("\n{}. {text}", self.headings.get());
    }

    /// Checks a claim.
    ///
    /// # Errors
    /// It does not hold; the evidence says what was seen instead.
    pub fn claim(
        &self,
        claim: impl Into<String>,
        holds: bool,
        evidence: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let claim = claim.into();
        if !holds {
            println!("   ✗ {claim}");
            return Err(Failure::Claim { claim, evidence: evidence() });
        }
        self.claims.set(self.claims.get() + 1);
        println!("   ✓ {claim}");
        Ok(())
    }

    /// How many claims held so far.
    pub fn claims(&self) -> u32 {
        self.claims.get()
    }

    /// Seconds since the story began.
    pub fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

/// Shows a line of detail.
pub fn line(text: impl Display) {
    println!("     {text}");
}

/// Shows a command as somebody would type it.
pub fn show_command(text: &str) {
    println!("   $ {text}");
}
