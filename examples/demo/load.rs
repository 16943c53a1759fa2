//! The clients: the `load` example in the background, and single questions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::story::{Failure, broken};
use crate::workspace::Workspace;

/// Requests in flight at any time.
const CONCURRENCY: &str = "6";
/// A request that takes longer has failed. Below the time that the load gets to end.
const REQUEST_DEADLINE: &str = "10s";
const END_DEADLINE: Duration = Duration::from_secs(20);

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    child: Child,
    report: PathBuf,
}

/// The account of a load.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub sent: u64,
    pub failed: u64,
    pub streams: u64,
    /// Good answers by the name of the model.
    pub models: BTreeMap<String, u64>,
    /// Good answers by version.
    pub versions: BTreeMap<String, u64>,
    pub latency_ms_p99: f64,
    /// The first failures.
    failures: Vec<Value>,
}

impl Load {
    /// Starts a load on an address.
    pub fn start(place: &Workspace, url: &str, name: &str) -> Result<Self, Failure> {
        let report = place.logs.join(format!("load-{name}.json"));
        let log = std::fs::File::create(place.logs.join(format!("load-{name}.log")))
            .map_err(broken("create the load's log"))?;
        let mut command = Command::new(&place.programs.load);
        command.args(["--url", url, "--concurrency", CONCURRENCY, "--stream-share", "0.5"]);
        command.args(["--deadline", REQUEST_DEADLINE, "--report"]).arg(&report);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(broken("start the load"))?;
        Ok(Self { child, report })
    }

    /// Ends the load, its last requests included, and reads its account.
    pub async fn finish(mut self) -> Result<Report, Failure> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _gone = kill_process(pid, Signal::TERM);
        }
        let ended = tokio::time::timeout(END_DEADLINE, self.child.wait()).await;
        ended.map_err(broken("end the load"))?.map_err(broken("end the load"))?;
        let text = std::fs::read(&self.report).map_err(broken("read the load's report"))?;
        serde_json::from_slice(&text).map_err(broken("read the load's report"))
    }
}

impl Report {
    /// The account in one line.
    pub fn summary(&self) -> String {
        let Self { sent, failed, streams, latency_ms_p99, .. } = self;
        format!(
            "load: {sent} requests, {streams} of them streams, {failed} failed, p99 {latency_ms_p99:.0} ms, answers by \
             model {}",
            json!(self.models)
        )
    }

    /// What went wrong first.
    pub fn evidence(&self) -> String {
        let failures: Vec<String> = self.failures.iter().map(ToString::to_string).collect();
        format!("{}, by version {}\n{}", self.summary(), json!(self.versions), failures.join("\n"))
    }
}

/// Asks an endpoint so many times, and counts answers by model and version: `plain v0`. Other answers count as what
/// they are.
pub async fn ask(url: &str, times: u32) -> Result<BTreeMap<String, u32>, Failure> {
    let client = sluice::web::local_client().timeout(Duration::from_secs(10)).build();
    let client = client.map_err(broken("make a client"))?;
    let mut answers = BTreeMap::new();
    for _ in 0..times {
        let who = match ask_once(&client, url).await {
            Ok(who) => who,
            Err(error) => error.to_string(),
        };
        *answers.entry(who).or_default() += 1;
    }
    Ok(answers)
}

async fn ask_once(client: &reqwest::Client, url: &str) -> Result<String, reqwest::Error> {
    let body = json!({ "prompt": "The morning", "max_tokens": 8 });
    let answer = client.post(format!("{url}/v1/completions")).json(&body).send().await?.error_for_status()?;
    let version = answer.headers().get("x-sluice-version").and_then(|value| value.to_str().ok());
    let version = version.unwrap_or("of no version").to_owned();
    let body: Value = answer.json().await?;
    let model = body.get("model").and_then(Value::as_str).unwrap_or("no model");
    Ok(format!("{model} {version}"))
}
