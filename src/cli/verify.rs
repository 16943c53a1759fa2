//! `verify`: checks the journal of a rollout, without asking any cloud.

use clap::Args;
use serde::Serialize;

use super::place::Place;
use super::{CliError, block_on, failed, to_json};
use crate::engine::{Verdict, verify};
use crate::spec::{EndpointName, RolloutRevision};

/// Which journal to check.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Name of the endpoint
    endpoint: EndpointName,
    /// Number of the rollout; the newest when not given
    #[arg(value_parser = revision)]
    rollout: Option<RolloutRevision>,
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    endpoint: &'a EndpointName,
    rollout: RolloutRevision,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Runs the command. Findings are a failure.
pub fn run(arguments: &VerifyArguments) -> Result<String, CliError> {
    let (rollout, verdict) = block_on(check(arguments))??;
    let proven = verdict.findings.is_empty();
    let endpoint = &arguments.endpoint;
    let text = if arguments.json {
        to_json(&Answer { endpoint, rollout, verdict })?
    } else {
        let Verdict { entries, decisions, findings } = verdict;
        let head =
            format!("rollout {rollout} of {endpoint}: {entries} entries, {decisions} decisions made again");
        let verdict =
            if proven { "the chain is whole and every limit was kept" } else { "it does not hold:" };
        [vec![format!("{head}; {verdict}")], findings].concat().join("\n  ")
    };
    if proven { Ok(text) } else { Err(CliError::Failed(text)) }
}

async fn check(arguments: &VerifyArguments) -> Result<(RolloutRevision, Verdict), CliError> {
    let ledger = arguments.place.ledger()?;
    let endpoint = &arguments.endpoint;
    let found = match arguments.rollout {
        Some(revision) => ledger.rollout(arguments.place.cloud, endpoint, revision).await,
        None => ledger.current_rollout(arguments.place.cloud, endpoint).await,
    };
    let Some((journal, _)) = found.map_err(|error| failed(&error))? else {
        return Err(arguments.place.no_rollout(&ledger, endpoint, arguments.rollout).await);
    };
    let entries = journal.entries().await.map_err(|error| failed(&error))?;
    Ok((journal.revision(), verify(endpoint, &entries)))
}

fn revision(text: &str) -> Result<RolloutRevision, String> {
    let digits = text.strip_prefix('r').unwrap_or(text);
    digits.parse().map(RolloutRevision).map_err(|_| format!("`{text}` is not a rollout such as r7"))
}
