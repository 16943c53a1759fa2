//! A machine for one test: a folder, an agent, its gateway, and what becomes of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use sluice::cloud::local::types::{EndpointStatus, ReplicaStatus};
use sluice::cloud::local::{LocalCloud, LocalSettings};
use sluice::cloud::{Cloud, CloudError, FleetCloud};
use sluice::fleet::ReplicaState;
use sluice::spec::{
    Drain, EndpointName, EndpointSpec, PinnedVersion, ReplicaId, TimeSpan, VersionNumber, VersionSpec,
};
use tokio::time::Instant;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-sluice");
/// Longest wait for anything; far above what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

pub struct Machine {
    pub folder: tempfile::TempDir,
    pub cloud: LocalCloud,
    agent: Option<Child>,
}

pub fn chat() -> EndpointName {
    "chat".parse().unwrap()
}

pub fn id(text: &str) -> ReplicaId {
    ReplicaId(text.to_owned())
}

pub fn drain(timeout_seconds: u64) -> Drain {
    Drain { timeout: TimeSpan::from_seconds(timeout_seconds), unroute_delay: TimeSpan::from_millis(10) }
}

/// Waits until a look finds something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits for something that must end.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect(what)
}

impl Machine {
    /// A machine with an agent that has four device slots.
    pub async fn start() -> Self {
        let mut machine = Self::without_agent();
        machine.start_agent(&[]);
        machine.until_up().await;
        machine
    }

    pub fn without_agent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cloud = cloud(&folder.path().join("data"), false);
        std::fs::write(folder.path().join("model.bin"), "weights").unwrap();
        Self { folder, cloud, agent: None }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn start_agent(&mut self, more: &[&str]) {
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("agent.log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["agent", "run", "--device-slots", "4", "--device-type", "toy", "--data-dir"]);
        command.arg(self.data_dir()).args(more);
        self.agent = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    pub async fn until_up(&self) {
        eventually("the agent answers and has a gateway", || async {
            self.cloud.agent().await.ok().and_then(|agent| agent.gateway_pid)
        })
        .await;
    }

    /// Kills the agent as a crash would.
    pub fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    pub async fn until_agent_ends(&mut self) -> std::process::ExitStatus {
        let mut agent = self.agent.take().unwrap();
        let status = eventually("the agent ends", || {
            let status = agent.try_wait().unwrap();
            async move { status }
        });
        status.await
    }

    /// Settings of a version of the toy server.
    pub fn spec(&self, more: &serde_json::Value) -> VersionSpec {
        let mut spec = json!({
            "model": { "source": self.path("model.bin") },
            "container": { "command": super::replica::command() },
            "accelerator": { "type": "toy", "count": 1 },
            "scaling": { "min_replicas": 1 },
            "engine": { "port": "own" },
            "health": { "interval": "50ms", "timeout": "1s", "start_timeout": "20s", "failures_max": 2 },
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(spec).unwrap()
    }

    /// Publishes a version of endpoint `chat`, which is created.
    pub async fn publish(&self, number: u32, more: &serde_json::Value) -> PinnedVersion {
        let endpoint = EndpointSpec::named(chat());
        self.cloud.put_endpoint(&endpoint).await.unwrap();
        let spec = self.spec(more);
        let pins = self.cloud.pin(&spec).await.unwrap().unwrap();
        let version = PinnedVersion { number: VersionNumber(number), spec, pins };
        self.cloud.publish_version(&chat(), &version, None).await.unwrap();
        version
    }

    pub async fn start_replica(&self, name: &str, version: u32) -> Result<(), CloudError> {
        self.cloud.start_replica(&chat(), &id(name), VersionNumber(version), 1).await
    }

    pub async fn endpoint(&self) -> EndpointStatus {
        self.cloud.endpoint(&chat()).await.unwrap().unwrap()
    }

    pub async fn replica(&self, name: &str) -> Option<ReplicaStatus> {
        let endpoint = self.endpoint().await;
        endpoint.details.into_iter().find(|detail| detail.replica.id.as_str() == name)
    }

    pub async fn until(&self, name: &str, state: ReplicaState) -> ReplicaStatus {
        eventually(&format!("replica {name} is {}", state.as_str()), || async {
            self.replica(name).await.filter(|replica| replica.replica.state == state)
        })
        .await
    }

    pub async fn until_gone(&self, name: &str) {
        eventually(&format!("replica {name} is gone"), || async {
            self.replica(name).await.is_none().then_some(())
        })
        .await;
    }

    /// A ready replica of version 0 that gets requests.
    pub async fn serve(&self, name: &str) -> ReplicaStatus {
        self.start_replica(name, 0).await.unwrap();
        let replica = self.until(name, ReplicaState::Ready).await;
        eventually("the gateway knows the replica", || async {
            let body = self.get("/").await.ok()?;
            body.starts_with(&format!("{name} ")).then_some(())
        })
        .await;
        replica
    }

    /// One request through the gateway; the status if it is not 200.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        let url = self.endpoint().await.url;
        get(&format!("{url}{path}")).await
    }
}

pub async fn get(url: &str) -> Result<String, String> {
    let client = sluice::web::local_client().timeout(PATIENCE).build().unwrap();
    let answer = client.get(url).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| error.to_string())?;
    if status == 200 { Ok(body) } else { Err(status.to_string()) }
}

pub fn cloud(data_dir: &Path, autostart: bool) -> LocalCloud {
    let settings = LocalSettings {
        data_dir: Some(data_dir.to_owned()),
        autostart,
        program: PROGRAM.into(),
        ..LocalSettings::default()
    };
    LocalCloud::connect(settings).unwrap()
}

pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whatever a test has left running must not outlive it.
impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ended = agent.kill();
            let _status = agent.wait();
        }
        let folder = self.folder.path().to_str().unwrap().to_owned();
        let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            entry.file_name().to_str()?.parse::<u32>().ok().filter(|pid| *pid != std::process::id())
        });
        for pid in pids {
            let mentions = |file: &str| {
                let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&folder)
            };
            if mentions("environ") || mentions("cmdline") {
                let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if std::thread::panicking() {
            eprintln!(
                "{}",
                std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
            );
        }
    }
}
