//! What the service does not document, and may do one way or the other.

/// When `CurrentVersion` moves to the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// When an update is accepted.
    Accepted,
    /// When it is complete.
    Completed,
}

/// What `LatestVersion` is after `UpdateServiceVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// What it was.
    Kept,
    /// A number of its own.
    New,
}

/// What `Partition` means when a plan is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Replicas to update.
    Update,
    /// Replicas to keep.
    Keep,
}

/// Spelling of the stored document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// As it was sent.
    AsSent,
    /// With keys moved to their other place, and keys that nobody sent.
    Rewritten,
}

/// Whether replicas say that they run the latest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    Told,
    Untold,
}

/// Whether raising the partition takes replicas back to the old version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    Works,
    Ignored,
}

/// How an emulator behaves.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// Seconds that pass with each call that describes a service; none when the test drives the clock itself.
    pub auto: u64,
    /// Descriptions after a change that still show what was before.
    pub stale_reads: u32,
    pub flip: Flip,
    pub numbering: Numbering,
    pub partition: Partition,
    pub stored: Stored,
    pub latest: Latest,
    pub way_back: WayBack,
    /// Status of a service whose update has halted.
    pub halted: &'static str,
    /// Status of a service that keeps replicas of both versions by its plan.
    pub held: &'static str,
    /// Versions that are kept.
    pub retention: usize,
    /// Seconds for which temporary keys are good.
    pub key_life: i64,
    /// Traffic state and weight of a service that was created in a group.
    pub joins: (&'static str, i64),
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            auto: 0,
            stale_reads: 0,
            flip: Flip::Completed,
            numbering: Numbering::Kept,
            partition: Partition::Update,
            stored: Stored::AsSent,
            latest: Latest::Told,
            way_back: WayBack::Works,
            halted: "Updating",
            held: "Updating",
            retention: 10,
            key_life: 3_600,
            joins: ("grouping", -1),
        }
    }
}
