//! Rollouts of the local cloud with real processes, beside the shortest time that their limits allow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use sluice::clock::SystemClock;
use sluice::cloud::Cloud;
use sluice::engine::{Engine, Target, this_process};
use sluice::ledger::Ledger;
use sluice::rollout::{Limits, Phase, bound_seconds};
use sluice::spec::{
    CloudName, DeploymentPolicy, Drain, EndpointName, EndpointSpec, PinnedVersion, TimeSpan, VersionNumber,
    VersionSpec,
};
use sluice::version::{Digest, VersionRecord};
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::report::{Outcome, Section, Verdict};
use crate::{Bench, Failure};

/// Time that a replica takes to load.
const START: TimeSpan = TimeSpan::from_seconds(5);
/// Prescribed wait between the end of a replica's share of the traffic and its stop. Nothing is in flight here, so that
/// a drain takes no other time.
const UNROUTE_DELAY: TimeSpan = TimeSpan::from_seconds(1);
/// No rollout here takes longer, whatever happens.
const ROLLOUT_MAX: Duration = Duration::from_mins(3);
/// Rollouts under way at once: more of them would wait for each other's writes.
const AT_ONCE: usize = 7;
/// Rollouts that take longer at best show nothing that shorter ones do not.
const BOUND_MAX: f64 = 60.0;
/// Share of the bound in the time measured.
const GOAL: f64 = 0.95;

/// A rollout to measure.
struct Course {
    replicas: u32,
    name: &'static str,
    policy: DeploymentPolicy,
    /// Seconds that it takes at least.
    bound: f64,
}

/// What rollouts share.
pub struct Ground {
    pub engine: Engine,
    pub server: PathBuf,
    /// For the server, beside its model.
    pub arguments: Vec<String>,
    pub model: PathBuf,
}

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    let folder = bench.folder("rollout")?;
    let courses = courses(bench.short)?;
    let places: u32 = courses.iter().map(|course| course.replicas * 2).sum();
    let agent = Agent::new(bench, &folder.join("agent"), places)?;
    let model = train(bench, &folder).await?;
    let ledger = Ledger::open(&format!("file://{}", folder.join("ledger").display()))?;
    let engine = Engine {
        cloud: Arc::new(agent.cloud.clone()),
        ledger,
        clock: Arc::new(SystemClock),
        holder: this_process(),
        poll: agent.cloud.poll_interval(),
    };
    let server = bench.example("model-server")?;
    let arguments = vec!["--load-delay".to_owned(), START.to_string()];
    let ground = Ground { engine, server, arguments, model };
    let begun = Instant::now();
    // The longest first, so that the last ones end at about the same time.
    let mut order: Vec<(usize, &Course)> = courses.iter().enumerate().collect();
    order.sort_by(|(_, one), (_, other)| other.bound.total_cmp(&one.bound));
    let runs = stream::iter(order).map(|(index, course)| ground.run(index, course)).buffer_unordered(AT_ONCE);
    let mut took: Vec<(usize, f64)> = runs.try_collect().await?;
    took.sort_by_key(|(index, _)| *index);
    let measured: Vec<(&Course, f64)> =
        courses.iter().zip(took).map(|(course, (_, seconds))| (course, seconds)).collect();
    Ok(Outcome::Measured(section(&measured, begun.elapsed())))
}

fn section(measured: &[(&Course, f64)], wall: Duration) -> Section {
    let efficiency = |(course, took): &(&Course, f64)| course.bound / took;
    let rows = measured.iter().map(|one| {
        let (course, took) = one;
        vec![
            course.replicas.to_string(),
            course.name.to_owned(),
            format!("{:.1} s", course.bound),
            format!("{took:.2} s"),
            format!("{:.3}", efficiency(one)),
        ]
    });
    let least = measured.iter().map(efficiency).fold(f64::INFINITY, f64::min);
    Section {
        title: "Rollouts against their bound",
        about: format!(
            "Rollouts on the local cloud with real processes, each replica of which takes {START} to load, beside the \
             shortest time that any schedule within the limits can take. The bound counts the loading, the prescribed \
             wait of {UNROUTE_DELAY} before a stop, and the bakes; everything else is what the engine, the agent and \
             the gateway add. {AT_ONCE} rollouts run at a time, each on an endpoint of its own, on one agent."
        ),
        command: "cargo run --profile measure --example bench -- --only rollout".to_owned(),
        head: vec!["replicas", "policy", "bound", "measured", "bound / measured"],
        rows: rows.collect(),
        verdicts: vec![Verdict {
            goal: format!("bound / measured at least {GOAL} for every policy"),
            measured: format!("least {least:.3}"),
            met: least >= GOAL,
        }],
        notes: vec![format!(
            "{} rollouts, {:.0} s in all with the first starts of every endpoint.",
            measured.len(),
            wall.as_secs_f64()
        )],
    }
}

fn courses(short: bool) -> Result<Vec<Course>, Failure> {
    let sizes: &[u32] = if short { &[4] } else { &[2, 4, 8, 16] };
    let grid = [
        ("surge 1, unavailable 0", json!({ "max_surge": 1 })),
        ("surge 0, unavailable 1", json!({ "max_surge": 0, "max_unavailable": 1 })),
        ("surge 1, unavailable 1", json!({ "max_surge": 1, "max_unavailable": 1 })),
        ("surge 25%, unavailable 25%", json!({ "max_surge": "25%", "max_unavailable": "25%" })),
        ("surge 100%, unavailable 0", json!({ "max_surge": "100%" })),
    ];
    let more = [
        ("canary 25%, bake 5s", json!({ "canary": { "weight": "25%", "bake": "5s" } })),
        ("blue_green, bake 5s", json!({ "strategy": "blue_green", "canary": { "bake": "5s" } })),
    ];
    let of_grid = sizes.iter().flat_map(|replicas| grid.iter().map(move |policy| (*replicas, policy)));
    let all = of_grid.chain(more.iter().map(|policy| (4, policy)));
    let all: Vec<Course> = all
        .map(|(replicas, (name, policy))| Course::new(replicas, name, policy))
        .collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|course| course.bound <= BOUND_MAX).collect())
}

impl Course {
    fn new(replicas: u32, name: &'static str, policy: &serde_json::Value) -> Result<Self, Failure> {
        let given: DeploymentPolicy = serde_json::from_value(policy.clone())?;
        let drain = Drain { timeout: TimeSpan::from_seconds(5), unroute_delay: UNROUTE_DELAY };
        let policy = DeploymentPolicy { min_ready: TimeSpan::ZERO, drain, ..given };
        let limits = Limits::resolve(replicas, policy.surge(), policy.unavailable(), false)?;
        let seconds = |time: TimeSpan| time.as_duration().as_secs_f64();
        let bound = bound_seconds(&policy, &limits, seconds(START), seconds(UNROUTE_DELAY));
        Ok(Self { replicas, name, policy, bound })
    }
}

impl Ground {
    /// Brings up an endpoint, then measures a rollout of it, in seconds.
    async fn run(&self, index: usize, course: &Course) -> Result<(usize, f64), Failure> {
        let endpoint = EndpointName::new(format!("course-{index}"))?;
        self.engine.cloud.put_endpoint(&EndpointSpec::named(endpoint.clone())).await?;
        let first: DeploymentPolicy = serde_json::from_value(json!({ "min_ready": "0s" }))?;
        self.roll(course.replicas, &endpoint, 0, &first).await?;
        let took = self.roll(course.replicas, &endpoint, 1, &course.policy).await?;
        Ok((index, took.as_secs_f64()))
    }

    /// Rolls to a new version; says how long it took.
    pub async fn roll(
        &self,
        replicas: u32,
        endpoint: &EndpointName,
        number: u32,
        policy: &DeploymentPolicy,
    ) -> Result<Duration, Failure> {
        let version = self.mint(endpoint, number, &self.spec(replicas, number)?).await?;
        let target =
            Target { endpoint: endpoint.clone(), version, policy: policy.clone(), policy_name: None };
        let begun = Instant::now();
        let never = CancellationToken::new();
        let report = timeout(ROLLOUT_MAX, Box::pin(self.engine.run(&target, &never))).await??;
        match report.record.phase {
            Phase::Succeeded => Ok(begun.elapsed()),
            phase => {
                let failure = report.record.failure;
                Err(format!("the rollout of {endpoint} ended as {}: {failure:?}", phase.as_str()).into())
            }
        }
    }

    fn spec(&self, replicas: u32, number: u32) -> Result<VersionSpec, Failure> {
        let mut command = vec![self.server.display().to_string(), "serve".to_owned()];
        command.extend_from_slice(&self.arguments);
        Ok(serde_json::from_value(json!({
            "model": { "source": self.model },
            "container": { "command": command },
            "scaling": { "min_replicas": replicas },
            "health": { "interval": "100ms" },
            "env": { "BENCH_VERSION": number.to_string() },
        }))?)
    }

    async fn mint(
        &self,
        endpoint: &EndpointName,
        number: u32,
        spec: &VersionSpec,
    ) -> Result<PinnedVersion, Failure> {
        let pinned = self.engine.cloud.pin(spec).await?;
        let pins = pinned.map_err(|problems| format!("the version cannot be used: {problems:?}"))?;
        let record = VersionRecord {
            cloud: CloudName::Local,
            endpoint: endpoint.clone(),
            number: VersionNumber(number),
            digest: Digest::of(spec, &pins),
            spec: spec.clone(),
            pins,
            created_at: self.engine.clock.now(),
            created_by: "bench".to_owned(),
            comment: None,
            changes: Vec::new(),
            labels: BTreeMap::new(),
            rollback_of: None,
        };
        self.engine.ledger.mint(&record).await?;
        Ok(record.pinned())
    }
}

/// A small model to serve.
pub async fn train(bench: &Bench, folder: &Path) -> Result<PathBuf, Failure> {
    let (text, model) = (folder.join("words.txt"), folder.join("words.model"));
    tokio::fs::write(&text, "one two three one two four\n").await?;
    let mut command = Command::new(bench.example("model-server")?);
    command.arg("train").arg("--text").arg(&text).arg("--output").arg(&model);
    let status = command.stdout(Stdio::null()).kill_on_drop(true).status().await?;
    if status.success() { Ok(model) } else { Err(format!("training ended with {status}").into()) }
}
