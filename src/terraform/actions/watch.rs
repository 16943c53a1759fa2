//! `sluice_watch_rollout`: follows a rollout and tells how it goes, line by line.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{endpoint, place};
use crate::cloud::Chain;
use crate::engine::follow::{Follower, News, ending, line};
use crate::ledger::LedgerError;
use crate::rollout::Record;
use crate::spec::{CloudName, EndpointName, TimeSpan};
use crate::terraform::action::{Action, Progress};
use crate::terraform::decode::decode;
use crate::terraform::diagnostics::{Diagnostics, Report as _, sentence};
use crate::terraform::provider::Connections;
use crate::terraform::resource::Context;
use crate::terraform::schema::{ResourceSchema, SchemaError};
use crate::terraform::value::{Path, Value};

/// How long a rollout is watched that nobody gave a time.
const TIMEOUT: TimeSpan = TimeSpan::from_seconds(60 * 60);

/// Follows the newest rollout of an endpoint until it ends, and tells each entry of its journal in a line. A rollout
/// that does not succeed is an error, and so is one that takes longer than `timeout`; neither changes the rollout.
#[derive(Deserialize, JsonSchema)]
struct WatchRollout {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    #[expect(dead_code, reason = "only its schema is used")]
    cloud: Option<CloudName>,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    #[expect(dead_code, reason = "only its schema is used")]
    endpoint: EndpointName,
    /// How long to watch at most, such as `"30m"`. One hour by default.
    timeout: Option<TimeSpan>,
}

/// The action `sluice_watch_rollout`.
pub(super) struct Watch {
    schema: ResourceSchema,
    connections: Arc<Connections>,
}

impl Watch {
    /// The action on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        Ok(Self { schema: ResourceSchema::from_type::<WatchRollout>(0)?, connections })
    }
}

#[async_trait]
impl Action for Watch {
    fn type_name(&self) -> &'static str {
        "sluice_watch_rollout"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        endpoint(config, diagnostics);
        timeout(config, diagnostics);
    }

    async fn invoke(
        &self,
        context: &Context,
        config: &Value,
        progress: &Progress,
        diagnostics: &mut Diagnostics,
    ) {
        let (Some((cloud, endpoint)), Some(timeout), Some(ledger)) = (
            place(&self.connections, config, diagnostics),
            timeout(config, diagnostics),
            self.connections.ledger(diagnostics),
        ) else {
            return;
        };
        let mut follower = Follower::new(ledger, cloud, endpoint.clone());
        // Where it stood at the last look, for those who do not see the end.
        let mut stands = None;
        let ended = tokio::select! {
            ended = follow(&mut follower, progress, &mut stands) => ended,
            () = tokio::time::sleep(timeout.as_duration()) => Err(Missed::Late(timeout)),
            () = context.stop.cancelled() => Err(Missed::Stopped),
            () = progress.unheard() => return,
        };
        match ended {
            Ok(told) => progress.tell(&told).await,
            Err(missed) => missed.report(&endpoint, stands.as_ref(), diagnostics),
        }
    }
}

/// Why the good end of a rollout was not seen.
enum Missed {
    /// There never was one.
    NoRollout,
    /// It ended otherwise.
    Failed(String),
    /// It had not ended by then.
    Late(TimeSpan),
    /// Terraform was asked to end.
    Stopped,
    /// The journal cannot be read.
    Unreadable(LedgerError),
}

/// Tells what is new until nothing will follow, and then how it ended.
async fn follow(
    follower: &mut Follower,
    progress: &Progress,
    stands: &mut Option<Record>,
) -> Result<String, Missed> {
    loop {
        let news = follower.look().await.map_err(Missed::Unreadable)?;
        let News { entries, newest, is_last } = news.ok_or(Missed::NoRollout)?;
        *stands = Some(newest.record.clone());
        for entry in &entries {
            progress.tell(&line(entry)).await;
        }
        if is_last {
            return ending(&newest.record).map_err(Missed::Failed);
        }
        tokio::time::sleep(Follower::POLL).await;
    }
}

impl Missed {
    fn report(self, endpoint: &EndpointName, stands: Option<&Record>, diagnostics: &mut Diagnostics) {
        let stands = stands.map_or_else(String::new, |record| {
            format!(
                " Rollout {} stands at `{}`; watching changed nothing.",
                record.revision,
                record.phase.as_str()
            )
        });
        let (path, summary, detail) = match self {
            Self::NoRollout => (
                Path::from("endpoint"),
                "Nothing to watch",
                format!("Endpoint `{endpoint}` has no rollout in the ledger."),
            ),
            Self::Failed(how) => (Path::root(), "The rollout did not succeed", sentence(&how)),
            Self::Late(limit) => (
                Path::from("timeout"),
                "The rollout has not ended",
                format!("It had not ended after {limit}.{stands}"),
            ),
            Self::Stopped => (
                Path::root(),
                "The watch was stopped",
                format!("The rollout of endpoint `{endpoint}` had not ended.{stands}"),
            ),
            Self::Unreadable(error) => (Path::root(), "The ledger cannot be read", Chain(&error).to_string()),
        };
        diagnostics.error_at(&path, summary, detail);
    }
}

/// How long to watch; nothing while that is unknown.
fn timeout(config: &Value, diagnostics: &mut Diagnostics) -> Option<TimeSpan> {
    let WatchRollout { timeout, .. } = decode(config, &Path::root(), diagnostics)?;
    if timeout == Some(TimeSpan::ZERO) {
        diagnostics.error_at(&Path::from("timeout"), "No time at all", "timeout must be longer than zero.");
        return None;
    }
    Some(timeout.unwrap_or(TIMEOUT))
}
