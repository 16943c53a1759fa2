//! What can be listed: endpoints, their versions, policies. The ledger names them; a look says what they are.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;

use super::diagnostics::Diagnostics;
use super::list::{ListResource, Listed};
use super::minted::report;
use super::provider::Connections;
use super::resource::{Context, ManagedResource, ReadRequest};
use super::schema::{ResourceSchema, SchemaError};
use super::value::Value;
use crate::engine::Engine;
use crate::ledger::LedgerError;
use crate::spec::{CloudName, EndpointName};

/// Endpoints that exist, whoever manages them, as far as the ledger has recorded anything of them.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Endpoints {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    cloud: Option<CloudName>,
}

/// The newest version of each endpoint that has one: what a `sluice_endpoint_version` stands for.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct EndpointVersions {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    cloud: Option<CloudName>,
}

/// Policies that were recorded in the ledger, each as it was recorded last.
#[derive(JsonSchema)]
struct DeploymentPolicies {}

/// All lists, of these resources.
///
/// # Errors
/// A type cannot be turned into a schema: a mistake in the program, which a test finds.
pub(super) fn all(
    connections: &Arc<Connections>,
    resources: &[Arc<dyn ManagedResource>],
) -> Result<Vec<Arc<dyn ListResource>>, SchemaError> {
    let list = |kind: Kind, schema| {
        let resource = resources.iter().find(|resource| resource.type_name() == kind.type_name())?.clone();
        let connections = connections.clone();
        Some(Arc::new(List { kind, schema, resource, connections }) as Arc<dyn ListResource>)
    };
    let lists = [
        list(Kind::Endpoints, ResourceSchema::from_type::<Endpoints>(0)?),
        list(Kind::Versions, ResourceSchema::from_type::<EndpointVersions>(0)?),
        list(Kind::Policies, ResourceSchema::from_type::<DeploymentPolicies>(0)?),
    ];
    Ok(lists.into_iter().flatten().collect())
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Endpoints,
    Versions,
    Policies,
}

impl Kind {
    const fn type_name(self) -> &'static str {
        match self {
            Self::Endpoints => "sluice_endpoint",
            Self::Versions => "sluice_endpoint_version",
            Self::Policies => "sluice_deployment_policy",
        }
    }

    /// The names of all that may be there.
    async fn names(self, engine: &Engine) -> Result<Vec<String>, LedgerError> {
        match self {
            Self::Endpoints | Self::Versions => {
                let endpoints = engine.ledger.endpoints(engine.cloud.name()).await?;
                Ok(endpoints.iter().map(ToString::to_string).collect())
            }
            Self::Policies => Ok(engine.ledger.policies().await?.iter().map(ToString::to_string).collect()),
        }
    }

    /// Whether the ledger holds what a look would look for: folders can be all that there is.
    async fn is_recorded(self, engine: &Engine, candidate: &Value) -> Result<bool, LedgerError> {
        match self {
            // The cloud says whether it is there.
            Self::Endpoints => Ok(true),
            Self::Versions => {
                let name = candidate.attribute("endpoint").as_str().unwrap_or_default();
                let Ok(endpoint) = EndpointName::new(name) else { return Ok(false) };
                Ok(engine.ledger.latest_version(engine.cloud.name(), &endpoint).await?.is_some())
            }
            Self::Policies => {
                let name = candidate.attribute("name").as_str().unwrap_or_default();
                let Ok(name) = name.parse() else { return Ok(false) };
                Ok(engine.ledger.policy(&name).await?.is_some())
            }
        }
    }
}

/// The list of one kind.
struct List {
    kind: Kind,
    schema: ResourceSchema,
    resource: Arc<dyn ManagedResource>,
    connections: Arc<Connections>,
}

#[async_trait]
impl ListResource for List {
    fn type_name(&self) -> &'static str {
        self.kind.type_name()
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn candidates(
        &self,
        _: &Context,
        config: &Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Value>> {
        let engine = self.connections.engine(self.connections.cloud_of(config), diagnostics).await?;
        let cloud = engine.cloud.name();
        let names = report(self.kind.names(&engine).await, diagnostics)?;
        let candidate = |name: String| {
            let mut state = self.resource.schema().null_object();
            match self.kind {
                Kind::Versions => state.set_attribute("endpoint", name),
                Kind::Endpoints | Kind::Policies => state.set_attribute("name", name),
            }
            if self.kind != Kind::Policies {
                state.set_attribute("cloud", cloud.as_str());
            }
            state
        };
        Some(names.into_iter().map(candidate).collect())
    }

    async fn look(
        &self,
        context: &Context,
        candidate: Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Listed> {
        let engine = self.connections.engine(self.connections.cloud_of(&candidate), diagnostics).await?;
        if !report(self.kind.is_recorded(&engine, &candidate).await, diagnostics)? {
            return None;
        }
        let request = ReadRequest { state: candidate, private: Vec::new() };
        let state = self.resource.read(context, request, diagnostics).await.state?;
        let display_name = state.attribute("id").as_str().unwrap_or_default().to_owned();
        Some(Listed { display_name, state })
    }
}
