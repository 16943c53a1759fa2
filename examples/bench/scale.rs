//! What a rollout of very many replicas costs the engine and the ledger. Nothing runs here: rollouts are simulated, and
//! what would be written is measured.

use serde_json::json;
use sluice::ledger::{Entry, EntryKind, Holder, Lease, Seen};
use sluice::rollout::{Accounting, Action, Input, Side, Simulation, preview, simulate, step};
use sluice::spec::{DeploymentPolicy, REPLICAS_MAX, TimeSpan, VersionNumber};
use tokio::time::Instant;

use crate::report::{Outcome, Section, Verdict};
use crate::scene::scene;
use crate::{Bench, Failure};

/// Replicas of the endpoint, up to as many as a version may have.
const SIZES: [u32; 3] = [100, 1_000, REPLICAS_MAX];
/// Policies: surge, unavailable, and the most replicas for which a rollout of as many steps is simulated.
const POLICIES: [(&str, &str, u32); 3] =
    [("1", "0", 1_000), ("1%", "0", REPLICAS_MAX), ("25%", "25%", REPLICAS_MAX)];
/// Time that a replica takes to load a model, and to drain.
const START_SECONDS: f64 = 60.0;
const DRAIN_SECONDS: f64 = 10.0;
/// The holder of a lease writes an entry at least this often.
const RENEWAL_SECONDS: f64 = 10.0;
/// How much more one replica may cost in the ledger among many than among few.
const GROWTH_MAX: f64 = 1.5;

pub fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    let sizes = if bench.short { SIZES.split_at(2).0 } else { SIZES.as_slice() };
    let mut rows = Vec::new();
    let mut each = Vec::new();
    for replicas in sizes {
        let bytes = bytes(*replicas)?;
        each.push(bytes.decision / f64::from(*replicas));
        for (surge, unavailable, _) in POLICIES.iter().filter(|(_, _, most)| replicas <= most) {
            rows.push(row(*replicas, surge, unavailable, &bytes)?);
        }
    }
    let growth = match each.as_slice() {
        [first, .., last] => last / first,
        _ => return Err("nothing was measured".into()),
    };
    Ok(Outcome::Measured(Section {
        title: "Scale",
        about: format!(
            "Rollouts of very many replicas, simulated with the same `step` that real ones use: replicas take \
             {START_SECONDS} s to start and {DRAIN_SECONDS} s to drain. Entries that decide hold the whole fleet, so \
             that anybody can make the decision again; their size is that of an entry in the middle of a rollout, \
             written as the ledger writes it. Calls are those that start or stop a replica. A preview that would take \
             longer than a moment is one line instead."
        ),
        command: "cargo run --profile measure --example bench -- --only scale".to_owned(),
        head: vec![
            "replicas",
            "surge, unavailable",
            "makespan",
            "bound / makespan",
            "calls",
            "decisions",
            "renewals",
            "one look",
            "one entry",
            "journal",
            "preview in the plan",
        ],
        rows,
        verdicts: vec![Verdict {
            goal: format!(
                "an entry of the journal grows with the replicas: for each at most {GROWTH_MAX} times as much"
            ),
            measured: format!("{growth:.2} times"),
            met: growth <= GROWTH_MAX,
        }],
        notes: Vec::new(),
    }))
}

fn row(replicas: u32, surge: &str, unavailable: &str, bytes: &Bytes) -> Result<Vec<String>, Failure> {
    let policy: DeploymentPolicy = serde_json::from_value(json!({
        "max_surge": surge, "max_unavailable": unavailable, "min_ready": "0s",
    }))?;
    let side = |version| Side { version: VersionNumber(version), replicas };
    let begun = Instant::now();
    preview(Some(side(0)), side(1), 1, &policy, None)?;
    let previewed = begun.elapsed();
    // No deadline is to cut a long rollout short.
    let policy = DeploymentPolicy { progress_deadline: TimeSpan::from_seconds(1_000_000), ..policy };
    let simulation: Simulation = serde_json::from_value(json!({
        "replicas": replicas, "policy": policy, "start_seconds": START_SECONDS, "drain_seconds": DRAIN_SECONDS,
    }))?;
    let played = simulate(&simulation)?;
    let actions = played.steps.iter().flat_map(|step| &step.actions);
    let calls: u64 = actions
        .map(|action| match action {
            Action::Start { count, .. } => u64::from(*count),
            Action::Stop { .. } | Action::Weights { .. } => 1,
        })
        .sum();
    let decisions = played.steps.len();
    let renewals = (played.makespan_seconds / RENEWAL_SECONDS).floor();
    Ok(vec![
        replicas.to_string(),
        format!("{surge}, {unavailable}"),
        format!("{:.0} s", played.makespan_seconds),
        format!("{:.3}", played.efficiency),
        calls.to_string(),
        decisions.to_string(),
        format!("{renewals}"),
        size(bytes.look),
        size(bytes.decision),
        size(renewals * bytes.renewal + as_float(decisions) * bytes.decision),
        format!("{:.0} ms", previewed.as_secs_f64() * 1e3),
    ])
}

/// What is read and written of an endpoint with so many replicas, in bytes.
struct Bytes {
    /// The fleet, as a look at it brings it.
    look: f64,
    /// An entry that renews the lease.
    renewal: f64,
    /// An entry that decides.
    decision: f64,
}

fn bytes(replicas: u32) -> Result<Bytes, Failure> {
    let (endpoint, fleet, record, now) = scene(replicas);
    let accounting = Accounting::Devices;
    let input = Input { endpoint: &endpoint, fleet: &fleet, record: &record, readings: &[], now, accounting };
    let decision = step(&input)?;
    let holder =
        Holder { name: "user@machine".to_owned(), machine: "machine".to_owned(), pid: 1, started: 1 };
    let renewal = Entry {
        sequence: 1,
        at: now,
        kind: EntryKind::Renewed,
        lease: Lease { holder, until: now, fence: 1 },
        record: decision.record.clone(),
        seen: None,
        actions: Vec::new(),
        orders: Vec::new(),
        reasons: Vec::new(),
        budget: None,
        results: Vec::new(),
        previous: None,
    };
    let look = as_float(serde_json::to_vec(&fleet)?.len());
    let seen = Seen { fleet, update: None, record, readings: Vec::new(), now };
    let decided = Entry {
        kind: EntryKind::Decided,
        seen: Some(seen),
        actions: decision.actions,
        reasons: decision.reasons,
        budget: Some(decision.budget),
        ..renewal.clone()
    };
    let written = |entry: &Entry| Ok::<_, Failure>(as_float(serde_json::to_vec_pretty(entry)?.len()));
    Ok(Bytes { look, renewal: written(&renewal)?, decision: written(&decided)? })
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn size(bytes: f64) -> String {
    if bytes < 1e6 { format!("{:.0} kB", bytes / 1e3) } else { format!("{:.1} MB", bytes / 1e6) }
}
