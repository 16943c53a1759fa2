//! `sluice_pause_rollout` and its like: one word to the rollout that is under way.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;

use super::{endpoint, place};
use crate::clock::{Clock as _, SystemClock};
use crate::engine::{self, CommandError};
use crate::rollout::Command;
use crate::spec::{CloudName, EndpointName};
use crate::terraform::action::{Action, Progress};
use crate::terraform::diagnostics::{Diagnostics, Report as _, sentence};
use crate::terraform::provider::Connections;
use crate::terraform::resource::Context;
use crate::terraform::schema::{ResourceSchema, SchemaError};
use crate::terraform::value::{Path, Value};

/// A word as an action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    type_name: &'static str,
    command: Command,
    description: &'static str,
}

/// The words that need nothing but the name of the endpoint.
pub(super) const WORDS: [Word; 4] = [
    Word {
        type_name: "sluice_pause_rollout",
        command: Command::Pause,
        description: "Lets the rollout that is under way start and stop nothing until it is resumed. What is ready \
                      keeps serving, and no deadline runs on.",
    },
    Word {
        type_name: "sluice_resume_rollout",
        command: Command::Resume,
        description: "Lets a rollout go on that was paused, or that waits after a batch.",
    },
    Word {
        type_name: "sluice_promote_canary",
        command: Command::Promote,
        description: "Lets the rest of a version follow its canary, without waiting any longer.",
    },
    Word {
        type_name: "sluice_abort_rollout",
        command: Command::Abort,
        description: "Gives up the rollout that is under way and goes back to the prior version. The apply that runs it \
                      fails and says who asked.",
    },
];

/// Whose rollout.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Whose {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    cloud: Option<CloudName>,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    endpoint: EndpointName,
}

/// The action of one word.
pub(super) struct Say {
    word: Word,
    schema: ResourceSchema,
    connections: Arc<Connections>,
}

impl Say {
    /// The action on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(word: Word, connections: Arc<Connections>) -> Result<Self, SchemaError> {
        let schema = ResourceSchema::from_type::<Whose>(0)?.described(word.description);
        Ok(Self { word, schema, connections })
    }
}

#[async_trait]
impl Action for Say {
    fn type_name(&self) -> &'static str {
        self.word.type_name
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        endpoint(config, diagnostics);
    }

    async fn invoke(&self, _: &Context, config: &Value, progress: &Progress, diagnostics: &mut Diagnostics) {
        say(&self.connections, config, self.word.command, progress, diagnostics).await;
    }
}

/// Gives a command to the rollout that a configuration names.
pub(super) async fn say(
    connections: &Connections,
    config: &Value,
    command: Command,
    progress: &Progress,
    diagnostics: &mut Diagnostics,
) -> Option<()> {
    let (cloud, endpoint) = place(connections, config, diagnostics)?;
    let ledger = connections.ledger(diagnostics)?;
    match engine::command(&ledger, cloud, &endpoint, command, SystemClock.now()).await {
        Ok(told) => progress.tell(&told.to_string()).await,
        Err(error) => report(&error, command, diagnostics),
    }
    Some(())
}

fn report(error: &CommandError, command: Command, diagnostics: &mut Diagnostics) {
    let path = match error {
        CommandError::Ledger(_) => Path::root(),
        CommandError::NoRollout { .. } | CommandError::Idle { .. } => Path::from("endpoint"),
    };
    let detail = sentence(&crate::cloud::Chain(error).to_string());
    diagnostics.error_at(
        &path,
        format!("No rollout was told to {}", command.as_str()),
        format!("{detail} Nothing was changed."),
    );
}
