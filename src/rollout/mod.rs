//! Stages 5 and 6: the rollout, decided. Pure: no async, no clock, no IO, no randomness.
//!
//! In: what is ([`Fleet`](crate::fleet::Fleet)), what is wanted, the policy, what is remembered ([`Record`]) and the
//! time. Out: the next [`Decision`]. Preview, apply, resume, rollback and simulation all call the same [`step`].
//!
//! Invariants: replicas that hold devices never exceed `desired + max_surge` by our doing, draining ones included;
//! no stop leaves fewer than `desired - max_unavailable` ready; both hold whichever subset of a decision is carried out.

#[cfg(test)]
mod arbitrary;
mod bound;
mod canary;
mod capacity;
mod census;
mod command;
mod explain;
mod failure;
mod gates;
mod limits;
mod pace;
mod pending;
mod phase;
mod preview;
#[cfg(test)]
mod properties;
mod record;
mod simulate;
mod step;
mod supervise;
mod traffic;
mod warm;

pub use bound::bound_seconds;
pub use command::{Adjustment, Command, obey};
pub use failure::fail;
pub use gates::gates_due;
pub use limits::{Limits, LimitsError};
pub use pending::{PendingStart, PendingStop, VISIBILITY_MAX};
pub use phase::Phase;
pub use preview::{Expected, Preview, PreviewError, preview};
pub use record::{
    BatchProgress, CanaryProgress, Failure, FailureClass, GateProgress, Progress, Record, Side,
};
pub use simulate::{Distribution, Outcome, PlayedStep, Simulation, SimulationError, simulate};
pub use step::{Accounting, Action, Budget, Decision, Input, step};
pub use supervise::{Order, Supervised, Supervision, Watch, supervise};
pub use traffic::OrderedWeights;
