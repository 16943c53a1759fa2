//! The probe provider under the real `terraform`. Skipped, with a word, on a machine without one.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value as Json;
use tokio::process::Command;

use crate::client::within;
use crate::probe::thing_schema;

crate::tests!(
    terraform_creates_changes_and_destroys,
    terraform_replaces_and_imports,
    terraform_keeps_the_state_when_a_change_fails,
    terraform_shows_problems_where_they_are,
    terraform_warns_of_what_is_deprecated,
    terraform_keeps_what_an_interrupted_create_reached,
    terraform_reads_data,
    terraform_understands_the_schema,
    terraform_can_switch_tls_off,
);

/// A directory in which `terraform` finds the probe provider.
struct Workspace {
    directory: tempfile::TempDir,
    terraform: PathBuf,
}

impl Workspace {
    /// `None` when there is no `terraform` on this machine.
    fn new() -> Option<Self> {
        let named = std::env::var_os("TF_ACC_TERRAFORM_PATH").map(PathBuf::from);
        let Some(terraform) = named.or_else(find_terraform) else {
            println!("skipped: there is no terraform on PATH, nor in TF_ACC_TERRAFORM_PATH");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let plugin = directory.path().join("terraform-provider-probe");
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), plugin).unwrap();
        let mut rc = "disable_checkpoint = true\nprovider_installation {\n".to_owned();
        let folder = directory.path().display();
        writeln!(rc, "  dev_overrides {{ \"test/probe\" = \"{folder}\" }}\n  direct {{}}\n}}").unwrap();
        std::fs::write(directory.path().join("terraform.rc"), rc).unwrap();
        Some(Self { directory, terraform })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Replaces the configuration by one thing with these attributes.
    fn write(&self, attributes: &str) {
        let provider =
            "terraform {\n  required_providers {\n    probe = { source = \"test/probe\" }\n  }\n}\n";
        let thing = format!("resource \"probe_thing\" \"it\" {{\n{attributes}\n}}\n");
        std::fs::write(self.path().join("main.tf"), format!("{provider}{thing}")).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.terraform);
        command
            .args(arguments)
            .current_dir(self.path())
            .env("TF_CLI_CONFIG_FILE", self.path().join("terraform.rc"))
            .env("TF_IN_AUTOMATION", "1")
            .env_remove("TF_LOG")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        within(&format!("terraform {arguments:?}"), command.output()).await.unwrap()
    }

    /// Runs a command that must end with this exit code, and returns all it wrote.
    async fn exits(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "terraform {arguments:?}\n{text}");
        text
    }

    async fn apply(&self) -> String {
        self.exits(0, &["apply", "-auto-approve", "-no-color"]).await
    }

    /// Exit code 0 of a detailed plan: nothing is left to do.
    async fn plan_is_empty(&self) {
        self.exits(0, &["plan", "-detailed-exitcode", "-no-color"]).await;
    }

    /// The attributes of the thing in the state.
    fn state(&self) -> Json {
        self.state_of("probe_thing")
    }

    fn state_of(&self, kind: &str) -> Json {
        let text = std::fs::read_to_string(self.path().join("terraform.tfstate")).unwrap();
        let state: Json = serde_json::from_str(&text).unwrap();
        let resources = state["resources"].as_array().unwrap();
        let found = resources.iter().find(|resource| resource["type"] == kind);
        found.map(|resource| resource["instances"][0]["attributes"].clone()).unwrap_or_default()
    }
}

fn find_terraform() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("terraform")).find(|file| file.is_file())
}

const FULL: &str = r#"
  name     = "one"
  ratio    = 0.1
  labels   = { app = "chat", tier = "gold" }
  ports    = [80, 443]
  settings = { note = "x-${terraform_data.late.id}" }
  steps    = [{ action = "warm" }, { action = "bake", weight = 9 }]
  pools    = { a = { action = "grow" } }
  secret   = "hush"
}
resource "terraform_data" "late" {
"#;

async fn terraform_creates_changes_and_destroys() {
    let Some(work) = Workspace::new() else { return };
    work.write(FULL);
    work.apply().await;
    let state = work.state();
    assert_eq!(state["id"], "id-one");
    assert_eq!((&state["size"], &state["ratio"]), (&3.into(), &serde_json::json!(0.1)));
    assert_eq!(state["settings"]["mode"], "slow");
    assert_eq!(state["settings"]["token"], "made");
    assert_eq!((&state["steps"][0]["weight"], &state["steps"][1]["weight"]), (&3.into(), &9.into()));
    assert_eq!(state["pools"]["a"]["weight"], 3);
    assert!(state["secret"].is_null());
    work.plan_is_empty().await;
    work.write(&FULL.replace("\"bake\"", "\"soak\"").replace("\"gold\"", "\"iron\""));
    let text = work.apply().await;
    assert!(text.contains("1 changed"), "{text}");
    let state = work.state();
    assert_eq!((&state["revision"], &state["steps"][1]["action"]), (&2.into(), &"soak".into()));
    work.plan_is_empty().await;
    let text = work.exits(0, &["destroy", "-auto-approve", "-no-color"]).await;
    assert!(text.contains("2 destroyed"), "{text}");
}

async fn terraform_replaces_and_imports() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"one\"");
    work.apply().await;
    work.write("name = \"two\"");
    let text = work.apply().await;
    assert!(text.contains("1 added, 0 changed, 1 destroyed"), "{text}");
    work.exits(0, &["state", "rm", "probe_thing.it"]).await;
    work.exits(0, &["import", "-no-color", "probe_thing.it", "id-two"]).await;
    assert_eq!(work.state()["name"], "two");
    work.plan_is_empty().await;
}

async fn terraform_keeps_the_state_when_a_change_fails() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"one\"");
    work.apply().await;
    let before = work.state();
    for behavior in ["fail", "panic"] {
        work.write(&format!("name = \"one\"\nsize = 9\nbehavior = \"{behavior}\""));
        work.exits(1, &["apply", "-auto-approve", "-no-color"]).await;
        assert_eq!(work.state(), before);
        // The same difference is still there to be applied.
        work.exits(2, &["plan", "-detailed-exitcode", "-no-color"]).await;
    }
}

async fn terraform_shows_problems_where_they_are() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"forbidden\"\nsize = 900");
    let text = work.exits(1, &["validate", "-no-color"]).await;
    assert!(text.contains("Forbidden name") && text.contains("must be at most 100"), "{text}");
    assert!(text.contains("size = 900"), "{text}");
}

async fn terraform_warns_of_what_is_deprecated() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"one\"\namount = 9\nsettings = { patience = 7 }");
    let text = work.exits(0, &["validate", "-no-color"]).await;
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "Warning: `amount` is deprecated",
        "Use `size` instead.",
        ": amount = 9",
        "Warning: `settings.patience` is deprecated",
        "Use `timeout_seconds` instead.",
        ": settings = { patience = 7 }",
    ] {
        assert!(squeezed.contains(told), "{told}: {text}");
    }
    // Where it is only read, Terraform has words of its own, from the schema.
    work.write("name = \"one\"\n}\noutput \"amount\" {\nvalue = probe_thing.it.amount");
    let text = work.exits(0, &["validate", "-no-color"]).await;
    assert!(text.contains("The attribute \"amount\" is deprecated."), "{text}");
    assert!(!text.contains("Use `size` instead"), "{text}");
    work.write("name = \"one\"\nsize = 9");
    let text = work.exits(0, &["validate", "-no-color"]).await;
    assert!(!text.contains("deprecated"), "{text}");
}

async fn terraform_keeps_what_an_interrupted_create_reached() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"one\"\nbehavior = \"wait\"");
    let log = work.path().join("log");
    let mut command = work.command(&["apply", "-auto-approve", "-no-color"]);
    command.env("TF_LOG", "debug").env("TF_LOG_PATH", &log);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let waiting = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains(crate::probe::WAITING)) {
            ticks.tick().await;
        }
    };
    within("the create waits", waiting).await;
    let process = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    within("terraform ends", child.wait_with_output()).await.unwrap();
    assert_eq!(work.state()["id"], "id-one");
    // Not tainted: the next plan has nothing to replace.
    work.plan_is_empty().await;
}

async fn terraform_reads_data() {
    let Some(work) = Workspace::new() else { return };
    let echo = |said: &str| {
        format!("name = data.probe_echo.it.heard\n}}\ndata \"probe_echo\" \"it\" {{\nsaid = \"{said}\"")
    };
    work.write(&echo("hello"));
    work.apply().await;
    assert_eq!(work.state_of("probe_thing")["name"], "HELLO");
    work.write(&echo(""));
    let text = work.exits(1, &["plan", "-no-color"]).await;
    assert!(text.contains("Nothing found"), "{text}");
    work.write(&echo("much too long"));
    let text = work.exits(1, &["validate", "-no-color"]).await;
    assert!(text.contains("at most 9 characters"), "{text}");
}

async fn terraform_can_switch_tls_off() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"one\"");
    let mut command = work.command(&["apply", "-auto-approve", "-no-color"]);
    command.env("TF_DISABLE_PLUGIN_TLS", "1");
    assert!(within("apply", command.output()).await.unwrap().status.success());
    assert_eq!(work.state()["id"], "id-one");
}

async fn terraform_understands_the_schema() {
    let Some(work) = Workspace::new() else { return };
    work.write("name = \"one\"");
    let output = work.run(&["providers", "schema", "-json"]).await;
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    let provider = &json["provider_schemas"]["registry.terraform.io/test/probe"];
    let thing = &provider["resource_schemas"]["probe_thing"];
    assert_eq!(thing["version"], 2);
    let attributes = &thing["block"]["attributes"];
    for (own, name) in thing_schema().to_wire().block.unwrap().attributes.iter().map(|own| (own, &own.name)) {
        let seen = &attributes[name];
        let flag = |word: &str| seen[word].as_bool().unwrap_or_default();
        assert_eq!(
            ["required", "optional", "computed", "sensitive", "write_only", "deprecated"].map(flag),
            [own.required, own.optional, own.computed, own.sensitive, own.write_only, own.deprecated],
            "{name}"
        );
        match &own.nested_type {
            Some(_) => assert!(seen["nested_type"].is_object() && seen["type"].is_null(), "{name}"),
            None => assert_eq!(seen["type"], serde_json::from_slice::<Json>(&own.r#type).unwrap(), "{name}"),
        }
    }
    assert_eq!(attributes.as_object().unwrap().len(), thing_schema().schema().block.attributes.len());
    assert_eq!(attributes["settings"]["nested_type"]["nesting_mode"], "single");
    assert_eq!(attributes["steps"]["nested_type"]["nesting_mode"], "list");
    assert_eq!(attributes["pools"]["nested_type"]["nesting_mode"], "map");
}
