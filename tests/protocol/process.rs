//! The plugin process as its client sees it.

use std::process::Stdio;
use std::time::Duration;

use prost::Message;
use rustix::process::{Pid, Signal, kill_process};
use sluice::terraform::value::Value;
use sluice::terraform::wire::{self, Empty};
use tokio::io::AsyncReadExt;

use crate::client::{CLIENT_PEM, Client, Identity, Plugin, bare_plugin, plugin, within};
use crate::probe;
use crate::thing::Thing;

crate::tests!(
    without_the_cookie_it_explains_itself_and_fails,
    without_protocol_six_it_fails,
    without_a_client_certificate_it_fails,
    the_right_certificate_is_served,
    other_certificates_are_refused,
    a_handshake_works_every_time,
    it_leaves_at_once_with_streams_open,
    a_stop_ends_a_waiting_apply_with_its_state,
    a_panic_becomes_a_diagnostic,
    a_failed_update_keeps_the_prior_state,
    large_messages_are_read,
    signals_do_not_end_it,
    it_leaves_when_its_parent_is_killed,
    work_outlives_the_call,
    a_goodbye_stops_the_work_in_flight,
    applies_overlap,
    debug_mode_tells_how_to_attach,
    old_states_are_upgraded,
    unknown_calls_are_unimplemented,
    log_lines_are_what_terraform_reads,
    write_only_needs_a_client_that_knows_it,
);

async fn output(mut command: tokio::process::Command) -> std::process::Output {
    within("exit", command.output()).await.unwrap()
}

async fn without_the_cookie_it_explains_itself_and_fails() {
    let mut command = bare_plugin();
    command.env("PLUGIN_CLIENT_CERT", CLIENT_PEM);
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Terraform plugin"));
}

async fn without_protocol_six_it_fails() {
    let mut command = plugin(CLIENT_PEM);
    command.env("PLUGIN_PROTOCOL_VERSIONS", "5");
    let output = output(command).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

async fn without_a_client_certificate_it_fails() {
    let output = output({
        let mut command = plugin(CLIENT_PEM);
        command.env_remove("PLUGIN_CLIENT_CERT");
        command
    })
    .await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

async fn the_right_certificate_is_served() {
    let plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let schema: wire::GetProviderSchemaResponse = client.provider("GetProviderSchema", &Empty {}).await;
    assert_eq!(schema.resource_schemas.keys().collect::<Vec<_>>(), ["probe_thing"]);
    assert!(schema.provider.is_some() && schema.server_capabilities.unwrap().plan_destroy);
    let metadata: wire::GetMetadataResponse = client.provider("GetMetadata", &Empty {}).await;
    assert_eq!(metadata.resources[0].name, "probe_thing");
    assert_eq!(metadata.data_sources[0].name, "probe_echo");
    let again: wire::GetProviderSchemaResponse = client.provider("GetProviderSchema", &Empty {}).await;
    assert_eq!(schema.encode_to_vec(), again.encode_to_vec());
}

async fn other_certificates_are_refused() {
    let server = Plugin::usual().await;
    for identity in [Identity::Nothing, Identity::stranger(), Identity::forger(), Identity::p256().0] {
        let shown = format!("{identity:?}");
        assert!(server.connect_as(identity).await.is_err(), "{shown}");
    }
    server.connect().await;
    // Even announced, a certificate of another kind than Terraform's cannot prove itself.
    let (identity, pem) = Identity::p256();
    assert!(Plugin::start(plugin(&pem)).await.connect_as(identity).await.is_err());
}

async fn a_handshake_works_every_time() {
    for _ in 0..30 {
        Plugin::usual().await.connect().await;
    }
}

async fn it_leaves_at_once_with_streams_open() {
    let mut plugin = Plugin::usual().await;
    let client = plugin.connect().await;
    let _stdio = client.begin("/plugin.GRPCStdio/StreamStdio", &Empty {}).await.unwrap();
    let _broker = client.begin("/plugin.GRPCBroker/StartStream", &Empty {}).await.unwrap();
    client.call::<_, Empty>("/plugin.GRPCController/Shutdown", &Empty {}).await.unwrap();
    let answered = tokio::time::Instant::now();
    let status = within("exit", plugin.child.wait()).await.unwrap();
    assert!(answered.elapsed() < Duration::from_millis(500), "{:?}", answered.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(!plugin.socket.exists() && !plugin.socket.parent().unwrap().exists());
    assert_eq!(within("stdout", plugin.stdout.next_line()).await.unwrap(), None);
}

async fn a_stop_ends_a_waiting_apply_with_its_state() {
    let mut plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let stop = async {
        plugin.stderr_with(probe::WAITING).await;
        thing.client.provider::<_, wire::StopProviderResponse>("StopProvider", &Empty {}).await
    };
    let ((state, reply), stopped) = tokio::join!(thing.create("wait"), stop);
    assert_eq!(stopped.error, "");
    assert_eq!(state.attribute("id").as_str(), Some("id-x"));
    assert_eq!(reply.diagnostics[0].severity, i32::from(wire::Severity::Warning));
    let (state, reply) = thing.create("").await;
    assert_eq!(state.attribute("revision").as_i64(), Some(1));
    assert_eq!((reply.private.as_slice(), reply.diagnostics.len()), (&b"made"[..], 0));
}

async fn a_panic_becomes_a_diagnostic() {
    let mut plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let (state, reply) = thing.create("panic").await;
    assert!(state.is_null());
    assert_eq!(reply.diagnostics[0].summary, "The provider crashed");
    assert!(reply.diagnostics[0].detail.contains("asked to panic"));
    assert_eq!(plugin.stderr_with("panic: ").await, "panic: asked to panic");
    let (state, reply) = thing.create("checkpoint and panic").await;
    assert_eq!(state.attribute("id").as_str(), Some("id-x"));
    assert_eq!(reply.private, b"private");
    let (prior, _) = thing.create("").await;
    let config = thing.config("panic");
    let (planned, _) = thing.plan(&prior, &config).await;
    let (state, reply) = thing.apply(&prior, &config, &planned).await;
    assert_eq!((state, reply.diagnostics.len()), (prior, 1));
}

async fn a_failed_update_keeps_the_prior_state() {
    let plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let (prior, _) = thing.create("").await;
    let config = thing.config("fail");
    let (planned, reply) = thing.plan(&prior, &config).await;
    assert!(planned.attribute("revision").is_unknown() && reply.requires_replace.is_empty());
    assert_eq!(planned.attribute("id"), prior.attribute("id"));
    let (state, reply) = thing.apply(&prior, &config, &planned).await;
    assert_eq!(state, prior);
    assert_eq!(reply.private, b"private");
    let step = reply.diagnostics[0].attribute.as_ref().unwrap().steps[0].selector.clone();
    assert_eq!(step, Some(wire::Selector::AttributeName("behavior".into())));
}

async fn large_messages_are_read() {
    let plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let mut config = thing.config("");
    config.set_attribute("labels", Value::object([("big", "x".repeat(20 << 20))]));
    let (planned, _) = thing.plan(&Value::Null, &config).await;
    assert_eq!(planned.attribute("labels"), config.attribute("labels"));
}

async fn signals_do_not_end_it() {
    let mut plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let process = Pid::from_raw(i32::try_from(plugin.child.id().unwrap()).unwrap()).unwrap();
    kill_process(process, Signal::INT).unwrap();
    let stop = async {
        plugin.stderr_with(probe::WAITING).await;
        kill_process(process, Signal::TERM).unwrap();
    };
    // A polite end of the process is a stop: the apply reports what it reached, and serving goes on.
    let ((state, _), ()) = tokio::join!(thing.create("wait"), stop);
    assert_eq!(state.attribute("id").as_str(), Some("id-x"));
    assert_eq!(thing.create("").await.1.diagnostics.len(), 0);
}

async fn it_leaves_when_its_parent_is_killed() {
    let command = plugin(CLIENT_PEM);
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", "\"$0\" & wait"]).arg(command.as_std().get_program());
    for (name, value) in command.as_std().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut plugin = Plugin::start(shell).await;
    let directory = plugin.socket.parent().unwrap().to_path_buf();
    let thing = Thing::new(&plugin).await;
    tokio::select! {
        _ = thing.create("wait") => panic!("nothing told it to end"),
        _ = plugin.stderr_with(probe::WAITING) => {}
    }
    plugin.child.kill().await.unwrap();
    // As when Terraform is killed: the connection breaks and the parent is gone.
    drop(thing);
    plugin.stderr_with(probe::STOPPED).await;
    assert_eq!(within("end of stdout", plugin.stdout.next_line()).await.unwrap(), None);
    assert!(!directory.exists());
}

async fn work_outlives_the_call() {
    let mut plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    tokio::select! {
        _ = thing.create("wait") => panic!("nothing told it to end"),
        _ = plugin.stderr_with(probe::WAITING) => {}
    }
    thing.client.provider::<_, wire::StopProviderResponse>("StopProvider", &Empty {}).await;
    plugin.stderr_with(probe::STOPPED).await;
}

async fn a_goodbye_stops_the_work_in_flight() {
    let mut plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    tokio::select! {
        _ = thing.create("wait") => panic!("nothing told it to end"),
        _ = plugin.stderr_with(probe::WAITING) => {}
    }
    thing.client.call::<_, Empty>("/plugin.GRPCController/Shutdown", &Empty {}).await.unwrap();
    plugin.stderr_with(probe::STOPPED).await;
    assert_eq!(within("exit", plugin.child.wait()).await.unwrap().code(), Some(0));
}

async fn applies_overlap() {
    let mut plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let stop = async {
        for _ in 0..12 {
            plugin.stderr_with(probe::WAITING).await;
        }
        thing.client.provider::<_, wire::StopProviderResponse>("StopProvider", &Empty {}).await;
    };
    let creates = futures_util::future::join_all((0..12).map(|_| thing.create("wait")));
    let (created, ()) = tokio::join!(creates, stop);
    assert!(created.iter().all(|(state, _)| state.attribute("id").as_str() == Some("id-x")));
}

async fn debug_mode_tells_how_to_attach() {
    let mut command = bare_plugin();
    command.env(probe::DEBUG, "1");
    let mut child = command.spawn().unwrap();
    let mut line = vec![0; 400];
    let read = within("line", child.stdout.as_mut().unwrap().read(&mut line)).await.unwrap();
    let line = String::from_utf8_lossy(&line[..read]).into_owned();
    let json = line.trim().strip_prefix("TF_REATTACH_PROVIDERS='").unwrap().strip_suffix('\'').unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let entry = &json["registry.terraform.io/test/probe"];
    assert_eq!(
        (entry["ProtocolVersion"].as_i64(), entry["Pid"].as_u64()),
        (Some(6), child.id().map(Into::into))
    );
    let stream = tokio::net::UnixStream::connect(entry["Addr"]["String"].as_str().unwrap()).await.unwrap();
    let client = Client::new(stream).await.unwrap();
    for _ in 0..2 {
        let request = wire::ConfigureProviderRequest::default();
        let reply: wire::DiagnosticsResponse = client.provider("ConfigureProvider", &request).await;
        assert!(reply.diagnostics.is_empty());
    }
    let process = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(process, Signal::INT).unwrap();
    assert_eq!(within("exit", child.wait()).await.unwrap().code(), Some(0));
}

async fn old_states_are_upgraded() {
    let plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let upgrade = async |version: i64, json: &str| {
        let request = wire::UpgradeResourceStateRequest {
            type_name: "probe_thing".into(),
            version,
            raw_state: Some(wire::RawState { json: json.into(), ..Default::default() }),
        };
        let reply: wire::UpgradeResourceStateResponse =
            thing.client.provider("UpgradeResourceState", &request).await;
        (thing.value(reply.upgraded_state), reply.diagnostics.len())
    };
    let (state, problems) = upgrade(1, r#"{"title": "x", "size": 5}"#).await;
    assert_eq!((state.attribute("name").as_str(), problems), (Some("x"), 0));
    let (state, _) =
        upgrade(2, r#"{"name": "x", "gone": true, "ratio": 0.1, "revision": 18446744073709551617}"#).await;
    assert_eq!(state.attribute("ratio").as_number().unwrap().to_string(), "0.1");
    assert_eq!(state.attribute("revision").as_number().unwrap().to_string(), "18446744073709551617");
    assert_eq!(upgrade(2, "").await.1, 1);
}

async fn unknown_calls_are_unimplemented() {
    let client = Plugin::usual().await.connect().await;
    for path in ["/tfplugin6.Provider/OpenEphemeralResource", "/else/where"] {
        let reply = client.call::<_, Empty>(path, &Empty {}).await;
        assert!(reply.is_err(), "{path}");
    }
}

async fn log_lines_are_what_terraform_reads() {
    let mut command = plugin(CLIENT_PEM);
    command.env("TF_LOG_PROVIDER", "trace");
    let mut plugin = Plugin::start(command).await;
    let thing = Thing::new(&plugin).await;
    thing.create("").await;
    let line = plugin.stderr_with("Answered a call").await;
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(json["@level"].is_string() && json["@message"].is_string());
    assert_eq!(json["@timestamp"].as_str().unwrap().len(), "2025-01-02T03:04:05.123456Z".len());
    assert_eq!(json["tf_resource_type"], "probe_thing");
    assert_eq!(json["diagnostic_error_count"], 0);
}

async fn write_only_needs_a_client_that_knows_it() {
    let plugin = Plugin::usual().await;
    let thing = Thing::new(&plugin).await;
    let mut config = thing.config("");
    config.set_attribute("secret", "hush");
    config.set_attribute("size", 0);
    let validate = async |allowed: bool| -> wire::DiagnosticsResponse {
        let capabilities =
            wire::ClientCapabilities { write_only_attributes_allowed: allowed, ..Default::default() };
        let request = wire::ValidateConfigRequest {
            type_name: "probe_thing".into(),
            config: Some(thing.message(&config)),
            client_capabilities: Some(capabilities),
        };
        thing.client.provider("ValidateResourceConfig", &request).await
    };
    assert_eq!(validate(true).await.diagnostics.len(), 1);
    assert_eq!(validate(false).await.diagnostics.len(), 2);
}
