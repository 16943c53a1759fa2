//! Rolls from version to version with the real Terraform, whatever else happens.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::journal::{Cost, Journal, Number};
use crate::place::Place;
use crate::processes;
use crate::script::Course;
use crate::watch::{Limits, Watch};

/// Longest run of Terraform.
const DEADLINE: Duration = Duration::from_mins(3);
/// A version that can serve is applied so often until it does: what was struck has to be repeated.
const TRIES_MAX: u32 = 40;
/// Between two rollouts.
const REST: Duration = Duration::from_millis(700);

/// A run of Terraform that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What went wrong, in one line.
    pub fn complaint(&self) -> String {
        let text = format!("{}\n{}", self.stdout, self.stderr);
        let lines = text.lines().map(|line| line.trim_start_matches(['│', '╷', '╵', ' ']).trim());
        let told = lines.skip_while(|line| !line.starts_with("Error")).filter(|line| {
            let names_a_place = line.starts_with("with ") || line.starts_with("on ") || line.ends_with('{');
            !line.is_empty() && !names_a_place
        });
        let line: String = told.take(6).collect::<Vec<_>>().join(" ");
        if line.is_empty() { text.chars().take(300).collect() } else { line.chars().take(400).collect() }
    }
}

/// Runs Terraform to its end.
pub async fn terraform(place: &Place, arguments: &[&str]) -> Result<Ran, Failure> {
    let logs = ["out", "err"].map(|name| place.path("terraform").with_extension(name));
    let [out, err] = logs.each_ref().map(File::create);
    let mut command = Command::from(place.terraform());
    command.args(arguments).stdin(Stdio::null()).stdout(out?).stderr(err?);
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let group = child.id().unwrap_or_default();
    let ended: Option<ExitStatus> = if let Ok(status) = tokio::time::timeout(DEADLINE, child.wait()).await {
        Some(status?)
    } else {
        processes::signal_group(group, Signal::KILL);
        child.wait().await?;
        None
    };
    let [stdout, stderr] = logs.each_ref().map(|path| read(path));
    Ok(Ran { code: ended.and_then(|status| status.code()), stdout, stderr })
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// What the player of rollouts counted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Played {
    pub releases: u32,
    pub applies: u32,
    pub converged: u32,
    pub turned_back: u32,
}

/// Rolls until told to stop, then to the end of the rollout that runs.
pub async fn play(
    place: Arc<Place>,
    journal: Arc<Journal>,
    watch: Arc<Watch>,
    courses: impl Iterator<Item = Course>,
    stop: CancellationToken,
) -> Result<Played, Failure> {
    let mut player = Player { place, journal, watch, played: Played::default(), dying: None };
    let mut limits = Limits::of(Course::OneByOne.limits());
    for course in courses {
        if stop.is_cancelled() {
            break;
        }
        let own = Limits::of(course.limits());
        player.watch.expect(limits.or(own));
        player.played.releases += 1;
        player.place.write(course, player.played.releases)?;
        if course.is_sound() {
            if player.converge(course, &stop).await? {
                player.watch.expect(own);
                limits = own;
            }
        } else {
            player.turn_back(course).await?;
        }
        limits = limits.or(own);
        stop.run_until_cancelled(tokio::time::sleep(REST)).await;
    }
    Ok(player.played)
}

struct Player {
    place: Arc<Place>,
    journal: Arc<Journal>,
    watch: Arc<Watch>,
    played: Played,
    /// A version whose replicas die, until another one serves.
    dying: Option<Number>,
}

impl Player {
    /// Applies a version that can serve until it does; says whether it does.
    async fn converge(&mut self, course: Course, stop: &CancellationToken) -> Result<bool, Failure> {
        let release = self.played.releases;
        for attempt in 1..=TRIES_MAX {
            let (begun, ran) = self.apply().await?;
            let took = begun.elapsed().as_secs_f64();
            if ran.code == Some(0) {
                self.played.converged += 1;
                if let Some(dying) = self.dying.take() {
                    self.journal.end(dying);
                }
                self.journal.say(&format!("  release {release} {course:?}: serves after {took:.1} s"));
                return Ok(true);
            }
            let complaint = ran.complaint();
            self.journal.say(&format!("  release {release} {course:?}, try {attempt}: {complaint}"));
            if !self.journal.was_disturbed(begun, Instant::now()) {
                self.journal.broken(format!("apply of release {release} failed undisturbed: {complaint}"));
            }
            if stop.is_cancelled() {
                return Ok(false);
            }
            stop.run_until_cancelled(tokio::time::sleep(REST * attempt.min(6))).await;
        }
        self.journal.broken(format!("release {release} did not serve after {TRIES_MAX} applies"));
        Ok(false)
    }

    /// Applies a version that cannot serve: the one before has to go on serving.
    async fn turn_back(&mut self, course: Course) -> Result<(), Failure> {
        let release = self.played.releases;
        if course == Course::Dying {
            let what = format!("  release {release} begins, whose replicas die");
            self.dying = Some(self.journal.begin(what, Cost::Version(String::new())));
        }
        let (begun, ran) = self.apply().await?;
        if let (Some(dying), Some(number)) = (self.dying, newest_version(&self.place)) {
            self.journal.costs(dying, Cost::Version(format!("v{number}")));
        }
        let took = begun.elapsed().as_secs_f64();
        let complaint = ran.complaint();
        if ran.code == Some(0) {
            self.journal.broken(format!("release {release} {course:?} cannot serve and was told to"));
        } else {
            self.played.turned_back += 1;
            self.journal
                .say(&format!("  release {release} {course:?}: refused after {took:.1} s: {complaint}"));
        }
        Ok(())
    }

    async fn apply(&mut self) -> Result<(Instant, Ran), Failure> {
        self.played.applies += 1;
        let begun = Instant::now();
        let ran = terraform(&self.place, &["apply", "-auto-approve"]).await?;
        if ran.complaint().contains("Plugin did not respond") && !self.journal.was_killed("provider", begun) {
            self.journal.broken("the provider died, and nobody had killed it".to_owned());
        }
        Ok((begun, ran))
    }
}

/// The number of the version that was minted last, from Terraform's state.
fn newest_version(place: &Place) -> Option<u64> {
    let state: Value =
        serde_json::from_slice(&std::fs::read(place.path("tf/terraform.tfstate")).ok()?).ok()?;
    let resources = state.get("resources")?.as_array()?;
    let version = resources
        .iter()
        .find(|resource| resource.get("type").and_then(Value::as_str) == Some("sluice_endpoint_version"))?;
    version.pointer("/instances/0/attributes/number")?.as_u64()
}
