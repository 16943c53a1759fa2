//! What `terraform query` asks for: endpoints, versions and policies of the ledger.

use sluice::terraform::value::Value;
use sluice::terraform::{Provider as _, wire};

use crate::chat::Chat;
use crate::surface::{Saved, Surface, value};

crate::tests!(
    lists_have_schemas_and_are_announced,
    policies_are_listed_with_identity_and_object_and_no_more_than_asked_for,
    an_endpoint_and_its_newest_version_are_listed_and_what_is_gone_is_not,
    a_list_that_cannot_be_made_says_why,
);

fn request(type_name: &str, limit: i64, include_resource_object: bool) -> wire::ListResourceRequest {
    let config = match type_name {
        "sluice_deployment_policy" => b"\x80".to_vec(),
        // An object with `cloud`, which is null.
        _ => b"\x81\xa5cloud\xc0".to_vec(),
    };
    let config = Some(wire::DynamicValue { msgpack: config, json: Vec::new() });
    wire::ListResourceRequest { type_name: type_name.into(), config, include_resource_object, limit }
}

async fn list(surface: &Surface, request: &wire::ListResourceRequest) -> Vec<wire::ListResourceEvent> {
    surface.client.events("ListResource", request).await.rest().await
}

fn names(events: &[wire::ListResourceEvent]) -> Vec<&str> {
    for event in events {
        assert_eq!(event.diagnostic, []);
    }
    events.iter().map(|event| event.display_name.as_str()).collect()
}

fn identity(event: &wire::ListResourceEvent) -> &[u8] {
    &event.identity.as_ref().unwrap().identity_data.as_ref().unwrap().msgpack
}

async fn lists_have_schemas_and_are_announced() {
    let surface = Surface::start().await;
    let metadata: wire::GetMetadataResponse = surface.client.provider("GetMetadata", &wire::Empty {}).await;
    let announced: Vec<&str> = metadata.list_resources.iter().map(|named| named.name.as_str()).collect();
    let schemas: wire::GetProviderSchemaResponse =
        surface.client.provider("GetProviderSchema", &wire::Empty {}).await;
    let identities: wire::GetResourceIdentitySchemasResponse =
        surface.client.provider("GetResourceIdentitySchemas", &wire::Empty {}).await;
    assert_eq!(announced, ["sluice_deployment_policy", "sluice_endpoint", "sluice_endpoint_version"]);
    assert!(schemas.list_resource_schemas.keys().eq(announced.iter()));
    for name in announced {
        // Terraform refuses a list whose managed resource it does not know, or cannot identify.
        assert!(schemas.resource_schemas.contains_key(name), "{name}");
        assert!(identities.identity_schemas.contains_key(name), "{name}");
        let block = schemas.list_resource_schemas[name].block.as_ref().unwrap();
        assert!(block.attributes.iter().all(|attribute| attribute.optional), "{name}");
    }
}

async fn policies_are_listed_with_identity_and_object_and_no_more_than_asked_for() {
    let surface = Surface::start().await;
    let kind = "sluice_deployment_policy";
    let mut saved = Vec::new();
    for name in ["brave", "careful", "quick"] {
        let mut config = surface.schema(kind).null_object();
        config.set_attribute("name", name);
        config.set_attribute("max_surge", "25%");
        saved.push(surface.change(kind, Saved::default(), &config).await.unwrap().state);
    }
    let all = list(&surface, &request(kind, 100, true)).await;
    assert_eq!(names(&all), ["brave", "careful", "quick"]);
    assert_eq!(identity(&all[1]), b"\x81\xa4name\xa7careful");
    let objects: Vec<Value> =
        all.into_iter().map(|event| value(&surface.schema(kind), event.resource_object)).collect();
    assert_eq!(objects, saved, "an object is what a refresh would show");

    let two = list(&surface, &request(kind, 2, false)).await;
    assert_eq!(names(&two), ["brave", "careful"]);
    assert!(two.iter().all(|event| event.resource_object.is_none()));
    assert_eq!(list(&surface, &request(kind, 0, false)).await.len(), 3, "no limit is named");
}

async fn an_endpoint_and_its_newest_version_are_listed_and_what_is_gone_is_not() {
    let chat = Chat::serving().await;
    let surface = &chat.surface;
    // Something is recorded of an endpoint that does not exist, and of a version that was never minted.
    let ledger = surface.folder.path().join("data/ledger/local");
    std::fs::create_dir_all(ledger.join("ghost/versions")).unwrap();
    let endpoints = list(surface, &request("sluice_endpoint", 100, true)).await;
    assert_eq!(names(&endpoints), ["local/chat"]);
    assert_eq!(identity(&endpoints[0]), b"\x82\xa5cloud\xa5local\xa4name\xa4chat");
    let found = value(&surface.schema("sluice_endpoint"), endpoints[0].resource_object.clone());
    assert_eq!(found.attribute("status").as_str(), Some("serving"));
    assert_eq!(found.attribute("live_version").as_i64(), Some(0));

    let versions = list(surface, &request("sluice_endpoint_version", 100, true)).await;
    assert_eq!(names(&versions), ["local/chat/v1"]);
    assert_eq!(identity(&versions[0]), b"\x82\xa5cloud\xa5local\xa8endpoint\xa4chat");
    let found = value(&surface.schema("sluice_endpoint_version"), versions[0].resource_object.clone());
    assert_eq!(found.attribute("env").attribute("WORD").as_str(), Some("two"));

    let mut validated = wire::ValidateListResourceConfigRequest {
        type_name: "sluice_endpoint".into(),
        config: request("sluice_endpoint", 1, false).config,
        ..Default::default()
    };
    let reply: wire::DiagnosticsResponse =
        surface.client.provider("ValidateListResourceConfig", &validated).await;
    assert_eq!(reply.diagnostics, []);
    validated.config =
        Some(wire::DynamicValue { msgpack: b"\x81\xa5cloud\xa4mars".to_vec(), ..Default::default() });
    let reply: wire::DiagnosticsResponse =
        surface.client.provider("ValidateListResourceConfig", &validated).await;
    assert!(reply.diagnostics[0].detail.starts_with("cloud must be one of"), "{reply:?}");
}

async fn a_list_that_cannot_be_made_says_why() {
    let surface = Surface::start().await;
    let unknown = list(&surface, &request("sluice_moon", 100, false)).await;
    assert_eq!((unknown.len(), unknown[0].diagnostic[0].summary.as_str()), (1, "Unknown type"));
    assert_eq!(unknown[0].identity, None);

    let mut config = surface.provider.schema().null_object();
    config.set_attribute("ledger", "ftp://somewhere");
    let surface = surface.configured(&config).await;
    let failed = list(&surface, &request("sluice_endpoint", 100, false)).await;
    assert_eq!((failed.len(), failed[0].diagnostic.len()), (1, 1));
    assert_eq!(failed[0].diagnostic[0].summary, "The ledger cannot be opened");
}
