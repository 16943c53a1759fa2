//! The real `terraform` against the emulator, story by story.

mod complaints;
mod credentials;
mod drift;
mod failure;
mod faults;
mod import;
mod interrupt;
mod lifecycle;
mod refusals;
mod scaling;
mod tags;
mod wire;

use serde_json::{Value, json};

use super::emulator::{Emulator, Failure, Fault, FaultKind, Order, Request, Script};
use crate::terraform::Output;
use crate::workspace::Workspace;

const ROLE: &str = "arn:aws:iam::123456789012:role/serving";

/// An emulator, and a folder for Terraform.
pub struct World {
    pub emulator: Emulator,
    pub workspace: Workspace,
}

/// What the configuration says.
#[derive(Debug, Clone)]
pub struct Config {
    pub image: u32,
    pub scaling: String,
    pub instance_type: String,
    /// More lines of the version.
    pub version: String,
    /// More lines of the version's block for this cloud.
    pub own: String,
    /// More lines of the endpoint.
    pub endpoint: String,
    /// Lines of the policy.
    pub policy: String,
}

impl Config {
    /// Four instances of an image with this tag, replaced one by one.
    pub fn image(image: u32) -> Self {
        Self {
            image,
            scaling: "min_replicas = 4".into(),
            instance_type: "ml.g5.xlarge".into(),
            version: String::new(),
            own: String::new(),
            endpoint: String::new(),
            policy: "batch = { size = 1, bake = \"60s\" }".into(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// An alarm turns updates back.
    pub fn watched(image: u32) -> Self {
        Self::image(image).with(|config| {
            config.policy =
                "batch = { size = 1, bake = \"60s\" }\n    gates = [{ cloudwatch_alarm = \"errors\" }]"
                    .into();
        })
    }
}

impl World {
    /// An emulator whose clock moves with each look, and an empty workspace.
    pub fn new() -> Self {
        let emulator = Emulator::start();
        let environment = emulator.environment();
        Self::of(emulator, &environment)
    }

    /// A world with an emulator whose clock moves with each look, where programs see this environment.
    pub fn of(emulator: Emulator, environment: &[(String, String)]) -> Self {
        emulator.order(Order::AdvanceByLook(30));
        let mut environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.push(("SLUICE_CLOUD", "sagemaker"));
        let workspace = Workspace::new(&environment);
        Self { emulator, workspace }
    }

    /// A world in which a configuration was applied.
    #[track_caller]
    pub fn applied(config: &Config) -> Self {
        let world = Self::new();
        world.apply(config);
        world
    }

    pub fn write(&self, config: &Config) {
        let Config { image, scaling, instance_type, version, own, endpoint, policy } = config;
        let ledger = self.workspace.ledger();
        self.workspace.write(&format!(
            r#"provider "sluice" {{
  cloud     = "sagemaker"
  ledger    = "{ledger}"
  sagemaker = {{ poll_interval = "20ms" }}
}}

resource "sluice_endpoint_version" "chat" {{
  endpoint  = "chat"
  model     = {{ source = "s3://models/chat/" }}
  container = {{ image = "registry.example/server:{image}" }}
  scaling   = {{ {scaling} }}
  {version}
  sagemaker = {{
    instance_type      = "{instance_type}"
    execution_role_arn = "{ROLE}"
    {own}
  }}
}}

resource "sluice_endpoint" "chat" {{
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  {endpoint}
  policy = {{
    {policy}
  }}
}}
"#
        ));
    }

    /// Writes and applies a configuration, which has to succeed.
    #[track_caller]
    pub fn apply(&self, config: &Config) -> Output {
        self.write(config);
        self.workspace.apply()
    }

    /// Writes and applies a configuration, which has to fail and say all of this.
    #[track_caller]
    pub fn apply_fails(&self, config: &Config, expected: &[&str]) -> Output {
        self.write(config);
        self.workspace.terraform(&["apply", "-auto-approve"]).failed_with(expected)
    }

    /// The endpoint in Terraform's state.
    pub fn chat(&self) -> Value {
        self.workspace.state().attributes("sluice_endpoint.chat").clone()
    }

    /// The endpoint as somebody else sees it.
    #[track_caller]
    pub fn endpoint(&self) -> Value {
        self.emulator.call("DescribeEndpoint", &json!({ "EndpointName": "chat" }))
    }

    /// The tag of the image that the endpoint runs.
    #[track_caller]
    pub fn image(&self) -> u32 {
        let image = &self.endpoint()["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"];
        image.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Requests of one operation.
    pub fn requests(&self, operation: &str) -> Vec<Request> {
        let requests = self.emulator.requests().into_iter();
        requests.filter(|request| request.operation == operation).collect()
    }

    pub fn script(&self, script: Script) {
        self.emulator.order(Order::Script { endpoint: "chat".into(), script });
    }

    pub fn fails(&self, failure: Failure) {
        self.script(Script { failure: Some(failure), ..Script::default() });
    }

    pub fn fault(&self, operation: &str, times: u32, kind: FaultKind) {
        self.emulator.order(Order::Fault(Fault { operation: Some(operation.into()), times, kind }));
    }

    /// An alarm that is fine.
    pub fn alarm(&self, name: &str) {
        self.emulator.call(
            "PutMetricAlarm",
            &json!({ "AlarmName": name, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold" }),
        );
        self.set_alarm(name, "OK");
    }

    pub fn set_alarm(&self, name: &str, state: &str) {
        let body = json!({ "AlarmName": name, "StateValue": state, "StateReason": "as the test says" });
        self.emulator.call("SetAlarmState", &body);
    }
}
