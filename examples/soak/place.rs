//! The folder of a run: configuration, models, the agent's folder on a small disk of its own, a clock that can jump.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sluice::cloud::local::{LocalCloud, LocalSettings};
use tempfile::TempDir;

use crate::Failure;
use crate::faketime;
use crate::script::Course;

/// Replicas that the endpoint is meant to have.
pub const REPLICAS: usize = 4;
/// The endpoint.
pub const ENDPOINT: &str = "chat";
const PLAIN: &str = include_str!("../model-server/texts/plain.txt");
const TECHNICAL: &str = include_str!("../model-server/texts/technical.txt");

/// The folder and what is in it. Removed when dropped.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    pub provider: PathBuf,
    server: PathBuf,
    /// Whether the agent's folder is a disk of its own.
    pub has_own_disk: bool,
    /// The library that lets agent and provider see another time, where there is one.
    pub faketime: Option<PathBuf>,
}

impl Place {
    /// A fresh folder with models and Terraform's settings.
    pub fn create() -> Result<Self, Failure> {
        // Short: sockets are below it.
        let folder = tempfile::Builder::new().prefix("soak-").tempdir_in("/tmp")?;
        let (provider, server) = (beside("terraform-provider-sluice")?, beside("examples/model-server")?);
        let faketime = faketime::find();
        let mut place = Self { folder, provider, server, has_own_disk: false, faketime };
        for name in ["tf", "tmp", "home", "data"] {
            std::fs::create_dir(place.path(name))?;
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m,mode=700", "soak"]).arg(place.data_dir());
        place.has_own_disk = mount.output().is_ok_and(|output| output.status.success());
        let programs = place.provider.parent().unwrap_or(Path::new("/"));
        let settings = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{ \"sluice-rs/sluice\" = {} }}\n  \
             direct {{}}\n}}\n",
            json!(programs)
        );
        std::fs::write(place.path("terraform.rc"), settings)?;
        place.set_clock("+0")?;
        place.train("plain", PLAIN)?;
        place.train("technical", TECHNICAL)?;
        let mut damaged = std::fs::read(place.path("plain.bin"))?;
        damaged.truncate(damaged.len() / 2);
        std::fs::write(place.path("damaged.bin"), damaged)?;
        Ok(place)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The agent's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// Where the ledger is.
    pub fn ledger(&self) -> String {
        format!("file://{}", self.data_dir().join("ledger").display())
    }

    /// The agent, which is never started from here.
    pub fn cloud(&self) -> Result<LocalCloud, Failure> {
        let settings = LocalSettings { data_dir: Some(self.data_dir()), ..LocalSettings::default() };
        Ok(LocalCloud::connect(settings)?)
    }

    /// Sets the clock of agent and provider off by so much, such as `+3600`.
    pub fn set_clock(&self, offset: &str) -> Result<(), Failure> {
        let (clock, draft) = (self.path("clock"), self.path("clock.draft"));
        std::fs::write(&draft, format!("{offset}\n"))?;
        Ok(std::fs::rename(draft, clock)?)
    }

    /// Terraform in this folder, with nothing of the environment that could change what it does.
    pub fn terraform(&self) -> Command {
        let mut command = Command::new("terraform");
        command.current_dir(self.path("tf")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"));
        command.env("TF_CLI_ARGS", "-no-color").env("TF_INPUT", "0").env("TF_IN_AUTOMATION", "1");
        if let Some(library) = &self.faketime {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.path("clock"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
            command.env("FAKETIME_NO_CACHE", "1");
        }
        command
    }

    /// Makes a version of this kind the one to apply. Each `release` is another version.
    pub fn write(&self, course: Course, release: u32) -> Result<(), Failure> {
        Ok(std::fs::write(self.path("tf/main.tf"), self.configuration(course, release))?)
    }

    fn configuration(&self, course: Course, release: u32) -> String {
        let arguments: &[&str] = match course {
            Course::Slow => &["--slow-first-byte", "150ms"],
            Course::Mute => &["--never-listen"],
            Course::Dying => &["--crash-after", "1s"],
            _ => &[],
        };
        let mut command = vec![self.server.to_string_lossy().into_owned(), "serve".to_owned()];
        command.push("--hang-on-signal".to_owned());
        command.extend(arguments.iter().map(|&word| word.to_owned()));
        let model = match course {
            Course::Damaged => "damaged.bin",
            _ if release.is_multiple_of(2) => "plain.bin",
            _ => "technical.bin",
        };
        let more = match course {
            Course::Batches => "batch = { size = 2, bake = \"1s\" }",
            Course::Canary => "canary = { weight = \"25%\", bake = \"2s\" }",
            _ => "",
        };
        let (surge, unavailable) = course.limits();
        let (data_dir, model) = (json!(self.data_dir()), json!(self.path(model)));
        let command = json!(command);
        format!(
            r#"terraform {{
  required_providers {{
    sluice = {{ source = "sluice-rs/sluice" }}
  }}
}}

provider "sluice" {{
  local = {{ data_dir = {data_dir}, device_slots = 8, device_type = "cpu" }}
}}

resource "sluice_deployment_policy" "soak" {{
  name              = "soak"
  max_surge         = {surge}
  max_unavailable   = {unavailable}
  min_ready         = "2s"
  progress_deadline = "40s"
  rollback          = {{ deadline = "60s" }}
  drain             = {{ timeout = "10s", unroute_delay = "100ms" }}
  {more}
}}

resource "sluice_endpoint_version" "chat" {{
  endpoint    = "{ENDPOINT}"
  model       = {{ source = {model} }}
  container   = {{ command = {command} }}
  accelerator = {{ type = "cpu", count = 1 }}
  scaling     = {{ min_replicas = {REPLICAS} }}
  health      = {{ interval = "500ms", timeout = "3s", start_timeout = "10s" }}
  env         = {{ RELEASE = "{release}" }}
}}

resource "sluice_endpoint" "chat" {{
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy  = sluice_deployment_policy.soak
}}
"#
        )
    }

    fn train(&self, name: &str, text: &str) -> Result<(), Failure> {
        let (source, model) = (self.path(&format!("{name}.txt")), self.path(&format!("{name}.bin")));
        std::fs::write(&source, text)?;
        let mut command = Command::new(&self.server);
        command.arg("train").arg("--text").arg(source).arg("--output").arg(model);
        let output = command.output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("training ended with {}", output.status).into())
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.has_own_disk {
            let _gone = Command::new("umount").arg("--lazy").arg(self.data_dir()).status();
        }
    }
}

/// A program of the same build: this one lies in `examples` beside them.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let program = own.parent().and_then(Path::parent).ok_or("this program lies nowhere")?.join(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!("{} is missing: run `make soak`, which builds it", program.display()).into())
}
