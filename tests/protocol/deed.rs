//! An action that does what a test asks for, and the events of its life.

use std::sync::LazyLock;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use sluice::terraform::Action;
use sluice::terraform::action::Progress;
use sluice::terraform::diagnostics::{Diagnostics, Report};
use sluice::terraform::resource::Context;
use sluice::terraform::schema::ResourceSchema;
use sluice::terraform::value::{Path, Value, encode};
use sluice::terraform::wire::{self, InvokeActionEventKind as Kind};

use crate::client::{Events, Plugin};

crate::tests!(
    an_action_tells_its_lines_while_it_runs_and_its_end_once,
    an_action_that_crashes_completes_with_an_error,
    an_action_whose_caller_went_away_notices,
    an_unknown_action_completes_with_an_error,
);

/// Something done.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Deed {
    behavior: String,
}

static SCHEMA: LazyLock<ResourceSchema> = LazyLock::new(|| ResourceSchema::from_type::<Deed>(0).unwrap());

pub struct ProbeDeed;

/// Written to stderr when nobody listens any more.
const UNHEARD: &str = "probe: nobody listens";

#[async_trait]
impl Action for ProbeDeed {
    fn type_name(&self) -> &'static str {
        "probe_deed"
    }

    fn schema(&self) -> &ResourceSchema {
        &SCHEMA
    }

    async fn invoke(&self, context: &Context, config: &Value, progress: &Progress, found: &mut Diagnostics) {
        progress.tell("begun\u{1b}[2J\nand").await;
        match config.attribute("behavior").as_str() {
            Some("panic") => panic!("asked to panic"),
            Some("wait") => {
                tokio::select! {
                    () = context.stop.cancelled() => progress.tell("stopped").await,
                    () = progress.unheard() => eprintln!("{UNHEARD}"),
                }
            }
            _ => {}
        }
        found.warning_at(&Path::from("behavior"), "Done", "It could have been done better.");
    }
}

fn request(type_name: &str, behavior: &str) -> wire::ActionRequest {
    let config = Value::object([("behavior", behavior)]);
    let config = wire::DynamicValue { msgpack: encode(SCHEMA.root(), &config), json: Vec::new() };
    wire::ActionRequest { action_type: type_name.into(), config: Some(config), client_capabilities: None }
}

async fn line(events: &mut Events<wire::InvokeActionEvent>) -> String {
    match events.next().await.unwrap().r#type.unwrap() {
        Kind::Progress(progress) => progress.message,
        Kind::Completed(end) => panic!("it has ended: {end:?}"),
    }
}

/// What the last event says.
async fn end(events: Events<wire::InvokeActionEvent>) -> wire::Diagnostic {
    let rest = events.rest().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    match rest.into_iter().next().unwrap().r#type.unwrap() {
        Kind::Progress(progress) => panic!("it has not ended: {progress:?}"),
        Kind::Completed(completed) => completed.diagnostics.into_iter().next().unwrap(),
    }
}

async fn an_action_tells_its_lines_while_it_runs_and_its_end_once() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let mut events = client.events("InvokeAction", &request("probe_deed", "wait")).await;
    assert_eq!(line(&mut events).await, "begun\\u001b[2J\\nand", "nothing drives the terminal");
    // It waits for the stop: the line above came before its end.
    let _stopped: wire::StopProviderResponse = client.provider("StopProvider", &wire::Empty {}).await;
    assert_eq!(line(&mut events).await, "stopped");
    let told = end(events).await;
    assert_eq!((told.severity, told.summary.as_str()), (i32::from(wire::Severity::Warning), "Done"));
}

async fn an_action_that_crashes_completes_with_an_error() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let mut events = client.events("InvokeAction", &request("probe_deed", "panic")).await;
    line(&mut events).await;
    let told = end(events).await;
    assert_eq!((told.severity, told.detail.as_str()), (1, "InvokeAction: asked to panic"));
}

async fn an_action_whose_caller_went_away_notices() {
    let mut plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let mut events = client.events("InvokeAction", &request("probe_deed", "wait")).await;
    line(&mut events).await;
    drop(events);
    plugin.stderr_with(UNHEARD).await;
}

async fn an_unknown_action_completes_with_an_error() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let events = client.events("InvokeAction", &request("probe_none", "")).await;
    assert_eq!(end(events).await.summary, "Unknown type");
}
