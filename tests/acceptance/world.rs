//! A world of its own for each test: folder, configuration, agent, and nothing of it left at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sluice::clock::SystemClock;
use sluice::cloud::local::types::EndpointStatus;
use sluice::cloud::local::{LocalCloud, LocalSettings};
use sluice::engine::{Engine, EngineError, Target, this_process};
use sluice::ledger::Ledger;
use sluice::rollout::Phase;
use sluice::spec::{CloudName, DeploymentPolicy, Drain, EndpointName, TimeSpan, VersionNumber};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::config::{Config, quoted};
use super::patience::within;
use super::processes::{self, Process};
use super::programs::{PROVIDER, models};
use super::reading::{Plan, State};
use super::terraform::{Output, Running};

/// For processes to go when they are told to.
const FAREWELL: Duration = Duration::from_secs(15);

/// A world.
pub struct World {
    folder: TempDir,
    runtime: Runtime,
    mounts: Vec<PathBuf>,
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        // Short: sockets are below it.
        let folder = tempfile::Builder::new().prefix("slc-").tempdir_in("/tmp").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = Self { folder, runtime, mounts: Vec::new() };
        for name in ["tf", "tmp", "home"] {
            std::fs::create_dir(world.path(name)).unwrap();
        }
        let programs = Path::new(PROVIDER).parent().unwrap();
        let overrides = format!(
            "disable_checkpoint = true
provider_installation {{
  dev_overrides {{
    \"sluice-rs/sluice\" = {}
  }}
  \
             direct {{}}
}}
",
            quoted(programs)
        );
        std::fs::write(world.path("terraform.rc"), overrides).unwrap();
        world
    }

    /// A world in which the configuration has been applied.
    pub fn applied(change: impl FnOnce(Config) -> Config) -> (Self, Config) {
        let world = Self::new();
        let config = change(world.config());
        world.write(&config);
        world.apply();
        (world, config)
    }

    /// A configuration for the agent of this world.
    pub fn config(&self) -> Config {
        Config::new(&self.data_dir())
    }

    /// A path in this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The agent's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// Makes this the configuration.
    pub fn write(&self, config: &Config) {
        std::fs::write(self.path("tf/main.tf"), config.text()).unwrap();
    }

    /// Adds a file to the configuration, or replaces it.
    pub fn add(&self, name: &str, text: &str) {
        std::fs::write(self.path("tf").join(name), text).unwrap();
    }

    /// Terraform's outputs.
    pub fn outputs(&self) -> serde_json::Value {
        let shown = self.terraform(&["output", "-json"]).succeeded();
        serde_json::from_str(&shown.stdout).unwrap()
    }

    /// Runs Terraform to its end.
    #[track_caller]
    pub fn terraform(&self, arguments: &[&str]) -> Output {
        self.start_terraform(arguments).wait()
    }

    /// Starts Terraform.
    pub fn start_terraform(&self, arguments: &[&str]) -> Running {
        self.start_terraform_with(arguments, &[])
    }

    /// Starts Terraform with more environment variables.
    pub fn start_terraform_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        Running::start(&mut self.terraform_command(arguments, environment), &self.path("terraform"))
    }

    /// Runs Terraform beside another run of it.
    #[track_caller]
    pub fn terraform_beside(&self, arguments: &[&str]) -> Output {
        let mut command = self.terraform_command(arguments, &[]);
        Running::start(&mut command, &self.path("beside")).wait()
    }

    fn terraform_command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new("terraform");
        command.current_dir(self.path("tf")).env_clear().args(arguments);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"));
        command.env("TF_CLI_ARGS", "-no-color").env("TF_INPUT", "0").env("TF_IN_AUTOMATION", "1");
        command.envs(environment.iter().copied());
        command
    }

    /// Applies the configuration, which has to succeed.
    #[track_caller]
    pub fn apply(&self) -> Output {
        self.terraform(&["apply", "-auto-approve"]).succeeded()
    }

    /// Fails unless Terraform sees nothing to change.
    #[track_caller]
    pub fn plans_nothing(&self) {
        let output = self.terraform(&["plan", "-detailed-exitcode"]);
        assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    }

    /// Plans, fails unless there are changes, and reads them.
    #[track_caller]
    pub fn plan(&self) -> (Output, Plan) {
        let output = self.terraform(&["plan", "-detailed-exitcode", "-out=plan"]);
        assert_eq!(output.code, Some(2), "{}\n{}", output.stdout, output.stderr);
        let shown = self.terraform(&["show", "-json", "plan"]).succeeded();
        (output, Plan(serde_json::from_str(&shown.stdout).unwrap()))
    }

    /// Terraform's state.
    pub fn state(&self) -> State {
        State::read(&self.path("tf/terraform.tfstate"))
    }

    /// The endpoint's part of Terraform's state.
    pub fn chat(&self) -> serde_json::Value {
        self.state().attributes("sluice_endpoint.chat").clone()
    }

    /// The agent, which is never started from here.
    pub fn cloud(&self) -> LocalCloud {
        let settings = LocalSettings { data_dir: Some(self.data_dir()), ..LocalSettings::default() };
        LocalCloud::connect(settings).unwrap()
    }

    /// What the agent knows of an endpoint, if it is there.
    pub fn find_endpoint(&self, name: &str) -> Option<EndpointStatus> {
        let name = EndpointName::new(name).unwrap();
        self.runtime.block_on(self.cloud().endpoint(&name)).ok().flatten()
    }

    /// What the agent knows of an endpoint that has to be there.
    pub fn endpoint(&self, name: &str) -> EndpointStatus {
        within(FAREWELL, "the agent knows the endpoint", || self.find_endpoint(name))
    }

    /// Process id of the agent.
    pub fn agent_pid(&self) -> u32 {
        self.runtime.block_on(self.cloud().agent()).unwrap().pid
    }

    /// Process ids of the replicas of `chat`, in order.
    pub fn replica_pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> =
            self.endpoint("chat").details.iter().filter_map(|replica| replica.pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Ready replicas of a version of `chat`.
    pub fn ready_of(&self, version: u32) -> usize {
        self.endpoint("chat").fleet.ready_of(VersionNumber(version))
    }

    /// The model that answers at an endpoint.
    #[track_caller]
    pub fn answering_model(&self, endpoint: &str) -> String {
        let url = format!("{}/v1/completions", self.endpoint(endpoint).url.trim_end_matches('/'));
        let answer = self.runtime.block_on(async {
            let body = r#"{"prompt":"The morning","max_tokens":4}"#;
            let client = sluice::web::local_client().build().unwrap();
            client.post(url).body(body).send().await.unwrap().bytes().await.unwrap()
        });
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        answer["model"].as_str().unwrap_or_else(|| panic!("no completion: {answer}")).to_owned()
    }

    /// Somebody else's engine on the same cloud and ledger.
    pub fn engine(&self) -> Engine {
        let ledger = Ledger::open(&format!("file://{}", self.data_dir().join("ledger").display())).unwrap();
        Engine {
            cloud: Arc::new(self.cloud()),
            ledger,
            clock: Arc::new(SystemClock),
            holder: this_process(),
            poll: Duration::from_millis(50),
        }
    }

    /// Runs what has to be awaited.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Rolls `chat` to a version behind Terraform's back.
    pub fn roll_behind_the_back(&self, version: u32) {
        assert_eq!(self.try_to_roll_behind_the_back(version).unwrap(), Phase::Succeeded);
    }

    /// Rolls `chat` to a version behind Terraform's back, if that is allowed.
    pub fn try_to_roll_behind_the_back(&self, version: u32) -> Result<Phase, EngineError> {
        let (engine, endpoint) = (self.engine(), EndpointName::new("chat").unwrap());
        self.block_on(async {
            let record = engine.ledger.version(CloudName::Local, &endpoint, VersionNumber(version)).await;
            let policy = DeploymentPolicy {
                min_ready: TimeSpan::ZERO,
                drain: Drain { timeout: TimeSpan::from_seconds(5), unroute_delay: TimeSpan::ZERO },
                ..DeploymentPolicy::default()
            };
            let version = record.unwrap().unwrap().pinned();
            let target = Target { endpoint, version, policy, policy_name: None };
            engine.run(&target, &CancellationToken::new()).await.map(|report| report.record.phase)
        })
    }

    /// Every process of this world.
    pub fn processes(&self) -> Vec<Process> {
        processes::that_name(self.folder.path())
    }

    /// The provider that Terraform runs at the moment.
    pub fn plugin(&self) -> Option<Process> {
        self.processes().into_iter().find(Process::is_plugin)
    }

    /// Copies a model into this world, where a test may change it.
    pub fn own_model(&self) -> PathBuf {
        let own = self.path("own.bin");
        std::fs::copy(&models().plain, &own).unwrap();
        own
    }

    /// Mounts a small or read-only file system; says no where that is not allowed.
    pub fn mount(&mut self, at: &Path, options: &str) -> bool {
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "sluice-test"]).arg(at);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        if mounted {
            self.mounts.push(at.to_owned());
        }
        mounted
    }

    fn end_agent(&self) {
        let mut command = Command::new(PROVIDER);
        command.args(["agent", "stop", "--all", "--data-dir"]).arg(self.data_dir());
        // It may never have been started.
        let _not_running = command.output();
    }

    /// A process names nothing for a moment while it is being started, so one look that finds none is not enough.
    fn is_empty_within(&self, bound: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + bound;
        let mut empty_looks = 0;
        while empty_looks < 3 && tokio::time::Instant::now() < deadline {
            empty_looks = if self.processes().is_empty() { empty_looks + 1 } else { 0 };
            std::thread::park_timeout(Duration::from_millis(20));
        }
        empty_looks == 3
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end_agent();
        let left = if self.is_empty_within(FAREWELL) { Vec::new() } else { self.processes() };
        for process in &left {
            processes::kill(process.pid);
        }
        for mount in &self.mounts {
            let _busy = Command::new("umount").arg("--lazy").arg(mount).status();
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.data_dir().join("agent.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the agent's last words, newest first:\n{}", tail.join("\n"));
        } else {
            assert!(left.is_empty(), "processes were left: {left:?}");
        }
    }
}
