//! What a test can make the emulator do. Tests in Rust hand orders over; scripts in other languages post them to
//! `/_emulator` as JSON.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

/// One order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Moves the clock by seconds.
    Advance(i64),
    /// Makes each look at an endpoint move the clock by seconds; zero makes it stand still again.
    AdvanceByLook(i64),
    /// How the next creation or update of an endpoint goes. Several queue up.
    Script { endpoint: String, script: Script },
    /// Something goes wrong on the way.
    Fault(Fault),
    /// The credentials that are known by now run out, or work again. Those that are handed out later are good.
    Expire(bool),
    /// After how many seconds credentials say that they end which are handed out from now on.
    SessionLife(u32),
    /// How many instances of a type the account may have.
    Quota { instance_type: String, instances: u32 },
    /// How many times a new endpoint configuration cannot be found yet.
    ConfigLag(u32),
    /// How many looks at an endpoint still show what was before the next update.
    StaleLooks(u32),
    /// The platform works on an endpoint by itself, for seconds.
    Maintain { endpoint: String, seconds: i64 },
    /// Autoscaling changes the number of instances.
    Scale { endpoint: String, instances: u32 },
    /// Whether callers may deregister scalable targets by deleting an endpoint.
    MayDeregister(bool),
}

/// How a creation or an update goes. As it should, unless told otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// What goes wrong.
    pub failure: Option<Failure>,
    /// No reason is told after the way back.
    pub silent: bool,
    /// The status says `RollingBack` on the way back; otherwise it goes on saying `Updating`.
    pub shows_rolling_back: bool,
    /// What is told when the way back fails too.
    pub rollback_fails: Option<String>,
    /// The endpoint ends as `Failed`.
    pub ends_failed: bool,
}

/// What goes wrong, in the batch with this number, the first being 1.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// An alarm goes off while the batch bakes.
    Alarm { name: String, batch: u32 },
    /// New instances do not come up; the reason is told in these words.
    Start { reason: String, batch: u32 },
}

impl Failure {
    /// New containers fail their health check.
    pub fn health(batch: u32) -> Self {
        let reason = "The primary container for production variant main did not pass the ping health check. Please \
                      check CloudWatch logs for this endpoint.";
        Self::Start { reason: reason.into(), batch }
    }

    /// There are no instances to be had.
    pub fn capacity(batch: u32) -> Self {
        let reason =
            "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.";
        Self::Start { reason: reason.into(), batch }
    }
}

/// Something that goes wrong on the way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// For this operation; for every one when not given.
    #[serde(default)]
    pub operation: Option<String>,
    /// How many times.
    pub times: u32,
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An answer with this status and no usable body; nothing is carried out.
    Status(u16),
    Throttle,
    /// This error; nothing is carried out.
    Refuse {
        code: String,
        message: String,
    },
    /// The connection ends before the operation is carried out.
    DropBefore,
    /// The connection ends after it was carried out.
    DropAfter,
}

/// Everything that tests have set.
#[derive(Debug, Default)]
pub struct Knobs {
    pub scripts: BTreeMap<String, VecDeque<Script>>,
    pub faults: Vec<Fault>,
    pub quotas: BTreeMap<String, u32>,
    pub config_lag: u32,
    pub stale_looks: u32,
    pub may_not_deregister: bool,
}

impl Knobs {
    /// What goes wrong with this call, if anything does.
    pub fn fault(&mut self, operation: &str) -> Option<FaultKind> {
        let concerns = |fault: &Fault| fault.operation.as_deref().is_none_or(|one| one == operation);
        let fault = self.faults.iter_mut().find(|fault| fault.times > 0 && concerns(fault))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }

    /// How the next creation or update of an endpoint goes.
    pub fn next_script(&mut self, endpoint: &str) -> Script {
        let queue = self.scripts.get_mut(&endpoint.to_lowercase());
        queue.and_then(VecDeque::pop_front).unwrap_or_default()
    }
}
