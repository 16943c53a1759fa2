//! An ephemeral resource that is renewed, and the calls of its life.

use std::sync::LazyLock;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice::terraform::diagnostics::{Diagnostics, Report};
use sluice::terraform::ephemeral::{EphemeralResource, Opened, Renewed};
use sluice::terraform::resource::Context;
use sluice::terraform::schema::ResourceSchema;
use sluice::terraform::value::{Path, Value, decode, encode};
use sluice::terraform::wire;

use crate::client::Plugin;

crate::tests!(
    an_ephemeral_resource_is_opened_renewed_and_closed,
    an_ephemeral_resource_that_fails_says_why,
    ephemeral_resources_are_listed,
);

/// Something lent for a while.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Lease {
    /// Whose.
    holder: String,
    #[schemars(extend("x-terraform" = {"computed": true, "sensitive": true}))]
    key: Option<String>,
}

static SCHEMA: LazyLock<ResourceSchema> = LazyLock::new(|| ResourceSchema::from_type::<Lease>(0).unwrap());

pub struct ProbeLease;

#[async_trait]
impl EphemeralResource for ProbeLease {
    fn type_name(&self) -> &'static str {
        "probe_lease"
    }

    fn schema(&self) -> &ResourceSchema {
        &SCHEMA
    }

    async fn validate(&self, config: &Value, found: &mut Diagnostics) {
        if config.attribute("holder").as_str() == Some("") {
            found.error_at(&Path::from("holder"), "Nobody", "Somebody has to hold it.");
        }
    }

    async fn open(&self, _: &Context, config: &Value, found: &mut Diagnostics) -> Option<Opened> {
        let holder = config.attribute("holder").as_str()?.to_owned();
        if holder == "late" {
            found.error_at(&Path::from("holder"), "Too late", "It is lent already.");
            return None;
        }
        let mut result = config.clone();
        result.set_attribute("key", format!("key of {holder}"));
        let renew_at = Timestamp::from_second(60).ok();
        Some(Opened { result, private: holder.into_bytes(), renew_at })
    }

    async fn renew(&self, _: &Context, private: &[u8], _: &mut Diagnostics) -> Option<Renewed> {
        let private = [private, b"+"].concat();
        Some(Renewed { private, renew_at: Timestamp::from_second(120).ok() })
    }

    async fn close(&self, _: &Context, private: &[u8], found: &mut Diagnostics) {
        found.warning_at(&Path::root(), String::from_utf8_lossy(private).into_owned(), "is closed");
    }
}

fn message(holder: &str) -> wire::DynamicValue {
    let config = Value::object([("holder", Value::from(holder)), ("key", Value::Null)]);
    wire::DynamicValue { msgpack: encode(SCHEMA.root(), &config), json: Vec::new() }
}

fn open(holder: &str) -> wire::OpenEphemeralResourceRequest {
    let config = Some(message(holder));
    wire::OpenEphemeralResourceRequest { type_name: "probe_lease".into(), config, client_capabilities: None }
}

async fn an_ephemeral_resource_is_opened_renewed_and_closed() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let opened: wire::OpenEphemeralResourceResponse =
        client.provider("OpenEphemeralResource", &open("me")).await;
    let result = decode(SCHEMA.root(), &opened.result.unwrap().msgpack).unwrap();
    assert_eq!(result.attribute("key").as_str(), Some("key of me"));
    assert_eq!(opened.renew_at, Some(wire::Timestamp { seconds: 60, nanos: 0 }));
    let on = |private| wire::OpenedEphemeralResourceRequest { type_name: "probe_lease".into(), private };
    let renewed: wire::RenewEphemeralResourceResponse =
        client.provider("RenewEphemeralResource", &on(opened.private)).await;
    assert_eq!(renewed.private.as_deref(), Some(&b"me+"[..]));
    assert_eq!(renewed.renew_at, Some(wire::Timestamp { seconds: 120, nanos: 0 }));
    let closed: wire::DiagnosticsResponse =
        client.provider("CloseEphemeralResource", &on(renewed.private)).await;
    assert_eq!(closed.diagnostics[0].summary, "me+");
}

async fn ephemeral_resources_are_listed() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let metadata: wire::GetMetadataResponse = client.provider("GetMetadata", &wire::Empty {}).await;
    assert_eq!(metadata.ephemeral_resources[0].name, "probe_lease");
    let schemas: wire::GetProviderSchemaResponse =
        client.provider("GetProviderSchema", &wire::Empty {}).await;
    assert!(schemas.ephemeral_resource_schemas.contains_key("probe_lease"));
}

async fn an_ephemeral_resource_that_fails_says_why() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let opened: wire::OpenEphemeralResourceResponse =
        client.provider("OpenEphemeralResource", &open("late")).await;
    assert_eq!((opened.result, opened.diagnostics[0].summary.as_str()), (None, "Too late"));
    let request = wire::ValidateConfigRequest {
        type_name: "probe_lease".into(),
        config: Some(message("")),
        ..Default::default()
    };
    let validated: wire::DiagnosticsResponse =
        client.provider("ValidateEphemeralResourceConfig", &request).await;
    assert_eq!(validated.diagnostics[0].summary, "Nobody");
    let request = wire::OpenEphemeralResourceRequest { type_name: "probe_none".into(), ..open("me") };
    let unknown: wire::OpenEphemeralResourceResponse =
        client.provider("OpenEphemeralResource", &request).await;
    assert_eq!(unknown.diagnostics[0].summary, "Unknown type");
}
