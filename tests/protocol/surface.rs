//! The provider itself, asked as Terraform versions ask that are newer than the one of the other tests.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use sluice::terraform::consistency::{check_plan, check_result};
use sluice::terraform::provider::SluiceProvider;
use sluice::terraform::schema::{Attribute, AttributeConstraint, AttributeType, ResourceSchema};
use sluice::terraform::value::{Value, decode, encode};
use sluice::terraform::{Provider as _, wire};
use tokio::process::Command;

use crate::client::{CLIENT_PEM, Client, Plugin};
use crate::random::Random;

crate::tests!(
    identities_are_told_imported_and_upgraded,
    a_plan_that_awaits_the_providers_configuration_is_deferred,
    configuration_is_generated_without_what_is_computed_or_the_default,
    functions_are_listed_and_called,
    whatever_is_configured_plans_and_applies_as_terraform_demands,
);

const PROVIDER: &str = env!("CARGO_BIN_EXE_terraform-provider-sluice");

/// The provider with an agent of its own.
pub struct Surface {
    pub client: Client,
    pub provider: SluiceProvider,
    pub folder: tempfile::TempDir,
    _plugin: Plugin,
}

/// A process of the provider, whose agent is in this folder.
pub async fn plugin_at(folder: &Path) -> Plugin {
    let mut command = Command::new(PROVIDER);
    command
        .env_remove("TF_LOG")
        .env("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_CLIENT_CERT", CLIENT_PEM)
        .env("SLUICE_DATA_DIR", folder.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Plugin::start(command).await
}

impl Surface {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("slc-").tempdir_in("/tmp").unwrap();
        std::fs::write(folder.path().join("model.bin"), "weights").unwrap();
        let plugin = plugin_at(folder.path()).await;
        let client = plugin.connect().await;
        Self { client, provider: SluiceProvider::new().unwrap(), folder, _plugin: plugin }
    }

    pub async fn configured(self, config: &Value) -> Self {
        let config = message(self.provider.schema(), config);
        let request = wire::ConfigureProviderRequest { config: Some(config), ..Default::default() };
        let reply: wire::DiagnosticsResponse = self.client.provider("ConfigureProvider", &request).await;
        assert_eq!(reply.diagnostics, []);
        self
    }

    pub fn schema(&self, type_name: &str) -> ResourceSchema {
        let resources = self.provider.resources();
        let resource = resources.iter().find(|resource| resource.type_name() == type_name).unwrap();
        resource.schema().clone()
    }

    pub async fn validate(&self, type_name: &str, config: &Value) -> usize {
        let request = wire::ValidateConfigRequest {
            type_name: type_name.into(),
            config: Some(message(&self.schema(type_name), config)),
            client_capabilities: Some(capabilities(false)),
        };
        let reply: wire::DiagnosticsResponse = self.client.provider("ValidateResourceConfig", &request).await;
        reply.diagnostics.len()
    }

    pub async fn plan(
        &self,
        type_name: &str,
        prior: &Saved,
        config: &Value,
    ) -> wire::PlanResourceChangeResponse {
        let schema = self.schema(type_name);
        let proposed = proposed(&schema.schema().block.attributes, &prior.state, config);
        let request = wire::PlanResourceChangeRequest {
            type_name: type_name.into(),
            prior_state: Some(message(&schema, &prior.state)),
            proposed_new_state: Some(message(&schema, &proposed)),
            config: Some(message(&schema, config)),
            prior_private: prior.private.clone(),
            client_capabilities: Some(capabilities(false)),
            ..Default::default()
        };
        self.client.provider("PlanResourceChange", &request).await
    }

    /// Plans a create under Terraform's own checks, unless it is refused.
    async fn plans_well(&self, type_name: &str, config: &Value) {
        let plan = self.plan(type_name, &Saved::default(), config).await;
        if plan.diagnostics.is_empty() {
            let schema = self.schema(type_name);
            let planned = value(&schema, plan.planned_state);
            assert_eq!(check_plan(&schema, None, config, &planned), Vec::<String>::new(), "{config:?}");
        }
    }

    /// Plans, applies and refreshes, under Terraform's own checks; nothing for a plan that is refused.
    pub async fn change(&self, type_name: &str, prior: Saved, config: &Value) -> Option<Saved> {
        let schema = self.schema(type_name);
        let plan = self.plan(type_name, &prior, config).await;
        if !plan.diagnostics.is_empty() {
            return None;
        }
        let planned = value(&schema, plan.planned_state.clone());
        let before = Some(&prior.state).filter(|state| !state.is_null());
        assert_eq!(check_plan(&schema, before, config, &planned), Vec::<String>::new(), "{config:?}");
        if !config.is_wholly_known() || !plan.requires_replace.is_empty() {
            return None;
        }
        let request = apply_request(&schema, type_name, &prior, config, plan);
        let applied: wire::ApplyResourceChangeResponse =
            self.client.provider("ApplyResourceChange", &request).await;
        assert_eq!(applied.diagnostics, [], "{config:?}");
        let state = value(&schema, applied.new_state.clone());
        assert_eq!(check_result(&schema, &planned, &state), Vec::<String>::new(), "{config:?}");
        let request = wire::ReadResourceRequest {
            type_name: type_name.into(),
            current_state: applied.new_state,
            private: applied.private,
            ..Default::default()
        };
        let read: wire::ReadResourceResponse = self.client.provider("ReadResource", &request).await;
        assert_eq!(value(&schema, read.new_state), state, "a refresh found a change");
        let saved = Saved { state: state.clone(), private: read.private };
        let again = self.plan(type_name, &saved, config).await;
        assert_eq!(value(&schema, again.planned_state), state, "the same configuration plans a change");
        Some(saved)
    }
}

impl Drop for Surface {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(PROVIDER);
        command.args(["agent", "stop", "--all", "--data-dir"]).arg(self.folder.path().join("data"));
        // It may never have been started.
        let _not_running = command.output();
    }
}

/// What Terraform stores of a resource.
#[derive(Clone, Default)]
pub struct Saved {
    pub state: Value,
    pub private: Vec<u8>,
}

/// What Terraform asks for when a plan is carried out.
pub fn apply_request(
    schema: &ResourceSchema,
    type_name: &str,
    prior: &Saved,
    config: &Value,
    plan: wire::PlanResourceChangeResponse,
) -> wire::ApplyResourceChangeRequest {
    wire::ApplyResourceChangeRequest {
        type_name: type_name.into(),
        prior_state: Some(message(schema, &prior.state)),
        planned_state: plan.planned_state,
        config: Some(message(schema, config)),
        planned_private: plan.planned_private,
        ..Default::default()
    }
}

pub fn capabilities(deferral_allowed: bool) -> wire::ClientCapabilities {
    wire::ClientCapabilities { deferral_allowed, write_only_attributes_allowed: true }
}

pub fn message(schema: &ResourceSchema, value: &Value) -> wire::DynamicValue {
    wire::DynamicValue { msgpack: encode(schema.root(), value), json: Vec::new() }
}

pub fn value(schema: &ResourceSchema, message: Option<wire::DynamicValue>) -> Value {
    decode(schema.root(), &message.unwrap_or_default().msgpack).unwrap()
}

/// What Terraform proposes: the configuration, and prior values where it is null and they may be computed.
fn proposed(
    attributes: &std::collections::HashMap<String, Attribute>,
    prior: &Value,
    config: &Value,
) -> Value {
    let parts = attributes.iter().map(|(name, attribute)| {
        let (prior, config) = (prior.attribute(name), config.attribute(name));
        let computed =
            !matches!(attribute.constraint, AttributeConstraint::Required | AttributeConstraint::Optional);
        let part = match (&attribute.attr_type, config) {
            (_, Value::Null) if computed => prior.clone(),
            (AttributeType::AttributeSingle(nested), Value::Map(_)) => proposed(nested, prior, config),
            (AttributeType::AttributeList(nested), Value::List(elements)) => {
                let priors = prior.as_list().unwrap_or_default();
                let parts = elements.iter().enumerate();
                let null = Value::Null;
                Value::List(parts.map(|(i, e)| proposed(nested, priors.get(i).unwrap_or(&null), e)).collect())
            }
            _ => config.clone(),
        };
        (name.clone(), part)
    });
    Value::object(parts)
}

async fn identities_are_told_imported_and_upgraded() {
    let surface = Surface::start().await;
    let Surface { client, .. } = &surface;
    let schemas: wire::GetResourceIdentitySchemasResponse =
        client.provider("GetResourceIdentitySchemas", &wire::Empty {}).await;
    let told = |type_name: &str| {
        let attributes = &schemas.identity_schemas[type_name].identity_attributes;
        let told =
            |a: &wire::IdentityAttribute| (a.name.clone(), a.required_for_import, a.optional_for_import);
        attributes.iter().map(told).collect::<Vec<_>>()
    };
    let named = |name: &str, required: bool| (name.to_owned(), required, !required);
    assert_eq!(told("sluice_endpoint"), [named("cloud", false), named("name", true)]);
    assert_eq!(told("sluice_endpoint_version"), [named("cloud", false), named("endpoint", true)]);
    assert_eq!(told("sluice_deployment_policy"), [named("name", true)]);

    let policy = surface.schema("sluice_deployment_policy");
    let mut config = policy.null_object();
    config.set_attribute("name", "careful");
    surface.change("sluice_deployment_policy", Saved::default(), &config).await.unwrap();
    // The identity of a policy is an object with one string: the same bytes as its JSON says.
    let by_identity = wire::ImportResourceStateRequest {
        type_name: "sluice_deployment_policy".into(),
        identity: Some(wire::ResourceIdentityData {
            identity_data: Some(wire::DynamicValue {
                json: br#"{"name":"careful"}"#.to_vec(),
                ..Default::default()
            }),
        }),
        ..Default::default()
    };
    let reply: wire::ImportResourceStateResponse = client.provider("ImportResourceState", &by_identity).await;
    let imported = reply.imported_resources.into_iter().next().unwrap();
    assert_eq!(value(&policy, imported.state).attribute("name").as_str(), Some("careful"));
    assert_eq!(imported.identity.unwrap().identity_data.unwrap().msgpack, b"\x81\xa4name\xa7careful");

    let upgrade = async |version: i64| {
        let request = wire::UpgradeResourceIdentityRequest {
            type_name: "sluice_deployment_policy".into(),
            version,
            raw_identity: Some(wire::RawState {
                json: br#"{"name":"careful"}"#.to_vec(),
                ..Default::default()
            }),
        };
        client.provider::<_, wire::UpgradeResourceIdentityResponse>("UpgradeResourceIdentity", &request).await
    };
    let same = upgrade(0).await.upgraded_identity.unwrap().identity_data.unwrap();
    assert_eq!(same.msgpack, b"\x81\xa4name\xa7careful");
    assert_eq!(upgrade(7).await.diagnostics.len(), 1);
}

async fn a_plan_that_awaits_the_providers_configuration_is_deferred() {
    let surface = Surface::start().await;
    let mut unknown = surface.provider.schema().null_object();
    unknown.set_attribute("ledger", Value::Unknown);
    let surface = surface.configured(&unknown).await;
    let schema = surface.schema("sluice_endpoint_version");
    let config = version(surface.folder.path());
    let plan = async |deferral_allowed: bool| {
        let request = wire::PlanResourceChangeRequest {
            type_name: "sluice_endpoint_version".into(),
            prior_state: Some(message(&schema, &Value::Null)),
            proposed_new_state: Some(message(&schema, &config)),
            config: Some(message(&schema, &config)),
            client_capabilities: Some(capabilities(deferral_allowed)),
            ..Default::default()
        };
        surface.client.provider::<_, wire::PlanResourceChangeResponse>("PlanResourceChange", &request).await
    };
    let deferred = plan(true).await;
    assert_eq!(deferred.deferred, Some(wire::Deferred { reason: 2 }));
    assert!(value(&schema, deferred.planned_state).attribute("number").is_unknown());
    let planned = plan(false).await;
    assert_eq!((planned.deferred, planned.diagnostics.len()), (None, 0));
    assert!(value(&schema, planned.planned_state).attribute("number").is_unknown());
}

async fn configuration_is_generated_without_what_is_computed_or_the_default() {
    let surface = Surface::start().await;
    let schema = surface.schema("sluice_deployment_policy");
    let mut config = schema.null_object();
    config.set_attribute("name", "careful");
    config.set_attribute("max_surge", "25%");
    let saved = surface.change("sluice_deployment_policy", Saved::default(), &config).await.unwrap();
    let request = wire::GenerateResourceConfigRequest {
        type_name: "sluice_deployment_policy".into(),
        state: Some(message(&schema, &saved.state)),
    };
    let reply: wire::GenerateResourceConfigResponse =
        surface.client.provider("GenerateResourceConfig", &request).await;
    assert_eq!(value(&schema, reply.config), config);
}

async fn functions_are_listed_and_called() {
    let surface = Surface::start().await;
    let listed: wire::GetFunctionsResponse = surface.client.provider("GetFunctions", &wire::Empty {}).await;
    let names: Vec<&String> = listed.functions.keys().collect();
    assert_eq!(names, ["parse_version_id", "rollout_limits", "rollout_plan"]);
    let call = async |argument: &[u8]| {
        let argument = wire::DynamicValue { msgpack: argument.to_vec(), json: Vec::new() };
        let request =
            wire::CallFunctionRequest { name: "parse_version_id".into(), arguments: vec![argument] };
        surface.client.provider::<_, wire::CallFunctionResponse>("CallFunction", &request).await
    };
    assert!(call(b"\xadlocal/chat/v4").await.result.is_some());
    assert_eq!(call(b"\xa4chat").await.error.unwrap().function_argument, Some(0));
}

/// A version that is valid on the local cloud.
pub fn version(folder: &Path) -> Value {
    let provider = SluiceProvider::new().unwrap();
    let resources = provider.resources();
    let schema = resources.iter().find(|r| r.type_name() == "sluice_endpoint_version").unwrap().schema();
    let json = json!({
        "endpoint": "chat",
        "model": { "source": folder.join("model.bin") },
        "container": { "command": ["/bin/true"] },
        "scaling": { "min_replicas": 1 },
    });
    Value::from_json(schema.root(), &json).unwrap()
}

/// Sets some of the attributes, now and then to something unknown.
fn vary(random: &mut Random, value: &mut Value, choices: &[(&str, Vec<Value>)]) {
    for (path, options) in choices {
        if random.one_in(3) {
            let chosen = if random.one_in(12) { Value::Unknown } else { random.pick(options).clone() };
            let _no_place = value.set(&(*path).into(), chosen);
        }
    }
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::from(*text)).chain([Value::Null]).collect()
}

type Choices = Vec<(&'static str, Vec<Value>)>;

fn choices_of_labels() -> Vec<Value> {
    vec![Value::object([("team", "ads")]), Value::object([("a", "b")]), Value::Null]
}

fn version_choices() -> Choices {
    let entries = vec![Value::object([("A", "1")]), Value::object([("A", Value::Unknown)]), Value::Null];
    let labels = choices_of_labels();
    vec![
        ("comment", texts(&["one", "two"])),
        ("env", entries.clone()),
        ("engine", entries),
        ("labels", labels),
        ("scaling.min_replicas", vec![1.into(), 2.into(), 3.into()]),
        ("secret_env", vec![Value::object([("KEY", "x")])]),
        ("secret_env_version", texts(&["1", "2"])),
        ("rollback_to", vec![0.into(), Value::Null]),
        (
            "health",
            vec![
                Value::Null,
                Value::object([
                    ("path", Value::from("/up")),
                    ("interval", Value::Null),
                    ("timeout", Value::Null),
                    ("start_timeout", Value::Null),
                    ("failures_max", 7.into()),
                ]),
            ],
        ),
        ("warmup", vec![Value::Null]),
    ]
}

fn policy_choices() -> Choices {
    vec![
        ("strategy", texts(&["rolling", "blue_green", "canary"])),
        ("max_surge", texts(&["25%", "2"])),
        ("max_unavailable", texts(&["1", "0"])),
        ("min_ready", texts(&["1s", "60s"])),
        ("keep_warm", texts(&["5m"])),
        (
            "drain",
            vec![
                Value::Null,
                Value::object([("timeout", Value::from("9s")), ("unroute_delay", Value::Null)]),
            ],
        ),
        ("batch", vec![Value::Null]),
    ]
}

fn endpoint_choices() -> Choices {
    let labels = choices_of_labels();
    vec![
        ("version", vec![0.into(), 1.into()]),
        ("labels", labels),
        ("deletion_protection", vec![true.into(), false.into(), Value::Null]),
        (
            "timeouts",
            vec![
                Value::Null,
                Value::object([
                    ("create", Value::from("9s")),
                    ("read", Value::Null),
                    ("update", Value::Null),
                    ("delete", Value::Null),
                ]),
            ],
        ),
        ("local", vec![Value::Null, Value::object([("port", Value::Null), ("token_required", true.into())])]),
    ]
}

async fn whatever_is_configured_plans_and_applies_as_terraform_demands() {
    let surface = Surface::start().await;
    let mut provider = surface.provider.schema().null_object();
    provider.set_attribute("default_labels", Value::object([("team", "search")]));
    let surface = surface.configured(&provider).await;
    let mut policy = surface.schema("sluice_deployment_policy").null_object();
    policy.set_attribute("name", "careful");
    let mut endpoint = surface.schema("sluice_endpoint").null_object();
    endpoint.set_attribute("name", "chat");
    endpoint.set_attribute("version", 0);
    let first = version(surface.folder.path());
    surface.change("sluice_endpoint_version", Saved::default(), &first).await.unwrap();
    let (mut applied, mut random) = (0, Random::new(7));
    for (type_name, base, choices) in [
        ("sluice_endpoint_version", &first, version_choices()),
        ("sluice_deployment_policy", &policy, policy_choices()),
        ("sluice_endpoint", &endpoint, endpoint_choices()),
    ] {
        for _ in 0..20 {
            let mut saved = Saved::default();
            for _ in 0..3 {
                let mut config = base.clone();
                vary(&mut random, &mut config, &choices);
                if surface.validate(type_name, &config).await > 0 {
                    continue;
                }
                if type_name == "sluice_endpoint" {
                    // Its apply runs processes: other tests do that.
                    surface.plans_well(type_name, &config).await;
                    continue;
                }
                if let Some(next) = surface.change(type_name, saved.clone(), &config).await {
                    (saved, applied) = (next, applied + 1);
                }
            }
        }
    }
    assert!(applied > 40, "only {applied} changes were applied");
}
