//! One replica: how it starts, fails to start, and leaves.

use super::state::Image;

/// Seconds between two starts of a process that ends at once.
const RESTART_EVERY: u64 = 10;

/// Where a replica stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Pending,
    Creating,
    Running,
    Failed,
    Terminating,
    Gone,
}

/// One replica.
#[derive(Debug, Clone)]
pub struct Replica {
    pub name: String,
    pub version: u32,
    pub stage: Stage,
    /// When it entered this stage.
    pub since: u64,
    pub born: u64,
    pub restarts: u64,
    pub reason: String,
    /// Seconds that it gets to finish its requests.
    pub grace: u64,
}

impl Replica {
    pub fn new(name: String, version: u32, now: u64, grace: u64) -> Self {
        let reason = "Pending".to_owned();
        Self { name, version, stage: Stage::Pending, since: now, born: now, restarts: 0, reason, grace }
    }

    /// It gets traffic.
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Running
    }

    /// It counts as a replica of the service.
    pub fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Terminating | Stage::Gone)
    }

    pub fn has_failed(&self) -> bool {
        self.stage == Stage::Failed
    }

    /// Takes it out of traffic; it ends after its grace period.
    pub fn terminate(&mut self, now: u64) {
        if self.is_live() {
            let stage = if self.is_ready() { Stage::Terminating } else { Stage::Gone };
            self.enter(stage, now, "Terminating");
        }
    }

    /// What time does to it.
    pub fn live_on(&mut self, now: u64, image: &Image) {
        let age = now - self.since;
        match self.stage {
            Stage::Pending if image.devices && age >= 1 => {
                self.enter(Stage::Creating, now, "ContainerCreating");
            }
            Stage::Pending if !image.devices => self.reason = "InsufficientResource".into(),
            Stage::Creating if image.missing => self.enter(Stage::Failed, now, "ImagePullBackOff"),
            Stage::Creating if image.crashes && age >= image.starts_after => {
                self.restarts += 1;
                self.enter(Stage::Failed, now, "CrashLoopBackOff");
            }
            Stage::Creating if age >= image.starts_after => self.enter(Stage::Running, now, "Running"),
            Stage::Running if image.crashes => {
                self.restarts += 1;
                self.enter(Stage::Failed, now, "CrashLoopBackOff");
            }
            Stage::Failed if self.restarts > 0 && age >= RESTART_EVERY => {
                self.restarts += 1;
                self.enter(Stage::Failed, now, "CrashLoopBackOff");
            }
            Stage::Terminating if age >= self.grace => self.enter(Stage::Gone, now, "Gone"),
            _ => {}
        }
    }

    fn enter(&mut self, stage: Stage, now: u64, reason: &str) {
        self.stage = stage;
        self.since = now;
        reason.clone_into(&mut self.reason);
    }

    /// The service's word for its stage.
    pub fn status(&self) -> &'static str {
        match self.stage {
            Stage::Pending => "Pending",
            Stage::Creating => "Creating",
            Stage::Running => "Running",
            Stage::Failed => "Failed",
            Stage::Terminating | Stage::Gone => "Terminating",
        }
    }
}
