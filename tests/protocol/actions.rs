//! What `action` blocks do to a rollout that really runs, and what they tell while they do.

use serde_json::json;
use sluice::terraform::Provider as _;
use sluice::terraform::provider::SluiceProvider;
use sluice::terraform::value::Value;
use sluice::terraform::wire::{self, InvokeActionEventKind as Kind};

use crate::chat::Chat;
use crate::client::{Client, Events};
use crate::surface::{Surface, capabilities, message, plugin_at, value};

crate::tests!(
    a_rollout_is_watched_line_by_line_and_goes_on_when_an_action_says_so,
    a_rollout_that_an_action_aborts_goes_back_and_its_watcher_hears_of_it,
    a_watch_ends_by_its_time_and_by_a_stop_and_leaves_the_rollout_alone,
    actions_are_checked_before_they_are_invoked,
);

/// The call of an action with this configuration.
fn request(action: &str, config: &serde_json::Value) -> wire::ActionRequest {
    let provider = SluiceProvider::new().unwrap();
    let actions = provider.actions();
    let schema = actions.iter().find(|known| known.type_name() == action).unwrap().schema().clone();
    let config = Value::from_json(schema.root(), config).unwrap();
    wire::ActionRequest {
        action_type: action.into(),
        config: Some(message(&schema, &config)),
        client_capabilities: Some(capabilities(false)),
    }
}

async fn begin(client: &Client, action: &str, config: serde_json::Value) -> Events<wire::InvokeActionEvent> {
    client.events("InvokeAction", &request(action, &config)).await
}

/// The next line that an action tells, or the end of it.
async fn next(events: &mut Events<wire::InvokeActionEvent>) -> Result<String, Vec<wire::Diagnostic>> {
    match events.next().await.expect("the last event has not come").r#type.expect("every event is something")
    {
        Kind::Progress(progress) => Ok(progress.message),
        Kind::Completed(completed) => Err(completed.diagnostics),
    }
}

/// All that is still to come: lines, and how it ended.
async fn rest(mut events: Events<wire::InvokeActionEvent>) -> (Vec<String>, Vec<wire::Diagnostic>) {
    let mut lines = Vec::new();
    loop {
        match next(&mut events).await {
            Ok(line) => lines.push(line),
            Err(diagnostics) => {
                assert_eq!(events.next().await, None, "something came after the end");
                return (lines, diagnostics);
            }
        }
    }
}

async fn invoke(
    client: &Client,
    action: &str,
    config: serde_json::Value,
) -> (Vec<String>, Vec<wire::Diagnostic>) {
    rest(begin(client, action, config).await).await
}

/// Reads lines until one holds this text.
async fn until(events: &mut Events<wire::InvokeActionEvent>, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains(text)) {
        lines.push(next(events).await.unwrap_or_else(|end| panic!("{end:?} before {text}: {lines:?}")));
    }
    lines
}

async fn a_rollout_is_watched_line_by_line_and_goes_on_when_an_action_says_so() {
    let chat = Chat::serving().await;
    let Surface { client, .. } = &chat.surface;
    let applied = chat.begin_rollout().await;
    let mut watched = begin(client, "sluice_watch_rollout", json!({ "endpoint": "chat" })).await;
    let before = until(&mut watched, "paused").await;
    assert!(before.iter().any(|line| line.contains("v1") && line.contains("1/2")), "{before:?}");

    let (told, failed) = invoke(client, "sluice_resume_rollout", json!({ "endpoint": "chat" })).await;
    assert_eq!((told.len(), failed), (1, Vec::new()));
    assert!(told[0].starts_with("resume: told rollout r2 of chat, held by "), "{told:?}");

    let (after, failed) = rest(watched).await;
    assert_eq!(failed, []);
    assert!(after.iter().any(|line| line.contains("resumed by")), "{after:?}");
    assert!(after.iter().any(|line| line.contains("v1") && line.contains("2/2")), "{after:?}");
    assert_eq!(after.last().unwrap(), "rollout r2 ended: succeeded");

    let applied = applied.await.unwrap();
    assert_eq!(applied.diagnostics, []);
    let state = value(&chat.surface.schema("sluice_endpoint"), applied.new_state);
    assert_eq!(state.attribute("live_version").as_i64(), Some(1));
    let (told, failed) = invoke(client, "sluice_pause_rollout", json!({ "endpoint": "chat" })).await;
    assert!(told.is_empty());
    assert_eq!(failed[0].summary, "No rollout was told to pause");
    assert_eq!(failed[0].detail, "No rollout of endpoint `chat` is under way. Nothing was changed.");
}

async fn a_rollout_that_an_action_aborts_goes_back_and_its_watcher_hears_of_it() {
    let chat = Chat::serving().await;
    let Surface { client, .. } = &chat.surface;
    let applied = chat.begin_rollout().await;
    chat.until("\"paused\"").await;
    let (told, failed) = invoke(client, "sluice_promote_canary", json!({ "endpoint": "chat" })).await;
    assert!(told.is_empty());
    assert_eq!(failed[0].detail, "Rollout r2 has no canary to promote. Nothing was changed.");
    let adjustment = json!({ "endpoint": "chat", "batch_size": "1", "pause": "each" });
    let (told, failed) = invoke(client, "sluice_adjust_rollout", adjustment).await;
    assert_eq!(failed, []);
    assert!(told[0].starts_with("adjust: told rollout r2 of chat"), "{told:?}");
    chat.until("batches adjusted by").await;

    let (_, failed) = invoke(client, "sluice_abort_rollout", json!({ "endpoint": "chat" })).await;
    assert_eq!(failed, []);
    let (lines, failed) = invoke(client, "sluice_watch_rollout", json!({ "endpoint": "chat" })).await;
    assert!(lines.iter().any(|line| line.contains("rolling_back")), "{lines:?}");
    assert_eq!(failed[0].summary, "The rollout did not succeed");
    assert!(failed[0].detail.starts_with("Rollout r2 ended: rolled_back: aborted by "), "{failed:?}");

    let applied = applied.await.unwrap();
    assert!(applied.diagnostics[0].summary.ends_with("rolled back"), "{applied:?}");
    let state = value(&chat.surface.schema("sluice_endpoint"), applied.new_state);
    assert_eq!(state.attribute("live_version").as_i64(), Some(0));
}

async fn a_watch_ends_by_its_time_and_by_a_stop_and_leaves_the_rollout_alone() {
    let chat = Chat::serving().await;
    let Surface { client, .. } = &chat.surface;
    let applied = chat.begin_rollout().await;
    chat.until("\"paused\"").await;
    let brief = json!({ "endpoint": "chat", "timeout": "1s" });
    let (lines, failed) = invoke(client, "sluice_watch_rollout", brief).await;
    assert!(lines.last().unwrap().contains("paused"), "{lines:?}");
    assert_eq!(failed[0].summary, "The rollout has not ended");
    assert_eq!(
        failed[0].detail,
        "It had not ended after 1s. Rollout r2 stands at `paused`; watching changed nothing."
    );
    let beside = plugin_at(chat.surface.folder.path()).await;
    let other = beside.connect().await;
    let mut watched = begin(&other, "sluice_watch_rollout", json!({ "endpoint": "chat" })).await;
    until(&mut watched, "paused").await;
    let _stopped: wire::StopProviderResponse = other.provider("StopProvider", &wire::Empty {}).await;
    let (_, failed) = rest(watched).await;
    assert_eq!(failed[0].summary, "The watch was stopped");

    assert!(!applied.is_finished(), "the rollout still waits for its word");
    let (_, failed) = invoke(&other, "sluice_resume_rollout", json!({ "endpoint": "chat" })).await;
    assert_eq!(failed, []);
    assert_eq!(applied.await.unwrap().diagnostics, []);
}

async fn actions_are_checked_before_they_are_invoked() {
    let surface = Surface::start().await;
    let schemas: wire::GetProviderSchemaResponse =
        surface.client.provider("GetProviderSchema", &wire::Empty {}).await;
    let metadata: wire::GetMetadataResponse = surface.client.provider("GetMetadata", &wire::Empty {}).await;
    let announced: Vec<&str> = metadata.actions.iter().map(|named| named.name.as_str()).collect();
    assert_eq!(
        announced,
        [
            "sluice_abort_rollout",
            "sluice_adjust_rollout",
            "sluice_pause_rollout",
            "sluice_promote_canary",
            "sluice_resume_rollout",
            "sluice_watch_rollout"
        ]
    );
    assert!(schemas.action_schemas.keys().eq(announced.iter()));
    assert!(schemas.action_schemas.values().all(|action| action.schema.as_ref().unwrap().block.is_some()));

    let wrong = [
        ("sluice_pause_rollout", json!({ "endpoint": "Chat" }), "Invalid name"),
        ("sluice_adjust_rollout", json!({ "endpoint": "chat" }), "Nothing to adjust"),
        ("sluice_adjust_rollout", json!({ "endpoint": "chat", "batch_size": "0" }), "Nothing to adjust"),
        ("sluice_watch_rollout", json!({ "endpoint": "chat", "timeout": "0s" }), "No time at all"),
    ];
    for (action, config, summary) in wrong {
        let request = request(action, &config);
        let validate = wire::ValidateConfigRequest {
            type_name: action.into(),
            config: request.config.clone(),
            client_capabilities: None,
        };
        let validated: wire::DiagnosticsResponse =
            surface.client.provider("ValidateActionConfig", &validate).await;
        let planned: wire::PlanActionResponse = surface.client.provider("PlanAction", &request).await;
        let invoked = rest(surface.client.events("InvokeAction", &request).await).await;
        for found in [validated.diagnostics, planned.diagnostics, invoked.1] {
            assert_eq!((found.len(), found[0].summary.as_str()), (1, summary), "{action}: {found:?}");
            assert!(found[0].attribute.is_some());
        }
        assert!(invoked.0.is_empty());
    }
    let (_, failed) = invoke(&surface.client, "sluice_watch_rollout", json!({ "endpoint": "chat" })).await;
    assert_eq!(failed[0].summary, "The ledger cannot be opened", "an action never begins one");

    let mut unknown = surface.provider.schema().null_object();
    unknown.set_attribute("ledger", Value::Unknown);
    let surface = surface.configured(&unknown).await;
    let mut plan = request("sluice_pause_rollout", &json!({ "endpoint": "chat" }));
    let planned: wire::PlanActionResponse = surface.client.provider("PlanAction", &plan).await;
    assert_eq!((planned.deferred, planned.diagnostics.len()), (None, 0));
    plan.client_capabilities = Some(capabilities(true));
    let planned: wire::PlanActionResponse = surface.client.provider("PlanAction", &plan).await;
    assert_eq!(planned.deferred, Some(wire::Deferred { reason: 2 }));
}
