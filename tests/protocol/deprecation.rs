//! What is deprecated says so: in the schema, and where somebody uses it.

use std::sync::LazyLock;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice::terraform::diagnostics::Diagnostics;
use sluice::terraform::resource::{Context, DataSource};
use sluice::terraform::schema::ResourceSchema;
use sluice::terraform::value::{Value, encode};
use sluice::terraform::wire;

use crate::client::{Client, Plugin};
use crate::probe::thing_schema;
use crate::thing::Thing;

crate::tests!(
    the_schema_says_what_is_deprecated_and_what_to_use,
    a_deprecated_attribute_that_is_set_is_a_warning_with_our_words,
    what_is_deprecated_as_a_whole_is_a_warning_wherever_it_stands,
);

/// Nobody needs it any more.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("x-terraform" = {"deprecated": "Use probe_echo instead."}))]
#[allow(dead_code, reason = "only its schema is used")]
struct Relic {
    said: Option<String>,
}

static RELIC: LazyLock<ResourceSchema> = LazyLock::new(|| ResourceSchema::from_type::<Relic>(0).unwrap());

pub struct ProbeRelic;

#[async_trait]
impl DataSource for ProbeRelic {
    fn type_name(&self) -> &'static str {
        "probe_relic"
    }

    fn schema(&self) -> &ResourceSchema {
        &RELIC
    }

    async fn read(&self, _: &Context, config: &Value, _: &mut Diagnostics) -> Option<Value> {
        Some(config.clone())
    }
}

async fn warnings(client: &Client, call: &str, type_name: &str, config: wire::DynamicValue) -> Vec<String> {
    let request = wire::ValidateConfigRequest {
        type_name: type_name.into(),
        config: Some(config),
        client_capabilities: None,
    };
    let reply: wire::DiagnosticsResponse = client.provider(call, &request).await;
    let warning = |diagnostic: wire::Diagnostic| {
        assert_eq!(diagnostic.severity, i32::from(wire::Severity::Warning));
        format!("{}: {}", diagnostic.summary, diagnostic.detail)
    };
    reply.diagnostics.into_iter().map(warning).collect()
}

async fn the_schema_says_what_is_deprecated_and_what_to_use() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let schemas: wire::GetProviderSchemaResponse =
        client.provider("GetProviderSchema", &wire::Empty {}).await;
    let thing = schemas.resource_schemas["probe_thing"].block.clone().unwrap();
    let named = |attributes: &[wire::Attribute], name: &str| {
        attributes.iter().find(|attribute| attribute.name == name).unwrap().clone()
    };
    let amount = named(&thing.attributes, "amount");
    assert_eq!((amount.deprecated, amount.deprecation_message.as_str()), (true, "Use `size` instead."));
    let settings = named(&thing.attributes, "settings").nested_type.unwrap();
    assert_eq!(named(&settings.attributes, "patience").deprecation_message, "Use `timeout_seconds` instead.");
    // A text beside an attribute that is not deprecated is a schema that Terraform refuses.
    for attribute in thing.attributes.iter().filter(|attribute| !attribute.deprecated) {
        assert_eq!(attribute.deprecation_message, "", "{}", attribute.name);
    }
    let relic = schemas.data_source_schemas["probe_relic"].block.clone().unwrap();
    assert_eq!((relic.deprecated, relic.deprecation_message.as_str()), (true, "Use probe_echo instead."));
}

async fn a_deprecated_attribute_that_is_set_is_a_warning_with_our_words() {
    let plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let check = async |config: &Value| {
        warnings(&thing.client, "ValidateResourceConfig", "probe_thing", thing.message(config)).await
    };
    let mut config = thing.config("");
    assert_eq!(check(&config).await, Vec::<String>::new());
    // What is unknown may turn out to be null.
    config.set_attribute("amount", Value::Unknown);
    assert_eq!(check(&config).await, Vec::<String>::new());
    config.set_attribute("amount", 9);
    let mut settings =
        Value::from_json(thing_schema().root(), &serde_json::json!({ "settings": {} })).unwrap();
    assert!(settings.set(&"settings.patience".into(), 7.into()));
    config.set_attribute("settings", settings.attribute("settings").clone());
    assert_eq!(
        check(&config).await,
        [
            "`amount` is deprecated: Use `size` instead.",
            "`settings.patience` is deprecated: Use `timeout_seconds` instead.",
        ]
    );
}

async fn what_is_deprecated_as_a_whole_is_a_warning_wherever_it_stands() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let config = Value::object([("said", Value::Null)]);
    let config = wire::DynamicValue { msgpack: encode(RELIC.root(), &config), json: Vec::new() };
    let found = warnings(&client, "ValidateDataResourceConfig", "probe_relic", config).await;
    assert_eq!(found, ["This is deprecated: Use probe_echo instead."]);
}
