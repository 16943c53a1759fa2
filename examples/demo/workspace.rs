//! The folder in which everything happens, and the programs that the demo runs.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::story::{Failure, broken};

const CONFIGURATION: &str = include_str!("main.tf");
const PLAIN: &str = include_str!("../model-server/texts/plain.txt");
const TECHNICAL: &str = include_str!("../model-server/texts/technical.txt");

/// The folder and what is in it. Removed when dropped, unless it was kept.
#[derive(Debug)]
pub struct Workspace {
    folder: TempDir,
    /// The configuration that Terraform applies.
    pub configuration: PathBuf,
    /// Models and the texts that they are trained on.
    pub models: PathBuf,
    /// The agent's folder.
    pub data_dir: PathBuf,
    /// Everything that the demo's programs printed.
    pub logs: PathBuf,
    /// Terraform's own settings: where the provider is.
    pub terraform_settings: PathBuf,
    /// The programs.
    pub programs: Programs,
}

/// Programs that were built together with the demo.
#[derive(Debug)]
pub struct Programs {
    /// The provider.
    pub provider: PathBuf,
    /// The server that replicas run.
    pub model_server: PathBuf,
    /// The clients.
    pub load: PathBuf,
}

impl Workspace {
    /// A fresh folder with the configuration, the texts and Terraform's settings.
    pub fn create() -> Result<Self, Failure> {
        let programs = Programs::beside_this_one()?;
        let folder = tempfile::Builder::new()
            .prefix("sluice-demo-")
            .tempdir()
            .map_err(broken("create a temporary folder"))?;
        let root = folder.path().canonicalize().map_err(broken("find the temporary folder"))?;
        let place = Self {
            configuration: root.join("configuration"),
            models: root.join("configuration/models"),
            data_dir: root.join("cloud"),
            logs: root.join("logs"),
            terraform_settings: root.join("terraformrc"),
            programs,
            folder,
        };
        place.fill()?;
        Ok(place)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where the ledger is when the configuration names none.
    pub fn ledger_url(&self) -> String {
        format!("file://{}", self.data_dir.join("ledger").display())
    }

    /// Writes the two variables that make a release.
    pub fn write_release(&self, model: &str, comment: &str) -> Result<String, Failure> {
        let text = format!("model   = {}\ncomment = {}\n", json!(model), json!(comment));
        let path = self.configuration.join("release.auto.tfvars");
        std::fs::write(path, &text).map_err(broken("write release.auto.tfvars"))?;
        Ok(text)
    }

    /// Leaves the folder where it is.
    pub fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.root().to_owned()
    }

    fn fill(&self) -> Result<(), Failure> {
        for folder in [&self.models, &self.logs] {
            std::fs::create_dir_all(folder).map_err(broken(format!("create {}", folder.display())))?;
        }
        let machine = json!({ "server": self.programs.model_server, "data_dir": self.data_dir });
        let provider = self.programs.provider.parent().unwrap_or(Path::new("."));
        let settings = format!(
            "disable_checkpoint = true\n\nprovider_installation {{\n  dev_overrides {{\n    \
             \"sluice-rs/sluice\" = {}\n  }}\n  direct {{}}\n}}\n",
            json!(provider)
        );
        let files = [
            (self.configuration.join("main.tf"), CONFIGURATION.to_owned()),
            (self.configuration.join("machine.auto.tfvars.json"), machine.to_string()),
            (self.terraform_settings.clone(), settings),
            (self.models.join("plain.txt"), PLAIN.to_owned()),
            (self.models.join("technical.txt"), TECHNICAL.to_owned()),
        ];
        for (path, text) in files {
            std::fs::write(&path, text).map_err(broken(format!("write {}", path.display())))?;
        }
        Ok(())
    }
}

impl Programs {
    /// `target/PROFILE/examples/demo` stands beside the other examples and below the provider.
    fn beside_this_one() -> Result<Self, Failure> {
        let this = std::env::current_exe().map_err(broken("find this program"))?;
        let examples = this.parent().unwrap_or(Path::new("."));
        let programs = Self {
            provider: examples.parent().unwrap_or(examples).join("terraform-provider-sluice"),
            model_server: examples.join("model-server"),
            load: examples.join("load"),
        };
        for program in [&programs.provider, &programs.model_server, &programs.load] {
            if !program.is_file() {
                let shown = program.display();
                return Err(Failure::Broken(format!("{shown} is missing: run `make demo`, which builds it")));
            }
        }
        Ok(programs)
    }
}
