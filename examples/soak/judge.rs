//! The verdicts: what has to hold after everything that was done to the system.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sluice::ledger::Ledger;
use sluice::spec::{CloudName, EndpointName};
use tokio::time::Instant;

use crate::Failure;
use crate::client::Cause;
use crate::clients::{CLIENTS_ALL, Lost, Summary};
use crate::journal::{Cost, Disturbance, Journal};
use crate::place::{ENDPOINT, Place, REPLICAS};
use crate::processes;
use crate::rollouts::terraform;
use crate::watch::Watch;

/// Processes end within this time when they are told to.
const FAREWELL: Duration = Duration::from_secs(20);
/// Connections that nobody needs are closed within this time.
const CALM: Duration = Duration::from_secs(15);
/// So many more descriptors than early in its life a process may hold at the end.
const DESCRIPTORS_MORE: usize = 24;
/// And so much more memory, in KiB.
const MEMORY_MORE: u64 = 16 * 1024;
/// And so much where ten thousand connections came: what their buffers took is kept for the next ones.
const MEMORY_OF_A_CROWD: u64 = 160 * 1024;
/// A version whose replicas die may cost the requests in flight of so many deaths.
const DEATHS_MAX: usize = 8;
/// A request that was sent so long before a gateway was told to end may not have been read yet.
const CROSSING: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(100);

/// Whether something holds, and why that is known.
#[derive(Debug)]
pub struct Verdict {
    pub holds: bool,
    pub what: &'static str,
    pub figures: String,
}

impl Verdict {
    fn new(what: &'static str, broken: &[String], figures: impl Into<String>) -> Self {
        let mut figures = figures.into();
        for finding in broken {
            let _ = write!(figures, "\n           {finding}");
        }
        Self { holds: broken.is_empty(), what, figures }
    }
}

/// Every request that was not answered has to be explained by something that was done at that time.
pub fn requests(journal: &Journal, summary: &Summary) -> Verdict {
    let disturbances = journal.disturbances();
    let mut budgets: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut broken = Vec::new();
    for lost in &summary.lost {
        let found = explain(lost, &disturbances);
        let Some((at, disturbance)) = found else {
            broken.push(format!("unexplained: {}", describe(journal, lost)));
            continue;
        };
        let (in_flight, refused) = budgets.entry(at).or_default();
        // A request may cross with the end of the connection on which it is sent.
        let since = match disturbance.cost {
            Cost::Refused => disturbance.from.checked_sub(CROSSING),
            _ => Some(disturbance.from),
        };
        let may_be_refused = matches!(disturbance.cost, Cost::Gateway | Cost::Refused);
        let was_refused = may_be_refused && since.is_none_or(|since| lost.sent > since);
        *if was_refused { refused } else { in_flight } += 1;
    }
    let mut named = String::new();
    let (mut all_in_flight, mut all_refused) = (0, 0);
    for (at, (in_flight, refused)) in budgets {
        let Some(disturbance) = disturbances.get(at) else { continue };
        let budget = match disturbance.cost {
            Cost::Nothing | Cost::Refused => 0,
            Cost::Replica(_) | Cost::Gateway => CLIENTS_ALL,
            Cost::Version(_) => CLIENTS_ALL * DEATHS_MAX,
        };
        (all_in_flight, all_refused) = (all_in_flight + in_flight, all_refused + refused);
        let what = disturbance.what.trim();
        let line =
            format!("{in_flight} in flight (of {budget} at most), {refused} refused meanwhile: {what}");
        if in_flight > budget {
            broken.push(format!("over budget: {line}"));
            let shown = summary
                .lost
                .iter()
                .filter(|lost| explain(lost, &disturbances).is_some_and(|(other, _)| other == at));
            broken.extend(shown.map(|lost| describe(journal, lost)));
        } else {
            let _ = write!(named, "\n           {line}");
        }
    }
    let Summary { sent, answered, versions, models, slowest, slowest_start, .. } = summary;
    let figures = format!(
        "{sent} sent, {answered} answered by {versions} versions of {models:?}, {all_in_flight} lost in flight and \
         {all_refused} refused within their budgets, slowest {:.1} s, slowest first byte {:.1} s{named}",
        slowest.as_secs_f64(),
        slowest_start.as_secs_f64()
    );
    if *answered == 0 {
        broken.push("nothing was answered".to_owned());
    }
    Verdict::new("no request is lost outside its budget", &broken, figures)
}

/// The disturbance that explains a lost request: one that names its replica or version, else one that may be it.
fn explain<'a>(lost: &Lost, disturbances: &'a [Disturbance]) -> Option<(usize, &'a Disturbance)> {
    let broke = match lost.cause {
        Cause::Interrupted => true,
        Cause::Status => lost.description.contains("replica_failed"),
        // The head of an answer may break off too.
        Cause::NoResponse => lost.description.contains("closed before message completed"),
        Cause::Incomplete | Cause::Deadline => false,
    };
    let candidates = || {
        let at_that_time = |disturbance: &&Disturbance| {
            lost.sent <= disturbance.until.unwrap_or(lost.sent) && lost.ended >= disturbance.from
        };
        disturbances.iter().enumerate().filter(move |(_, disturbance)| at_that_time(disturbance))
    };
    let named = candidates().find(|(_, disturbance)| match &disturbance.cost {
        Cost::Nothing => false,
        Cost::Replica(id) => broke && lost.replica.as_ref() == Some(id),
        Cost::Version(version) => broke && lost.version.as_ref() == Some(version),
        Cost::Gateway => broke || lost.cause == Cause::NoResponse,
        Cost::Refused => lost.cause == Cause::NoResponse,
    });
    let unnamed = || {
        candidates().find(|(_, disturbance)| match &disturbance.cost {
            Cost::Nothing | Cost::Gateway | Cost::Refused => false,
            Cost::Replica(_) | Cost::Version(_) => broke && lost.replica.is_none(),
        })
    };
    named.or_else(unnamed)
}

fn describe(journal: &Journal, lost: &Lost) -> String {
    let (sent, ended) = (journal.seconds(lost.sent), journal.seconds(lost.ended));
    let replica = lost.replica.as_deref().unwrap_or("unknown");
    let description: String = lost.description.chars().take(160).collect();
    format!("sent {sent:.2} s, lost {ended:.2} s, {:?}, replica {replica}: {description}", lost.cause)
}

/// What the last apply asked for is what is there.
pub async fn desired_state(place: &Place, watch: &Watch, applied: bool) -> Result<Verdict, Failure> {
    let mut broken = Vec::new();
    if !applied {
        broken.push("the last apply failed".to_owned());
    }
    let plan = terraform(place, &["plan", "-detailed-exitcode"]).await?;
    if plan.code != Some(0) {
        broken.push(format!("terraform plan sees differences: {}", plan.complaint()));
    }
    let mut figures = "the agent does not answer".to_owned();
    if let Some(status) = watch.latest() {
        let newest = status.versions.iter().max().copied();
        let ready = newest.map_or(0, |newest| status.fleet.ready_of(newest));
        let all = status.fleet.replicas.len();
        figures = format!("{ready} of {REPLICAS} ready, {all} in all, version {newest:?}, nothing to plan");
        if ready != REPLICAS || all != REPLICAS {
            broken.push(format!("the fleet is another one: {:?}", status.fleet.replicas));
        }
    } else {
        broken.push("the agent does not answer".to_owned());
    }
    Ok(Verdict::new("the desired state is restored", &broken, figures))
}

/// Every journal in the ledger is whole, and each decision in it can be made again.
pub async fn ledger(place: &Place) -> Result<Verdict, Failure> {
    let revisions = Ledger::open_existing(&place.ledger())?
        .rollout_revisions(CloudName::Local, &EndpointName::new(ENDPOINT)?)
        .await?;
    let mut broken = Vec::new();
    for revision in &revisions {
        let mut command = Command::new(&place.provider);
        command.args(["verify", ENDPOINT, &revision.to_string(), "--data-dir"]).arg(place.data_dir());
        let output = command.output()?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            broken.push(format!("{revision}: {}", told.trim().replace('\n', "; ")));
        }
    }
    let figures = format!("{} rollouts", revisions.len());
    Ok(Verdict::new("`sluice verify` holds for every rollout", &broken, figures))
}

/// Agent and gateway hold at the end about what they held early in their lives.
pub async fn holdings(watch: &Watch) -> Verdict {
    let deadline = Instant::now() + CALM;
    loop {
        let (broken, figures) = grown(watch);
        if broken.is_empty() || Instant::now() >= deadline {
            return Verdict::new("descriptors and memory do not grow", &broken, figures.join("; "));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn grown(watch: &Watch) -> (Vec<String>, Vec<String>) {
    let (mut broken, mut figures) = (Vec::new(), Vec::new());
    for (pid, life) in watch.lives() {
        let (Some(now), Some(early)) = (processes::holdings(pid), life.early) else { continue };
        let line = format!(
            "{} {pid}, {:.0} s old: {} → {} descriptors, {} → {} KiB",
            life.role,
            life.seen_at.elapsed().as_secs_f64(),
            early.descriptors,
            now.descriptors,
            early.memory,
            now.memory
        );
        let memory_more = if life.was_crowded { MEMORY_OF_A_CROWD } else { MEMORY_MORE };
        if now.descriptors > early.descriptors + DESCRIPTORS_MORE || now.memory > early.memory + memory_more {
            broken.push(format!("grown: {line}"));
        }
        figures.push(line);
    }
    (broken, figures)
}

/// Ends everything as a user would; nothing may be left.
pub async fn nothing_left(place: &Place) -> Result<Verdict, Failure> {
    let mut command = Command::new(&place.provider);
    command.args(["agent", "stop", "--all", "--data-dir"]).arg(place.data_dir());
    let output = command.output()?;
    let mut broken = Vec::new();
    if !output.status.success() {
        broken.push(format!("agent stop --all: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let begun = Instant::now();
    while !processes::of(place.root()).is_empty() && begun.elapsed() < FAREWELL {
        tokio::time::sleep(POLL).await;
    }
    let left = processes::of(place.root());
    broken.extend(left.iter().map(|process| format!("left: {}", process.shown())));
    let figures = format!("gone {:.1} s after `agent stop --all`", begun.elapsed().as_secs_f64());
    Ok(Verdict::new("no process is left behind", &broken, figures))
}

/// The agent's store opens and is whole.
pub fn store(place: &Place) -> Verdict {
    let path = place.data_dir().join("agent.db");
    let (broken, figures) = match check_store(&path) {
        Ok(figures) => (Vec::new(), figures),
        Err(error) => (vec![error.to_string()], String::new()),
    };
    Verdict::new("the agent's store is whole", &broken, figures)
}

fn check_store(path: &Path) -> Result<String, Failure> {
    let connection = rusqlite::Connection::open(path)?;
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    let orphans: u32 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    let versions: u32 = connection.query_row("SELECT count(*) FROM versions", [], |row| row.get(0))?;
    if verdict == "ok" && orphans == 0 {
        return Ok(format!("integrity_check ok, {versions} versions"));
    }
    Err(format!("integrity_check: {verdict}; {orphans} rows belong to nothing").into())
}

/// Nobody panicked; and what agent and gateway complained of, for people.
pub fn logs(place: &Place) -> Verdict {
    let mut broken = Vec::new();
    let mut complaints: BTreeMap<String, usize> = BTreeMap::new();
    for path in log_files(&place.data_dir()) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
        for line in text.lines() {
            if line.contains("panicked at") {
                broken.push(format!("{}: {line}", path.display()));
            }
            let words: Vec<&str> = line.split(' ').skip(1).take_while(|word| !word.contains('=')).collect();
            if matches!(words.first(), Some(&"warn" | &"error")) {
                *complaints.entry(words.join(" ")).or_default() += 1;
            }
        }
    }
    let figures = complaints.iter().fold(String::new(), |mut told, (complaint, times)| {
        let _ = write!(told, "\n           {times} × {complaint}");
        told
    });
    Verdict::new("nobody panicked", &broken, figures)
}

fn log_files(data_dir: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let replicas = below(data_dir.join("logs").join(ENDPOINT));
    let all = below(data_dir.to_owned()).chain(replicas).map(|entry| entry.path());
    all.filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

/// Limits at every look, and whatever else must not have happened.
pub fn conduct(journal: &Journal, watch: &Watch) -> [Verdict; 2] {
    let seen = watch.seen();
    let (mut limits, others): (Vec<String>, Vec<String>) =
        journal.all_broken().into_iter().partition(|what| what.starts_with("limits"));
    if seen.looks == 0 {
        limits.push("nothing was seen".to_owned());
    }
    let figures = format!(
        "{} looks, at most {} occupied, at least {} ready",
        seen.looks, seen.occupied_max, seen.ready_min
    );
    [
        Verdict::new("cap and floor hold, less what was struck", &limits, figures),
        Verdict::new("every strike is recovered from, every rollout ends as it should", &others, ""),
    ]
}
