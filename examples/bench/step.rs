//! What one decision of the engine costs: the figures of the bench `step`.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::report::{Outcome, Section, Verdict};
use crate::{Bench, Failure};

/// The bench takes half a minute; building it is the work of whoever runs this program.
const BENCH_MAX: Duration = Duration::from_mins(3);
/// Replicas of the endpoint, as in the bench.
const SIZES: [u32; 3] = [100, 1_000, 10_000];
/// How much more a decision may cost for each replica among many than among few.
const GROWTH_MAX: f64 = 1.5;

const COMMAND: [&str; 6] = ["bench", "--locked", "--profile", "measure", "--bench", "step"];

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    let mut command = Command::new("cargo");
    command.args(COMMAND).args(["--", "--quiet"]).current_dir(env!("CARGO_MANIFEST_DIR")).kill_on_drop(true);
    if bench.short {
        command.args(["--warm-up-time", "1", "--measurement-time", "2"]);
    }
    let output = timeout(BENCH_MAX, command.output()).await??;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let results = bench.build.parent().ok_or("the build lies nowhere")?.join("criterion/step");
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
        command: format!("cargo {}", COMMAND.join(" ")),
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

fn mean_nanoseconds(results: &Path, size: u32) -> Result<f64, Failure> {
    let text = std::fs::read_to_string(results.join(format!("{size}/new/estimates.json")))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let mean = estimates.pointer("/mean/point_estimate").and_then(serde_json::Value::as_f64);
    mean.ok_or_else(|| format!("the bench left no mean for {size} replicas").into())
}
