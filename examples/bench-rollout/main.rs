//! How close rollouts with real processes come to the shortest time that their limits allow.
//!
//! Starts an agent of its own in a temporary folder, rolls versions whose replicas take a known time to start, and prints
//! the bound beside what was measured. `make bench` runs it. It needs no accelerator, no account and no network.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sluice::clock::SystemClock;
use sluice::cloud::Cloud;
use sluice::cloud::local::{LocalCloud, LocalSettings};
use sluice::engine::{Engine, Target, this_process};
use sluice::ledger::Ledger;
use sluice::rollout::{Limits, Phase, bound_seconds};
use sluice::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, PinnedVersion, TimeSpan, VersionNumber,
    VersionSpec,
};
use sluice::version::{Digest, VersionRecord};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// No rollout here takes longer, whatever happens.
const ROLLOUT_MAX: Duration = Duration::from_mins(10);
/// The agent ends within this time.
const END_MAX: Duration = Duration::from_secs(30);

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(name = "bench-rollout", about = "Measure rollouts with real processes against their bound")]
struct Arguments {
    /// Time that a replica takes to load
    #[arg(long, default_value = "5s")]
    start: TimeSpan,
    /// Replicas of each version
    #[arg(long, default_value_t = 4)]
    replicas: u32,
}

/// A rollout to measure.
struct Course {
    name: &'static str,
    policy: DeploymentPolicy,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench-rollout: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let cloud = LocalCloud::connect(LocalSettings {
        data_dir: Some(folder.path().join("agent")),
        autostart: true,
        device_slots: Some(arguments.replicas * 4),
        program: beside("terraform-provider-sluice")?,
        ..LocalSettings::default()
    })?;
    let measured = roll_all(arguments, folder.path(), &cloud).await;
    let ended = timeout(END_MAX, cloud.shut_down_agent(true)).await;
    measured?;
    Ok(ended??)
}

async fn roll_all(arguments: &Arguments, folder: &Path, cloud: &LocalCloud) -> Result<(), Failure> {
    let model = train(folder).await?;
    let ledger = Ledger::open(&format!("file://{}", folder.join("ledger").display()))?;
    let engine = Engine {
        cloud: Arc::new(cloud.clone()),
        ledger,
        clock: Arc::new(SystemClock),
        holder: this_process(),
        poll: Duration::from_millis(100),
    };
    let endpoint = EndpointName::new("bench")?;
    cloud.put_endpoint(&EndpointSpec::named(endpoint.clone())).await?;
    println!("{} replicas that take {} to start", arguments.replicas, arguments.start);
    println!("{:<28} {:>9} {:>9} {:>11}", "policy", "bound", "measured", "efficiency");
    let mut number = 0;
    let first = mint(&engine, &endpoint, number, &spec(arguments, &model, number)?).await?;
    roll(&engine, &endpoint, first, &serde_json::from_value(serde_json::json!({ "min_ready": "0s" }))?)
        .await?;
    for course in courses()? {
        number += 1;
        let version = mint(&engine, &endpoint, number, &spec(arguments, &model, number)?).await?;
        let policy = course.policy;
        let limits = Limits::resolve(arguments.replicas, policy.surge(), policy.unavailable(), false)?;
        // Nothing is in flight here, so that a drain takes no time of its own.
        let bound = bound_seconds(&policy, &limits, arguments.start.as_duration().as_secs_f64(), 0.0);
        let took = roll(&engine, &endpoint, version, &policy).await?.as_secs_f64();
        println!("{:<28} {bound:>8.1}s {took:>8.1}s {:>11.3}", course.name, bound / took);
    }
    Ok(())
}

fn courses() -> Result<Vec<Course>, Failure> {
    let course = |name, policy: serde_json::Value| -> Result<Course, Failure> {
        let given: DeploymentPolicy = serde_json::from_value(policy)?;
        let drain = Drain { timeout: TimeSpan::from_seconds(5), unroute_delay: TimeSpan::ZERO };
        Ok(Course { name, policy: DeploymentPolicy { min_ready: TimeSpan::ZERO, drain, ..given } })
    };
    let canary = serde_json::json!({ "canary": { "weight": "25%", "bake": "5s" } });
    let second_fleet = serde_json::json!({ "strategy": "blue_green", "canary": { "bake": "5s" } });
    [
        course("max_surge 1", serde_json::json!({ "max_surge": 1 })),
        course("max_surge 2", serde_json::json!({ "max_surge": 2 })),
        course("1 and 1", serde_json::json!({ "max_surge": 1, "max_unavailable": 1 })),
        course("canary 25%, bake 5s", canary),
        course("blue_green, bake 5s", second_fleet),
    ]
    .into_iter()
    .collect()
}

/// Rolls to a version; says how long it took.
async fn roll(
    engine: &Engine,
    endpoint: &EndpointName,
    version: PinnedVersion,
    policy: &DeploymentPolicy,
) -> Result<Duration, Failure> {
    let target = Target { endpoint: endpoint.clone(), version, policy: policy.clone(), policy_name: None };
    let begun = Instant::now();
    let never = CancellationToken::new();
    let report = timeout(ROLLOUT_MAX, Box::pin(engine.run(&target, &never))).await??;
    match report.record.phase {
        Phase::Succeeded => Ok(begun.elapsed()),
        phase => Err(format!("the rollout ended as {}: {:?}", phase.as_str(), report.record.failure).into()),
    }
}

fn spec(arguments: &Arguments, model: &Path, number: u32) -> Result<VersionSpec, Failure> {
    let server = beside("examples/model-server")?;
    Ok(serde_json::from_value(serde_json::json!({
        "model": { "source": model },
        "container": { "command": [server, "serve", "--load-delay", arguments.start] },
        "scaling": { "min_replicas": arguments.replicas },
        "health": { "interval": "100ms" },
        "env": { "BENCH_VERSION": number.to_string() },
    }))?)
}

async fn mint(
    engine: &Engine,
    endpoint: &EndpointName,
    number: u32,
    spec: &VersionSpec,
) -> Result<PinnedVersion, Failure> {
    let pinned = engine.cloud.pin(spec).await?;
    let pins = pinned.map_err(|problems| format!("the version cannot be used: {problems:?}"))?;
    let record = VersionRecord {
        cloud: CloudName::Local,
        endpoint: endpoint.clone(),
        number: VersionNumber(number),
        digest: Digest::of(spec, &pins),
        spec: spec.clone(),
        pins,
        created_at: engine.clock.now(),
        created_by: "bench-rollout".to_owned(),
        comment: None,
        changes: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        rollback_of: None,
    };
    engine.ledger.mint(&record).await?;
    Ok(record.pinned())
}

async fn train(folder: &Path) -> Result<PathBuf, Failure> {
    let (text, model) = (folder.join("words.txt"), folder.join("words.model"));
    tokio::fs::write(&text, "one two three one two four\n").await?;
    let mut command = tokio::process::Command::new(beside("examples/model-server")?);
    command.arg("train").arg("--text").arg(&text).arg("--output").arg(&model);
    let status = command.kill_on_drop(true).status().await?;
    if status.success() { Ok(model) } else { Err(format!("training ended with {status}").into()) }
}

/// A program of the same build: this one lies in `examples` beside them.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let build = own.parent().and_then(Path::parent).ok_or("this program lies nowhere")?;
    let program = build.join(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!("{} is missing: cargo build --bins --examples", program.display()).into())
}
