//! A folder for Terraform to work in: configuration, state, ledger, and nothing of anybody else's environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::processes;
use super::reading::{Plan, State};
use super::terraform::{Output, Running};

/// The provider.
pub const PROVIDER: &str = env!("CARGO_BIN_EXE_terraform-provider-sluice");

/// A workspace.
pub struct Workspace {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Workspace {
    /// An empty workspace. Terraform and the provider see these environment variables beside the few they need.
    pub fn new(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("slc-").tempdir_in("/tmp").unwrap();
        for name in ["tf", "tmp", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let programs = Path::new(PROVIDER).parent().unwrap();
        let settings = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"sluice-rs/sluice\" = \"{}\"\n  \
             }}\n  direct {{}}\n}}\n",
            programs.display()
        );
        std::fs::write(folder.path().join("terraform.rc"), settings).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self { folder, environment }
    }

    /// A path in this workspace.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of the ledger in this workspace.
    pub fn ledger(&self) -> String {
        format!("file://{}", self.path("ledger").display())
    }

    /// Makes this the configuration, below the block that names the provider's source.
    pub fn write(&self, configuration: &str) {
        let head =
            "terraform {\n  required_providers {\n    sluice = { source = \"sluice-rs/sluice\" }\n  }\n}\n\n";
        std::fs::write(self.path("tf/main.tf"), format!("{head}{configuration}")).unwrap();
    }

    /// Runs Terraform to its end.
    #[track_caller]
    pub fn terraform(&self, arguments: &[&str]) -> Output {
        self.start_terraform(arguments).wait()
    }

    /// Starts Terraform.
    pub fn start_terraform(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(Path::new("terraform"));
        command.current_dir(self.path("tf")).args(arguments);
        command.env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"));
        command.env("TF_CLI_ARGS", "-no-color").env("TF_INPUT", "0").env("TF_IN_AUTOMATION", "1");
        Running::start(&mut command, &self.path("terraform"))
    }

    /// Runs the provider's own command line to its end, with the workspace's ledger.
    #[track_caller]
    pub fn sluice(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(Path::new(PROVIDER));
        command.current_dir(self.folder.path()).args(arguments).env("SLUICE_LEDGER", self.ledger());
        Running::start(&mut command, &self.path("sluice")).wait()
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

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let left = processes::that_name(self.folder.path());
        for process in &left {
            processes::kill(process.pid);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes were left: {left:?}");
        }
    }
}
