//! The story, one step after the other, and what the steps have in common.

mod back;
mod build;
mod drift;
pub mod end;
mod fail;
mod roll;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use sluice::cloud::local::{LocalCloud, LocalSettings};
use sluice::ledger::Ledger;
use sluice::spec::EndpointName;
use tokio_util::sync::CancellationToken;

use crate::fleet::{Seen, Watch};
use crate::load::{Load, Report, ask};
use crate::story::{Failure, Story, broken, line, show_command};
use crate::terraform::{Change, Ran, Show, Terraform};
use crate::workspace::Workspace;

/// Addresses in the configuration.
pub const ENDPOINT: &str = "sluice_endpoint.chat";
pub const VERSION: &str = "sluice_endpoint_version.chat";

/// Questions asked when nobody but one version may answer.
const QUESTIONS: u32 = 20;
/// The load runs for so long before and after what it is there for.
const LOAD_MARGIN: Duration = Duration::from_secs(1);

/// Everything that the steps use.
#[derive(Debug)]
pub struct Demo<'a> {
    pub story: &'a Story,
    pub place: &'a Workspace,
    pub terraform: Terraform,
    pub cloud: LocalCloud,
    pub ledger: Ledger,
    pub endpoint: EndpointName,
    pub stop: CancellationToken,
}

/// What was seen while one command ran under load.
pub struct UnderLoad {
    pub ran: Ran,
    pub seen: Seen,
    pub report: Report,
}

impl<'a> Demo<'a> {
    /// A demo in a workspace.
    pub fn new(story: &'a Story, place: &'a Workspace, stop: CancellationToken) -> Result<Self, Failure> {
        let endpoint = EndpointName::new("chat").map_err(broken("name the endpoint"))?;
        let ledger = Ledger::open(&place.ledger_url()).map_err(broken("open the ledger"))?;
        let terraform = Terraform::new(place, stop.clone());
        Ok(Self { story, place, terraform, cloud: cloud(place)?, ledger, endpoint, stop })
    }

    /// Tells the whole story.
    pub async fn run(&self) -> Result<(), Failure> {
        let models = build::train_models(self).await?;
        let url = build::first_version(self, &models).await?;
        roll::to_the_second_model(self, &models, &url).await?;
        fail::with_a_damaged_model(self, &models, &url).await?;
        fail::then_repair(self, &models, &url).await?;
        back::to_the_first_settings(self, &models, &url).await?;
        back::to_the_journals(self).await?;
        drift::behind_the_back(self, &url).await?;
        end::destroy(self, &url).await
    }

    /// Writes and shows a release.
    fn release(&self, model: &str, comment: &str) -> Result<(), Failure> {
        let text = self.place.write_release(model, comment)?;
        line("release.auto.tfvars:");
        for assignment in text.lines() {
            line(format!("  {assignment}"));
        }
        Ok(())
    }

    /// Runs `terraform apply` without questions.
    async fn apply(&self) -> Result<Ran, Failure> {
        show_command("terraform apply -auto-approve");
        self.terraform.run(&["apply", "-auto-approve"], Show::Progress).await
    }

    /// Plans into a file, checks the exit code, and returns the plan.
    async fn plan(&self, file: &str, show: Show) -> Result<Value, Failure> {
        show_command(&format!("terraform plan -detailed-exitcode -out={file}"));
        let out = format!("-out={file}");
        let ran = self.terraform.run(&["plan", "-detailed-exitcode", &out], show).await?;
        if ran.code != Some(2) {
            return Err(Failure::Claim {
                claim: "terraform plan -detailed-exitcode exits with 2: there is something to do".to_owned(),
                evidence: ran.evidence(),
            });
        }
        self.terraform.plan_file(file).await
    }

    /// Claims that a plan finds nothing to do.
    async fn claim_nothing_to_do(&self) -> Result<(), Failure> {
        show_command("terraform plan -detailed-exitcode");
        let ran = self.terraform.run(&["plan", "-detailed-exitcode"], Show::Progress).await?;
        self.story.claim("a plan finds nothing to do (exit code 0)", ran.code == Some(0), || ran.evidence())
    }

    /// Claims that a command succeeded.
    fn claim_success(&self, claim: &str, ran: &Ran) -> Result<(), Failure> {
        self.story.claim(claim, ran.code == Some(0), || ran.evidence())
    }

    /// Claims that one model and version answers everything.
    async fn claim_answers(&self, url: &str, model: &str, version: u32) -> Result<(), Failure> {
        let answers = ask(url, QUESTIONS).await?;
        let expected = BTreeMap::from([(answer(model, version), QUESTIONS)]);
        let claim =
            format!("{QUESTIONS} of {QUESTIONS} questions are answered by model {model}, version v{version}");
        self.story.claim(claim, answers == expected, || format!("answers: {answers:?}"))
    }

    /// Runs terraform while clients ask all the time and somebody watches the fleet.
    async fn under_load(&self, url: &str, name: &str, arguments: &[&str]) -> Result<UnderLoad, Failure> {
        line("clients keep asking meanwhile, half of them for streams");
        let load = Load::start(self.place, url, name)?;
        self.pause(LOAD_MARGIN).await?;
        show_command(&format!("terraform {}", arguments.join(" ")));
        let watch = Watch::start(self.cloud.clone(), self.endpoint.clone());
        let ran = self.terraform.run(arguments, Show::Progress).await;
        let seen = watch.finish().await?;
        let ran = ran?;
        self.pause(LOAD_MARGIN).await?;
        let report = load.finish().await?;
        line(report.summary());
        Ok(UnderLoad { ran, seen, report })
    }

    async fn pause(&self, duration: Duration) -> Result<(), Failure> {
        let slept = self.stop.run_until_cancelled(tokio::time::sleep(duration)).await;
        slept.ok_or(Failure::Interrupted)
    }
}

impl UnderLoad {
    /// Claims what holds for every rollout of the demo: limits kept, no request lost.
    fn claim_unnoticed(&self, story: &Story) -> Result<(), Failure> {
        let Self { seen, report, .. } = self;
        let claim = format!(
            "in {} looks at the fleet never more than 5 replicas occupied (most: {}), never fewer than 4 ready \
             (fewest: {})",
            seen.looks, seen.occupied_most, seen.ready_least
        );
        story.claim(claim, seen.stays_within(5, 4), || seen.evidence())?;
        let claim = format!("{} requests, {} failed", report.sent, report.failed);
        story.claim(claim, report.failed == 0 && report.sent > 0 && report.streams > 0, || report.evidence())
    }
}

/// The agent of the demo; never starts one.
pub fn cloud(place: &Workspace) -> Result<LocalCloud, Failure> {
    let settings = LocalSettings {
        data_dir: Some(place.data_dir.clone()),
        program: place.programs.provider.clone(),
        autostart: false,
        ..LocalSettings::default()
    };
    LocalCloud::connect(settings).map_err(broken("reach the agent"))
}

/// A number among the attributes of a resource.
fn number(attributes: &Value, name: &str) -> Option<u64> {
    attributes.get(name).and_then(Value::as_u64)
}

/// Shows the steps of a rollout as they are planned.
fn show_rollout(change: &Change) {
    for step in change.rollout_plan() {
        line(format!("rollout_plan: {step}"));
    }
}

fn answer(model: &str, version: u32) -> String {
    format!("{model} v{version}")
}
