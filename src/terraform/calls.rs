//! The calls of the provider service: wire messages in, wire messages out, the author's traits in between.
//!
//! Every call answers with diagnostics, never with a gRPC error, because Terraform loses state over those. Work
//! runs in tasks of its own: it goes on when Terraform drops the call, and a panic in it becomes a diagnostic.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::action::Action;
use super::diagnostics::{self, Diagnostics, Report};
use super::dynamic::config;
use super::ephemeral::EphemeralResource;
use super::function::Function;
use super::lifecycle::Lifecycle;
use super::list::ListResource;
use super::resource::{Context, DataSource, ManagedResource, Provider};
use super::value::Path;
use super::{log, validate, wire};

/// Why an answer has to wait, in the words of the protocol.
const PROVIDER_CONFIG_UNKNOWN: i32 = 2;

/// A provider and everything that calls to it need.
pub(super) struct Calls {
    provider: Arc<dyn Provider>,
    pub(super) resources: BTreeMap<&'static str, Arc<dyn ManagedResource>>,
    data_sources: BTreeMap<&'static str, Arc<dyn DataSource>>,
    pub(super) ephemerals: BTreeMap<&'static str, Arc<dyn EphemeralResource>>,
    pub(super) lists: BTreeMap<&'static str, Arc<dyn ListResource>>,
    pub(super) actions: BTreeMap<&'static str, Arc<dyn Action>>,
    pub(super) functions: BTreeMap<&'static str, Arc<dyn Function>>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

/// A call that has begun.
#[derive(Debug)]
pub(super) struct Call {
    pub name: &'static str,
    resource_type: String,
    started: Instant,
    /// For the work.
    pub context: Context,
}

/// A reply in which problems can be reported.
pub(super) trait Reply: Default + Send + 'static {
    fn diagnostics(&mut self) -> &mut Vec<wire::Diagnostic>;
}

macro_rules! replies {
    ($($reply:ident),* $(,)?) => {$(
        impl Reply for wire::$reply {
            fn diagnostics(&mut self) -> &mut Vec<wire::Diagnostic> {
                &mut self.diagnostics
            }
        }
    )*};
}

replies!(
    ValidateProviderConfigResponse,
    DiagnosticsResponse,
    UpgradeResourceStateResponse,
    ReadResourceResponse,
    PlanResourceChangeResponse,
    ApplyResourceChangeResponse,
    ImportResourceStateResponse,
    ReadDataSourceResponse,
    OpenEphemeralResourceResponse,
    RenewEphemeralResourceResponse,
    MoveResourceStateResponse,
    GenerateResourceConfigResponse,
    PlanActionResponse,
);

impl Calls {
    pub fn new(provider: Arc<dyn Provider>, lifecycle: Arc<Lifecycle>) -> Self {
        let resources =
            provider.resources().into_iter().map(|resource| (resource.type_name(), resource)).collect();
        let data_sources =
            provider.data_sources().into_iter().map(|source| (source.type_name(), source)).collect();
        let ephemerals = provider
            .ephemeral_resources()
            .into_iter()
            .map(|resource| (resource.type_name(), resource))
            .collect();
        let lists = provider.list_resources().into_iter().map(|list| (list.type_name(), list)).collect();
        let actions = provider.actions().into_iter().map(|action| (action.type_name(), action)).collect();
        let functions =
            provider.functions().into_iter().map(|function| (function.name(), function)).collect();
        Self { provider, resources, data_sources, ephemerals, lists, actions, functions, lifecycle }
    }

    /// Notes that a call begins; `resource_type` is empty when it is about the provider.
    pub fn begin(&self, name: &'static str, resource_type: &str) -> Call {
        let call = Call {
            name,
            resource_type: resource_type.into(),
            started: Instant::now(),
            context: self.lifecycle.context(),
        };
        log::trace("Received a call", &call.fields());
        call
    }

    pub fn metadata(&self) -> wire::GetMetadataResponse {
        let named = |name: &&'static str| wire::Named { name: (*name).into() };
        wire::GetMetadataResponse {
            server_capabilities: Some(capabilities()),
            resources: self.resources.keys().map(named).collect(),
            data_sources: self.data_sources.keys().map(named).collect(),
            functions: self.functions.keys().map(named).collect(),
            ephemeral_resources: self.ephemerals.keys().map(named).collect(),
            list_resources: self.lists.keys().map(named).collect(),
            actions: self.actions.keys().map(named).collect(),
            diagnostics: Vec::new(),
        }
    }

    pub fn provider_schema(&self) -> wire::GetProviderSchemaResponse {
        let resources = self.resources.iter().map(|(name, r)| ((*name).to_owned(), r.schema().to_wire()));
        let sources = self.data_sources.iter().map(|(name, s)| ((*name).to_owned(), s.schema().to_wire()));
        let ephemerals = self.ephemerals.iter().map(|(name, e)| ((*name).to_owned(), e.schema().to_wire()));
        let lists = self.lists.iter().map(|(name, l)| ((*name).to_owned(), l.schema().to_wire()));
        let action =
            |action: &Arc<dyn Action>| wire::ActionSchema { schema: Some(action.schema().to_wire()) };
        let actions = self.actions.iter().map(|(name, a)| ((*name).to_owned(), action(a)));
        wire::GetProviderSchemaResponse {
            provider: Some(self.provider.schema().to_wire()),
            resource_schemas: resources.collect(),
            data_source_schemas: sources.collect(),
            ephemeral_resource_schemas: ephemerals.collect(),
            list_resource_schemas: lists.collect(),
            action_schemas: actions.collect(),
            functions: self.functions().functions,
            server_capabilities: Some(capabilities()),
            ..Default::default()
        }
    }

    pub fn functions(&self) -> wire::GetFunctionsResponse {
        let functions = self.functions.iter().map(|(name, f)| ((*name).to_owned(), f.signature().to_wire()));
        wire::GetFunctionsResponse { functions: functions.collect(), diagnostics: Vec::new() }
    }

    /// That the answer has to wait for the provider's configuration, if it does and the client can wait.
    pub fn deferred(&self, client: Option<wire::ClientCapabilities>) -> Option<wire::Deferred> {
        let can_wait = client.is_some_and(|client| client.deferral_allowed);
        (can_wait && self.provider.awaits_configuration())
            .then_some(wire::Deferred { reason: PROVIDER_CONFIG_UNKNOWN })
    }

    pub async fn validate_provider(
        &self,
        request: wire::ValidateProviderConfigRequest,
    ) -> wire::ValidateProviderConfigResponse {
        let provider = self.provider.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(provider.schema(), request.config.as_ref(), &mut found) {
                validate::validate(provider.schema(), &config, &mut found);
                provider.validate(&config, &mut found).await;
            }
            let diagnostics = diagnostics::to_wire(found, Some(provider.schema()));
            wire::ValidateProviderConfigResponse { diagnostics }
        };
        self.run(self.begin("ValidateProviderConfig", ""), work, Default::default).await
    }

    pub async fn configure(&self, request: wire::ConfigureProviderRequest) -> wire::DiagnosticsResponse {
        let provider = self.provider.clone();
        let work = async move {
            let mut found = Diagnostics::default();
            if let Some(config) = config(provider.schema(), request.config.as_ref(), &mut found) {
                provider.configure(&config, &request.terraform_version, &mut found).await;
            }
            wire::DiagnosticsResponse { diagnostics: diagnostics::to_wire(found, Some(provider.schema())) }
        };
        self.run(self.begin("ConfigureProvider", ""), work, Default::default).await
    }

    /// The resource of this type, or a reply that says there is none.
    pub fn resource<R: Reply>(&self, type_name: &str) -> Result<Arc<dyn ManagedResource>, Box<R>> {
        self.resources.get(type_name).cloned().ok_or_else(|| unknown_type(type_name))
    }

    /// The data source of this type, or a reply that says there is none.
    pub fn data_source<R: Reply>(&self, type_name: &str) -> Result<Arc<dyn DataSource>, Box<R>> {
        self.data_sources.get(type_name).cloned().ok_or_else(|| unknown_type(type_name))
    }

    /// Runs `work` in its own task to its end. If it panics, the reply is `after_crash` and an error.
    pub async fn run<R: Reply>(
        &self,
        call: Call,
        work: impl Future<Output = R> + Send + 'static,
        after_crash: impl FnOnce() -> R,
    ) -> R {
        let mut reply = match self.lifecycle.tasks.spawn(work).await {
            Ok(reply) => reply,
            Err(error) => {
                let mut reply = after_crash();
                reply.diagnostics().extend(crashed(call.name, error));
                reply
            }
        };
        call.answered(reply.diagnostics());
        reply
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "it is the error of a result, which should be small")]
pub(super) fn unknown_type<R: Reply>(type_name: &str) -> Box<R> {
    let mut found = Diagnostics::default();
    found.error_at(&Path::root(), "Unknown type", format!("There is no {type_name} in this provider."));
    let mut reply = R::default();
    *reply.diagnostics() = diagnostics::to_wire(found, None);
    Box::new(reply)
}

/// What is said of work that did not come to its end.
pub(super) fn crashed(call: &str, error: JoinError) -> Vec<wire::Diagnostic> {
    let message = error
        .try_into_panic()
        .map_or_else(|error| error.to_string(), |payload| panic_message(payload.as_ref()).to_owned());
    let mut found = Diagnostics::default();
    found.error_at(&Path::root(), "The provider crashed", format!("{call}: {message}"));
    diagnostics::to_wire(found, None)
}

/// The text a panic was raised with.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        generate_resource_config: true,
    }
}

impl Call {
    fn fields(&self) -> Vec<log::Field<'static>> {
        vec![
            ("tf_rpc", self.name.into()),
            ("tf_resource_type", self.resource_type.as_str().into()),
            ("tf_req_id", self.context.request_id.as_str().into()),
            ("tf_proto_version", "6".into()),
        ]
    }

    pub fn answered(&self, reported: &[wire::Diagnostic]) {
        let count =
            |severity: wire::Severity| reported.iter().filter(|d| d.severity == i32::from(severity)).count();
        let duration = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut fields = self.fields();
        fields.extend([
            ("tf_req_duration_ms", duration.into()),
            ("diagnostic_error_count", count(wire::Severity::Error).into()),
            ("diagnostic_warning_count", count(wire::Severity::Warning).into()),
        ]);
        log::debug("Answered a call", &fields);
    }
}
