//! What a test decides beforehand: how deployments end, and how the platform behaves where nobody has documented it.

use serde::Deserialize;

/// How a deployment ends: a create, an update, a wake or a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It serves.
    #[default]
    Succeeds,
    /// An update fails, the endpoint runs on with the old settings, and this is its error code.
    RunsOnWithError(String),
    /// An update fails, the endpoint runs on with the old settings, and nothing tells.
    RunsOnSilently,
    /// It fails, with an error code or without, while old replicas go on.
    Fails(Option<String>),
    /// There is no capacity, and it waits for some for ever.
    WaitsForCapacity,
}

/// What nobody has documented.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer to one question that stands open")]
pub struct Habits {
    /// An update that changes nothing makes a version all the same.
    pub mints_without_change: bool,
    /// An update is taken while another one goes on, and takes over from it.
    pub supersedes: bool,
    /// The number of a version that failed stays in the history.
    pub keeps_failed_numbers: bool,
    /// An update of an endpoint that sleeps or was terminated is taken, and starts it.
    pub updates_at_rest: bool,
    /// Nobody counts replicas.
    pub counts_nothing: bool,
    /// The history names the author of each version, and not the creator of the endpoint.
    pub names_authors: bool,
    /// How old an endpoint is when lists begin to show it.
    pub listed_after: i64,
    /// How long an update takes. With none, nobody ever sees that it goes on.
    pub seconds_of_update: i64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            mints_without_change: true,
            supersedes: false,
            keeps_failed_numbers: true,
            updates_at_rest: false,
            counts_nothing: false,
            names_authors: false,
            listed_after: 0,
            seconds_of_update: 60,
        }
    }
}
