//! `sluice_endpoint_token`: a token that opens an endpoint for a while. It is in no state and no plan.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;

use super::diagnostics::{Diagnostics, Report, sentence};
use super::ephemeral::{EphemeralResource, Opened};
use super::provider::Connections;
use super::resource::Context;
use super::schema::{ResourceSchema, SchemaError};
use super::value::{Path, Value};
use crate::spec::{CloudName, EndpointName, TimeSpan};

/// Life of a token that asks for none.
const LIFE: TimeSpan = TimeSpan::from_seconds(15 * 60);
/// Longest life of a token.
const LIFE_MAX: TimeSpan = TimeSpan::from_seconds(24 * 60 * 60);

/// A token that opens an endpoint for a while. Terraform keeps it in memory only. On the local cloud it opens an
/// endpoint with `local = { token_required = true }`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct EndpointToken {
    /// The cloud. The provider's by default.
    #[schemars(with = "Option<String>", extend("enum" = CloudName::WORDS))]
    cloud: Option<CloudName>,
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63))]
    endpoint: EndpointName,
    /// How long the token opens the endpoint, such as `"15m"`, which is the default; up to 24 hours.
    valid_for: Option<TimeSpan>,
    /// The token, to be sent as `Authorization: Bearer …`.
    #[schemars(extend("x-terraform" = { "computed": true, "sensitive": true }))]
    token: String,
    /// When it ends.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    expires_at: String,
    /// The address that it opens.
    #[schemars(extend("x-terraform" = { "computed": true }))]
    url: String,
}

/// The ephemeral resource `sluice_endpoint_token`.
pub(super) struct EndpointTokenResource {
    schema: ResourceSchema,
    connections: Arc<Connections>,
}

impl EndpointTokenResource {
    /// The resource on these connections.
    ///
    /// # Errors
    /// The type cannot be turned into a schema.
    pub fn new(connections: Arc<Connections>) -> Result<Self, SchemaError> {
        Ok(Self { schema: ResourceSchema::from_type::<EndpointToken>(0)?, connections })
    }
}

#[async_trait]
impl EphemeralResource for EndpointTokenResource {
    fn type_name(&self) -> &'static str {
        "sluice_endpoint_token"
    }

    fn schema(&self) -> &ResourceSchema {
        &self.schema
    }

    async fn validate(&self, config: &Value, diagnostics: &mut Diagnostics) {
        endpoint(config, diagnostics);
        life(config, diagnostics);
    }

    async fn open(&self, _: &Context, config: &Value, diagnostics: &mut Diagnostics) -> Option<Opened> {
        let (endpoint, life) = (endpoint(config, diagnostics)?, life(config, diagnostics)?);
        let engine = self.connections.engine(self.connections.cloud_of(config), diagnostics).await?;
        let issued = match engine.cloud.issue_token(&endpoint, life).await {
            Ok(issued) => issued,
            Err(error) => {
                diagnostics.error_at(
                    &Path::from("endpoint"),
                    "No token was issued",
                    sentence(&error.chain()),
                );
                return None;
            }
        };
        let mut result = config.clone();
        result.set_attribute("token", issued.token);
        result.set_attribute("expires_at", issued.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        result.set_attribute("url", issued.url);
        // A token cannot be made to last longer, so there is nothing to renew; it ends by itself.
        Some(Opened { result, private: Vec::new(), renew_at: None })
    }
}

fn endpoint(config: &Value, diagnostics: &mut Diagnostics) -> Option<EndpointName> {
    let path = Path::from("endpoint");
    match EndpointName::new(config.attribute("endpoint").as_str()?) {
        Ok(name) => Some(name),
        Err(error) => {
            if !diagnostics.has_error_at(&path) {
                diagnostics.error_at(&path, "Invalid name", sentence(&error.to_string()));
            }
            None
        }
    }
}

fn life(config: &Value, diagnostics: &mut Diagnostics) -> Option<TimeSpan> {
    let path = Path::from("valid_for");
    let Some(text) = config.attribute("valid_for").as_str() else { return Some(LIFE) };
    match text.parse::<TimeSpan>() {
        Ok(life) if life != TimeSpan::ZERO && life <= LIFE_MAX => Some(life),
        Ok(_) => {
            diagnostics.error_at(&path, "Value not allowed", "A token lives for 1 second to 24 hours.");
            None
        }
        Err(error) => {
            diagnostics.error_at(&path, "Invalid value", sentence(&error.to_string()));
            None
        }
    }
}
