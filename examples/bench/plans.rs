//! `terraform plan` of many endpoints, beside as many resources that Terraform handles by itself.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::agent::Agent;
use crate::crowd;
use crate::report::{Outcome, Section, Verdict};
use crate::rollout::train;
use crate::shim::{self, Usage};
use crate::{Bench, Failure};

pub const TITLE: &str = "Plans of many endpoints";
/// Longest run of Terraform.
const RUN_MAX: Duration = Duration::from_mins(3);
/// Endpoints of a configuration. Each has a version and a policy of its own.
const SIZES: [u32; 3] = [10, 100, 1_000];
/// Plans of the same kind, of which the median counts. The largest take so long that one is enough.
const fn rounds(endpoints: u32) -> usize {
    if endpoints > 100 { 1 } else { 3 }
}
/// How much more one endpoint may cost among a thousand than among a hundred.
const GROWTH_MAX: f64 = 1.5;
/// Largest share of the provider in the wall time.
const SHARE_MAX: f64 = 0.5;

/// What a plan is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing of it exists.
    Creation,
    /// All of it exists, and is as it should be.
    Refresh,
}

/// One plan.
#[derive(Debug, Clone, Copy)]
struct Run {
    wall: f64,
    terraform: f64,
    provider: f64,
    agent: f64,
    peak_kib: u64,
    calls: u64,
}

/// The plans of one kind and size.
struct Measured {
    kind: Kind,
    endpoints: u32,
    ours: Run,
    theirs: Run,
}

pub async fn measure(bench: &Bench) -> Result<Outcome, Failure> {
    let found =
        Command::new("terraform").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    if !found.is_ok_and(|status| status.success()) {
        return Ok(Outcome::Skipped { title: TITLE, why: "terraform is not installed".to_owned() });
    }
    let stage = Stage::set(bench).await?;
    let sizes = if bench.short { SIZES.split_at(2).0 } else { SIZES.as_slice() };
    let mut measured = Vec::new();
    let mut existing = 0;
    for endpoints in sizes {
        measured.push(stage.compare(Kind::Creation, *endpoints).await?);
        stage.bring_up(existing, *endpoints).await?;
        existing = *endpoints;
        measured.push(stage.compare(Kind::Refresh, *endpoints).await?);
    }
    let calls = stage.calls_of_refresh().await?;
    Ok(Outcome::Measured(section(&measured, calls)))
}

/// Folders, an agent, and what to serve.
struct Stage {
    folder: PathBuf,
    provider: PathBuf,
    server: PathBuf,
    model: PathBuf,
    agent: Agent,
}

impl Stage {
    async fn set(bench: &Bench) -> Result<Self, Failure> {
        let folder = bench.folder("plans")?;
        for name in ["plugins", "home", "tmp", "ours", "theirs"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        std::fs::copy(std::env::current_exe()?, folder.join("plugins/terraform-provider-sluice"))?;
        let overrides = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"sluice-rs/sluice\" = \"{}\"\n  \
             }}\n  direct {{}}\n}}\n",
            folder.join("plugins").display()
        );
        std::fs::write(folder.join("terraform.rc"), overrides)?;
        let agent = Agent::new(bench, &folder.join("agent"), 1)?;
        agent.cloud.agent().await?;
        Ok(Self {
            provider: bench.provider()?,
            server: bench.example("model-server")?,
            model: train(bench, &folder).await?,
            folder,
            agent,
        })
    }

    /// Plans of a kind with endpoints, and with resources of Terraform's own.
    async fn compare(&self, kind: Kind, endpoints: u32) -> Result<Measured, Failure> {
        let prefix = if kind == Kind::Creation { "new" } else { "old" };
        self.configure("ours", &self.endpoints(prefix, endpoints))?;
        self.configure("theirs", &data(prefix, endpoints))?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds(endpoints) {
            ours.push(self.plan("ours", kind).await?);
            theirs.push(self.plan("theirs", kind).await?);
        }
        Ok(Measured { kind, endpoints, ours: median(ours)?, theirs: median(theirs)? })
    }

    /// Makes endpoints and their counterparts exist: the first ones by Terraform's own apply, more of them like those.
    async fn bring_up(&self, from: u32, to: u32) -> Result<(), Failure> {
        if from == 0 {
            self.configure("ours", &self.endpoints("old", to))?;
            self.configure("theirs", &data("old", to))?;
            self.terraform("ours", &["apply", "-auto-approve"], 0).await?;
            return self.terraform("theirs", &["apply", "-auto-approve"], 0).await;
        }
        let model = names("old", 1).next().unwrap_or_default();
        let names: Vec<String> = names("old", to).skip(usize::try_from(from)?).collect();
        let ledger = format!("file://{}", self.folder.join("agent/ledger").display());
        crowd::bring_up(&self.agent.cloud, &ledger, &model, &names).await?;
        for place in ["ours", "theirs"] {
            crowd::enlarge(&self.folder.join(place).join("terraform.tfstate"), &model, &names)?;
        }
        Ok(())
    }

    /// Calls to the agent that a refresh of all endpoints takes.
    async fn calls_of_refresh(&self) -> Result<u64, Failure> {
        let before = self.agent.cloud.agent().await?.calls;
        self.terraform("ours", &["plan", "-refresh-only"], 0).await?;
        Ok(self.agent.cloud.agent().await?.calls.saturating_sub(before + 1))
    }

    async fn plan(&self, place: &str, kind: Kind) -> Result<Run, Failure> {
        let is_ours = place == "ours";
        let state = self.folder.join(place).join("terraform.tfstate");
        let aside = state.with_extension("aside");
        if kind == Kind::Creation && state.exists() {
            std::fs::rename(&state, &aside)?;
        }
        let usage = self.folder.join("usage");
        shim::forget(&usage)?;
        let before = self.agent.cloud.agent().await?;
        let agent_before = shim::of_process(before.pid)?;
        let own_before = shim::of_children()?;
        let begun = Instant::now();
        let changes = if kind == Kind::Creation { 2 } else { 0 };
        self.terraform(place, &["plan", "-detailed-exitcode"], changes).await?;
        let wall = begun.elapsed();
        let all = shim::of_children()?.saturating_sub(own_before);
        let agent = shim::of_process(before.pid)?.saturating_sub(agent_before);
        let calls = self.agent.cloud.agent().await?.calls.saturating_sub(before.calls + 1);
        if aside.exists() {
            std::fs::rename(&aside, &state)?;
        }
        let usage = if is_ours { shim::take(&usage)? } else { Usage::default() };
        Ok(Run {
            wall: wall.as_secs_f64(),
            terraform: all.saturating_sub(usage.processor).as_secs_f64(),
            provider: usage.processor.as_secs_f64(),
            agent: agent.as_secs_f64(),
            peak_kib: usage.peak_kib,
            calls,
        })
    }

    async fn terraform(&self, place: &str, arguments: &[&str], expected: i32) -> Result<(), Failure> {
        let mut command = Command::new("terraform");
        command.args(arguments).current_dir(self.folder.join(place)).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.join("home")).env("TMPDIR", self.folder.join("tmp"));
        command.env("TF_CLI_CONFIG_FILE", self.folder.join("terraform.rc"));
        command.env("TF_CLI_ARGS", "-no-color").env("TF_INPUT", "0").env("TF_IN_AUTOMATION", "1");
        shim::stand_between(&mut command, &self.provider, &self.folder.join("usage"));
        let output = timeout(RUN_MAX, command.stdin(Stdio::null()).kill_on_drop(true).output()).await??;
        if output.status.code() == Some(expected) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("terraform {} ended with {}: {said}", arguments.join(" "), output.status).into())
    }

    fn configure(&self, place: &str, text: &str) -> Result<(), Failure> {
        Ok(std::fs::write(self.folder.join(place).join("main.tf"), text)?)
    }

    /// Endpoints, each with a version and a policy. Every resource has a block of its own: `for_each` over many that
    /// refer to each other costs Terraform time with the square of their number, whatever the provider does.
    fn endpoints(&self, prefix: &str, count: u32) -> String {
        let data_dir = self.folder.join("agent");
        let (data_dir, model, server) = (data_dir.display(), self.model.display(), self.server.display());
        let mut text = format!(
            r#"terraform {{
  required_providers {{
    sluice = {{ source = "sluice-rs/sluice" }}
  }}
}}

provider "sluice" {{
  local = {{ data_dir = "{data_dir}" }}
}}
"#
        );
        for name in names(prefix, count) {
            let _ = write!(
                text,
                r#"
resource "sluice_deployment_policy" "{name}" {{
  name      = "{name}"
  max_surge = 1
  min_ready = "0s"
}}

resource "sluice_endpoint_version" "{name}" {{
  endpoint  = "{name}"
  model     = {{ source = "{model}" }}
  container = {{ command = ["{server}", "serve"] }}
  scaling   = {{ min_replicas = 1 }}
  health    = {{ interval = "10s" }}
}}

resource "sluice_endpoint" "{name}" {{
  name    = sluice_endpoint_version.{name}.endpoint
  version = sluice_endpoint_version.{name}.number
  policy  = sluice_deployment_policy.{name}
}}
"#
            );
        }
        text
    }
}

/// As many resources as endpoints, versions and policies, which lean on each other in the same way.
fn data(prefix: &str, count: u32) -> String {
    let mut text = String::new();
    for name in names(prefix, count) {
        let _ = write!(
            text,
            r#"
resource "terraform_data" "policy-{name}" {{
  input = {{ name = "{name}", max_surge = 1, min_ready = "0s" }}
}}

resource "terraform_data" "version-{name}" {{
  input = {{ endpoint = "{name}", model = "model", command = ["server", "serve"], replicas = 1 }}
}}

resource "terraform_data" "endpoint-{name}" {{
  input = {{
    name    = terraform_data.version-{name}.output.endpoint
    version = terraform_data.version-{name}.id
    policy  = terraform_data.policy-{name}.output
  }}
}}
"#
        );
    }
    text
}

fn names(prefix: &str, count: u32) -> impl Iterator<Item = String> {
    (0..count).map(move |index| format!("{prefix}-{index:04}"))
}

fn median(mut runs: Vec<Run>) -> Result<Run, Failure> {
    runs.sort_by(|one, other| one.wall.total_cmp(&other.wall));
    runs.get(runs.len() / 2).copied().ok_or_else(|| "nothing was planned".into())
}

/// What one endpoint more costs among the larger number, in parts of what it costs among the smaller.
fn growth(measured: &[Measured], kind: Kind, value: impl Fn(&Measured) -> f64) -> Option<f64> {
    let of_kind: Vec<&Measured> = measured.iter().filter(|one| one.kind == kind).collect();
    let slopes = of_kind.windows(2).filter_map(|pair| match pair {
        [small, large] => Some((value(large) - value(small)) / f64::from(large.endpoints - small.endpoints)),
        _ => None,
    });
    match slopes.collect::<Vec<_>>().as_slice() {
        [few, many] => Some(many / few),
        _ => None,
    }
}

fn section(measured: &[Measured], calls: u64) -> Section {
    Section {
        title: TITLE,
        about: "`terraform plan` of endpoints on the local cloud, each with a version and a policy of its own, beside \
                three `terraform_data` for each endpoint, which lean on each other in the same way and which Terraform \
                handles inside its own process. Median of three plans, but one of 1,000; the endpoints that exist serve, with a replica each."
            .to_owned(),
        command: "cargo run --profile measure --example bench -- --only plans".to_owned(),
        head: vec![
            "plan",
            "endpoints",
            "wall",
            "`terraform_data`",
            "ratio",
            "Terraform's processor time",
            "the provider's",
            "the agent's",
            "provider / wall",
            "provider's memory",
            "calls to the agent",
        ],
        rows: measured.iter().map(row).collect(),
        verdicts: verdicts(measured, calls),
        notes: vec![
            "The provider's share is its processor time, in all processes of it that Terraform starts for one plan, in \
             parts of the wall time. Its memory is the most that one of them held."
                .to_owned(),
            "Every resource has a block of its own. With `for_each` over resources that refer to each other, Terraform's \
             own time grows with the square of their number, for `terraform_data` as well."
                .to_owned(),
            "Terraform applied the first ten; the others were brought up by the engine, and written into the state like \
             those. Terraform finds nothing to change in them."
                .to_owned(),
        ],
    }
}

fn verdicts(measured: &[Measured], calls: u64) -> Vec<Verdict> {
    let share = |one: &Measured| one.ours.provider / one.ours.wall;
    let mut verdicts = Vec::new();
    for (kind, word) in [(Kind::Creation, "first plan"), (Kind::Refresh, "plan of what exists")] {
        let wall = growth(measured, kind, |one| one.ours.wall);
        let provider = growth(measured, kind, |one| one.ours.provider);
        if let (Some(wall), Some(provider)) = (wall, provider) {
            verdicts.push(Verdict {
                goal: format!(
                    "{word}: linear; one endpoint more costs among 1,000 at most {GROWTH_MAX} times what it costs \
                     among 100"
                ),
                measured: format!("wall {wall:.2}, provider {provider:.2} times"),
                met: wall <= GROWTH_MAX && provider <= GROWTH_MAX,
            });
        }
        let largest = measured.iter().rfind(|one| one.kind == kind);
        if let Some(largest) = largest {
            verdicts.push(Verdict {
                goal: format!("{word}: the provider's share is under {SHARE_MAX} of the wall time"),
                measured: format!("{:.2} for {} endpoints", share(largest), largest.endpoints),
                met: share(largest) < SHARE_MAX,
            });
        }
    }
    let refreshed = measured.iter().rfind(|one| one.kind == Kind::Refresh);
    if let Some(refreshed) = refreshed {
        verdicts.push(Verdict {
            goal: "refresh: at most one call to the agent for each endpoint".to_owned(),
            measured: format!("{calls} calls for {} endpoints", refreshed.endpoints),
            met: calls <= u64::from(refreshed.endpoints),
        });
    }
    verdicts
}

fn row(one: &Measured) -> Vec<String> {
    let seconds = |value: f64| format!("{value:.2} s");
    vec![
        match one.kind {
            Kind::Creation => "first",
            Kind::Refresh => "what exists",
        }
        .to_owned(),
        one.endpoints.to_string(),
        seconds(one.ours.wall),
        seconds(one.theirs.wall),
        format!("{:.1}", one.ours.wall / one.theirs.wall),
        seconds(one.ours.terraform),
        seconds(one.ours.provider),
        seconds(one.ours.agent),
        format!("{:.2}", one.ours.provider / one.ours.wall),
        format!("{} MiB", one.ours.peak_kib / 1024),
        one.ours.calls.to_string(),
    ]
}
