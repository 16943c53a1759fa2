//! Runs terraform in the demo's folder, shows what matters of its output, keeps all of it in a log.

use std::cell::Cell;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::story::{Failure, broken, line};
use crate::workspace::Workspace;

/// Time for terraform to end after it was asked to.
const GRACE: Duration = Duration::from_secs(20);
/// Longest run of one command. Far above what any step of the demo needs.
const DEADLINE: Duration = Duration::from_mins(2);
/// Variables that would change what terraform or the provider does.
const REMOVED: [&str; 11] = [
    "SLUICE_AGENT_TOKEN",
    "SLUICE_DATA_DIR",
    "SLUICE_LEDGER",
    "TF_CLI_ARGS_apply",
    "TF_CLI_ARGS_plan",
    "TF_DATA_DIR",
    "TF_LOG",
    "TF_LOG_PROVIDER",
    "TF_REATTACH_PROVIDERS",
    "TF_WORKSPACE",
    "TF_VAR_model",
];

/// Terraform in the demo's folder.
#[derive(Debug)]
pub struct Terraform {
    folder: PathBuf,
    settings: PathBuf,
    logs: PathBuf,
    stop: CancellationToken,
    runs: Cell<u32>,
}

/// Which lines to show while a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// None: the output is read by the demo.
    Nothing,
    /// What is done to which resource, and errors.
    Progress,
    /// Progress, and what the plan would change.
    Diff,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// What it answered.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Terraform {
    /// Terraform for a workspace. Runs end early when `stop` is cancelled.
    pub fn new(place: &Workspace, stop: CancellationToken) -> Self {
        Self {
            folder: place.configuration.clone(),
            settings: place.terraform_settings.clone(),
            logs: place.logs.clone(),
            stop,
            runs: Cell::new(0),
        }
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be run, takes far too long, or the demo is to stop. Its exit code is not looked at.
    pub async fn run(&self, arguments: &[&str], show: Show) -> Result<Ran, Failure> {
        let mut child = self.spawn(arguments)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            tokio::join!(read(stdout, |text| shown(show, text)), read(stderr, |_| show != Show::Nothing))
        };
        // Read to the end in any case: terraform would break off at once if nobody took what it says.
        let mut reading = pin!(reading);
        let cut_short = tokio::select! {
            (stdout, stderr) = &mut reading => {
                let status = child.wait().await.map_err(broken("wait for terraform"))?;
                let ran = Ran { code: status.code(), stdout, stderr };
                self.log(arguments, &ran);
                return Ok(ran);
            }
            () = self.stop.cancelled() => Failure::Interrupted,
            () = tokio::time::sleep(DEADLINE) => {
                Failure::Broken(format!("terraform {} took longer than {DEADLINE:?}", arguments.join(" ")))
            }
        };
        let (stdout, stderr) = end(&mut child, reading).await.unwrap_or_default();
        self.log(arguments, &Ran { code: None, stdout, stderr });
        Err(cut_short)
    }

    /// A plan file as JSON.
    pub async fn plan_file(&self, file: &str) -> Result<Value, Failure> {
        self.json(&["show", "-json", file]).await
    }

    /// The attributes of a resource in the state.
    pub async fn resource(&self, address: &str) -> Result<Value, Failure> {
        let state = self.json(&["show", "-json"]).await?;
        let resources = state.pointer("/values/root_module/resources").and_then(Value::as_array);
        let found = resources.into_iter().flatten().find(|resource| is_at(resource, address));
        let values = found.and_then(|resource| resource.get("values"));
        values.cloned().ok_or_else(|| Failure::Broken(format!("the state has no {address}")))
    }

    /// The value of an output.
    pub async fn output(&self, name: &str) -> Result<String, Failure> {
        let ran = self.run(&["output", "-raw", name], Show::Nothing).await?;
        if ran.code == Some(0) {
            Ok(ran.stdout.trim().to_owned())
        } else {
            Err(Failure::Broken(ran.evidence()))
        }
    }

    async fn json(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let ran = self.run(arguments, Show::Nothing).await?;
        serde_json::from_str(&ran.stdout).map_err(|_| Failure::Broken(ran.evidence()))
    }

    fn spawn(&self, arguments: &[&str]) -> Result<Child, Failure> {
        let mut command = Command::new("terraform");
        command.args(arguments).current_dir(&self.folder);
        for name in REMOVED {
            command.env_remove(name);
        }
        command.env("TF_CLI_CONFIG_FILE", &self.settings).env("TF_IN_AUTOMATION", "1").env("TF_INPUT", "0");
        command
            .env("TF_CLI_ARGS", "-no-color")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own: Ctrl-C reaches the demo, which then tells terraform once.
        command.process_group(0).kill_on_drop(true);
        command.spawn().map_err(broken("run terraform (is it installed?)"))
    }

    fn log(&self, arguments: &[&str], ran: &Ran) {
        self.runs.set(self.runs.get() + 1);
        let verb = arguments.first().copied().unwrap_or_default();
        let path = self.logs.join(format!("{:02}-terraform-{verb}.log", self.runs.get()));
        let text = format!(
            "terraform {}\n\n{}\n{}\nexit code {:?}\n",
            arguments.join(" "),
            ran.stdout,
            ran.stderr,
            ran.code
        );
        let _unwritten = std::fs::write(path, text);
    }
}

impl Ran {
    /// Everything it said, for a claim that does not hold.
    pub fn evidence(&self) -> String {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        format!("terraform ended with {code}\n{}\n{}", self.stdout.trim_end(), self.stderr.trim_end())
    }

    /// Whether its errors hold a text, however terraform broke it into lines.
    pub fn complains_of(&self, text: &str) -> bool {
        let words = |text: &str| {
            let words = text.split_whitespace().filter(|word| *word != "│");
            words.collect::<Vec<_>>().join(" ")
        };
        words(&self.stderr).contains(&words(text))
    }
}

/// What a plan does to one resource.
#[derive(Debug)]
pub struct Change {
    /// Attributes now.
    pub before: Value,
    /// Attributes after the apply; those not known yet are missing.
    pub after: Value,
}

impl Change {
    /// Finds a resource in a plan.
    pub fn of(plan: &Value, address: &str) -> Result<Self, Failure> {
        let changes = plan.pointer("/resource_changes").and_then(Value::as_array);
        let found = changes.into_iter().flatten().find(|change| is_at(change, address));
        let part = |name: &str| found.and_then(|change| change.pointer(&format!("/change/{name}"))).cloned();
        match (part("before"), part("after")) {
            (Some(before), Some(after)) => Ok(Self { before, after }),
            _ => Err(Failure::Broken(format!("the plan has no {address}"))),
        }
    }

    /// The steps of the rollout, as they are planned.
    pub fn rollout_plan(&self) -> Vec<String> {
        let lines = self.after.get("rollout_plan").and_then(Value::as_array);
        lines.into_iter().flatten().filter_map(|line| line.as_str().map(str::to_owned)).collect()
    }
}

fn is_at(resource: &Value, address: &str) -> bool {
    resource.get("address").and_then(Value::as_str) == Some(address)
}

async fn read(stream: Option<impl AsyncRead + Unpin>, mut shown: impl FnMut(&str) -> bool) -> String {
    let mut all = String::new();
    let Some(stream) = stream else { return all };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        if shown(&text) {
            line(&text);
        }
        all.push_str(&text);
        all.push('\n');
    }
    all
}

/// Picks lines of terraform's standard output, without the brackets around what changes.
fn shown(show: Show, text: &str) -> bool {
    const PROGRESS: [&str; 5] = ["sluice_", "Apply complete", "Destroy complete", "Plan:", "No changes."];
    const CHANGES: [&str; 4] = ["# sluice_", "+ ", "~ ", "- "];
    // Terraform's legend, and its reminder of where the provider comes from.
    const NOISE: [&str; 3] = ["Refreshing state...", "~ update in-place", "- sluice-rs/sluice in"];
    let is_noise = NOISE.iter().any(|noise| text.contains(noise));
    let starts = |starts: &[&str], text: &str| starts.iter().any(|start| text.starts_with(start));
    match show {
        _ if is_noise => false,
        Show::Nothing => false,
        Show::Progress => starts(&PROGRESS, text),
        Show::Diff => starts(&PROGRESS, text) || starts(&CHANGES, text.trim_start()),
    }
}

/// Asks a command to end, as Ctrl-C would, and returns its last words; ends it for good if it does not.
async fn end<T>(child: &mut Child, last_words: impl Future<Output = T>) -> Option<T> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)?;
    let _gone = kill_process(pid, Signal::INT);
    let said = tokio::time::timeout(GRACE, last_words).await.ok();
    if said.is_none() {
        let _gone = kill_process_group(pid, Signal::KILL);
    }
    let _reaped = child.wait().await;
    said
}
