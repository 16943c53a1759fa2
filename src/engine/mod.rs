//! Stage 7: runs a rollout. IO and time live here; every decision is `rollout::step`'s.
//!
//! In: an endpoint, the version it should serve, a policy. The loop: observe, step, record the intent, act, observe
//! again. Everything needed to go on is in the cloud and the ledger, so that a run that dies at any moment is taken
//! up by the next one. Out: a [`Report`] that says how it ended and what serves, after looking.

mod act;
mod adopt;
mod bring_back;
mod command;
mod delete;
mod error;
pub mod follow;
mod gates;
mod holder;
mod notes;
mod open;
mod preflight;
mod retire;
mod run;
mod supervise;
mod verify;
mod view;

use std::sync::Arc;
use std::time::Duration;

pub use command::{CommandError, Told, command};
pub use error::EngineError;
pub use holder::this_process;
pub use notes::LedgerNotes;
pub use run::{Report, Target};
pub use verify::{Verdict, verify};
pub use view::{EndpointView, RolloutView, Status};

use crate::clock::{Clock, SteadyClock};
use crate::cloud::{Cloud, CloudError, CloudSettings, connect};
use crate::ledger::{Holder, Ledger};
use crate::spec::CloudName;

/// How long a lease lasts unless it is renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How often a lease is renewed.
const LEASE_RENEWAL: Duration = Duration::from_secs(10);

/// Drives rollouts on one cloud.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The cloud that serves.
    pub cloud: Arc<dyn Cloud>,
    /// Where intents and outcomes are recorded.
    pub ledger: Ledger,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who drives.
    pub holder: Holder,
    /// Time between two looks at the fleet.
    pub poll: Duration,
}

impl Engine {
    /// An engine for a cloud that is yet to be connected. Its clock agrees with the machine's at this moment; setting
    /// that one later neither ends a rollout nor draws out a bake.
    ///
    /// # Errors
    /// The settings lead nowhere.
    pub async fn connect(
        cloud: CloudName,
        settings: &CloudSettings,
        ledger: Ledger,
    ) -> Result<Self, CloudError> {
        let notes = Arc::new(LedgerNotes { ledger: ledger.clone(), cloud });
        let cloud = connect(cloud, settings, notes).await?;
        let poll = cloud.poll_interval();
        Ok(Self { cloud, ledger, clock: Arc::new(SteadyClock::start()), holder: this_process(), poll })
    }
}
