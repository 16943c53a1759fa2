//! What a rollout of very many replicas costs the engine and the ledger. Nothing runs here: rollouts are simulated, and
//! what would be written is measured.

use std::time::Instant;

use serde_json::json;
use sluice::ledger::{Entry, EntryKind, Holder, Lease, Seen};
use sluice::rollout::{Accounting, Action, Input, Outcome as Simulated, Simulation, simulate, step};

use crate::report::{Outcome, Section, Verdict};
use crate::scene::scene;
use crate::{Bench, Failure};

/// Replicas of the endpoint.
const SIZES: [u32; 4] = [100, 1_000, 10_000, 100_000];
/// Policies: their names, and what they say.
const POLICIES: [(&str, &str, &str); 2] = [("1%, 0", "1%", "0"), ("25%, 25%", "25%", "25%")];
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
        let entry = entry_bytes(*replicas)?;
        each.push(entry.1 / f64::from(*replicas));
        for (name, surge, unavailable) in POLICIES {
            let begun = Instant::now();
            let played = simulated(*replicas, surge, unavailable)?;
            rows.push(row(*replicas, name, &played, entry, begun.elapsed().as_secs_f64()));
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
             written as the ledger writes it. Calls are those that start or stop a replica."
        ),
        command: "cargo run --profile measure --example bench -- --only scale".to_owned(),
        head: vec![
            "replicas",
            "surge, unavailable",
            "makespan",
            "of the bound",
            "calls",
            "decisions",
            "renewals",
            "one entry",
            "journal",
            "simulated in",
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

fn simulated(replicas: u32, surge: &str, unavailable: &str) -> Result<Simulated, Failure> {
    let simulation: Simulation = serde_json::from_value(json!({
        "replicas": replicas,
        "policy": {
            "max_surge": surge, "max_unavailable": unavailable, "min_ready": "0s", "total_timeout": "8h",
        },
        "start_seconds": START_SECONDS,
        "drain_seconds": DRAIN_SECONDS,
    }))?;
    Ok(simulate(&simulation)?)
}

fn row(replicas: u32, policy: &str, played: &Simulated, entry: (f64, f64), took: f64) -> Vec<String> {
    let actions = played.steps.iter().flat_map(|step| &step.actions);
    let calls: u64 = actions
        .map(|action| match action {
            Action::Start { count, .. } => u64::from(*count),
            Action::Stop { .. } | Action::Weights { .. } => 1,
        })
        .sum();
    let decisions = played.steps.len();
    let renewals = (played.makespan_seconds / RENEWAL_SECONDS).floor();
    let (renewal, decision) = entry;
    let journal = renewals * renewal + decision * as_float(decisions);
    vec![
        replicas.to_string(),
        policy.to_owned(),
        format!("{:.0} s", played.makespan_seconds),
        format!("{:.3}", played.efficiency),
        calls.to_string(),
        decisions.to_string(),
        format!("{renewals}"),
        size(decision),
        size(journal),
        format!("{took:.2} s"),
    ]
}

/// Bytes of an entry that renews the lease, and of one that decides.
fn entry_bytes(replicas: u32) -> Result<(f64, f64), Failure> {
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
    let seen = Seen { fleet, update: None, record, readings: Vec::new(), now };
    let decided = Entry {
        kind: EntryKind::Decided,
        seen: Some(seen),
        actions: decision.actions,
        reasons: decision.reasons,
        budget: Some(decision.budget),
        ..renewal.clone()
    };
    let bytes = |entry: &Entry| Ok::<_, Failure>(as_float(serde_json::to_vec_pretty(entry)?.len()));
    Ok((bytes(&renewal)?, bytes(&decided)?))
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn size(bytes: f64) -> String {
    if bytes < 1e6 { format!("{:.0} kB", bytes / 1e3) } else { format!("{:.1} MB", bytes / 1e6) }
}
