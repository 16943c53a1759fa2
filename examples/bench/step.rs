//! What one decision of the engine costs: the figures of the bench `step`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::report::{Outcome, Section, Verdict};
use crate::{Bench, Failure};

/// The bench takes half a minute.
const BENCH_MAX: Duration = Duration::from_mins(3);
/// Replicas of the endpoint, as in the bench.
const SIZES: [u32; 3] = [100, 1_000, 10_000];
/// How much more a decision may cost for each replica among many than among few.
const GROWTH_MAX: f64 = 1.5;

const COMMAND: &str = "cargo bench --locked --profile measure --bench step";

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    let results = bench.folder("criterion")?;
    let mut command = Command::new(program(&bench.build.join("deps"))?);
    command.args(["--bench", "--quiet"]).env("CRITERION_HOME", &results).kill_on_drop(true);
    if bench.short {
        command.args(["--warm-up-time", "1", "--measurement-time", "2"]);
    }
    let output = timeout(BENCH_MAX, command.output()).await??;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let results = results.join("step");
    let times = SIZES.map(|size| mean_nanoseconds(&results, size).map(|mean| (size, mean)));
    let times = times.into_iter().collect::<Result<Vec<_>, _>>()?;
    let each = |(size, nanoseconds): &(u32, f64)| nanoseconds / f64::from(*size);
    let rows = times.iter().map(|time| {
        vec![time.0.to_string(), format!("{:.0} µs", time.1 / 1e3), format!("{:.0} ns", each(time))]
    });
    let growth = match times.as_slice() {
        [first, .., last] => each(last) / each(first),
        _ => return Err("nothing was measured".into()),
    };
    Ok(Outcome::Measured(Section {
        title: "One decision of the engine",
        about:
            "One call of `rollout::step` in the middle of a rollout by quarters, by the number of replicas."
                .to_owned(),
        command: COMMAND.to_owned(),
        head: vec!["replicas", "one step", "for each replica"],
        rows: rows.collect(),
        verdicts: vec![Verdict {
            goal: format!("linear from 100 to 10,000 replicas: for each at most {GROWTH_MAX} times as much"),
            measured: format!("{growth:.2} times"),
            met: growth <= GROWTH_MAX,
        }],
        notes: Vec::new(),
    }))
}

/// The newest build of the bench. Cargo itself is not asked: within a run of its own it builds much of it anew.
fn program(folder: &Path) -> Result<PathBuf, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("step-") && path.extension().is_none() {
            found.push((path.metadata()?.modified()?, path));
        }
    }
    let newest = found.into_iter().max().map(|(_, path)| path);
    newest.ok_or_else(|| "the bench `step` was not built: `make bench` builds it".into())
}

fn mean_nanoseconds(results: &Path, size: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(results.join(format!("{size}/new/estimates.json")))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let mean = estimates.pointer("/mean/point_estimate").and_then(serde_json::Value::as_f64);
    mean.ok_or_else(|| format!("the bench left no mean for {size} replicas").into())
}
