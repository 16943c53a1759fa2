//! What others made: taken over as a version at import, and as drift when it was changed behind our back.

use serde_json::{Value, json};

use super::{Config, World};
use crate::eas::emulator::Knobs;
use crate::eas::emulator::knobs::Stored;
use crate::eas::emulator::service::Service;

const ENDPOINT: &str = "sluice_endpoint.chat";
const VERSION: &str = "sluice_endpoint_version.chat";

/// A document that somebody wrote by hand.
fn document(image: &str) -> Value {
    json!({
        "metadata": { "name": "chat", "instance": 4, "group": "chat_group" },
        "containers": [{
            "image": image,
            "port": 8000,
            "script": "serve /model_dir --port 8000",
            "env": [{ "name": "TONE", "value": "kind" }],
        }],
        "storage": [{ "mount_path": "/model_dir", "oss": { "path": "oss://bucket/chat/", "readOnly": true } }],
        "cloud": { "computing": { "instance_type": "ecs.gn7i-c16g1.4xlarge" } },
    })
}

/// What the configuration has to say for that.
fn written(image: &str) -> Config {
    Config::image(image).with(|config| {
        config.version = "env = { TONE = \"kind\" }".into();
        config.own = "instance_type = \"ecs.gn7i-c16g1.4xlarge\"\n    sigterm = false".into();
    })
}

impl World {
    /// Somebody makes a service in the console.
    fn made_elsewhere(&self, document: &Value) {
        let mut state = self.emulator.state();
        let service = Service::create(document, "eas-m-elsewhere".into(), state.now);
        state.services.insert("chat".into(), service);
        state.tick();
        state.advance(600);
    }

    /// Somebody changes a part of the service's document in the console.
    fn changed_elsewhere(&self, path: &str, value: Value) {
        let mut state = self.emulator.state();
        let (now, knobs) = (state.now, state.knobs.clone());
        let service = state.services.get_mut("chat").unwrap();
        let mut document = service.document().clone();
        *document.pointer_mut(path).unwrap() = value;
        service.update(document, now, &knobs).unwrap();
        state.advance(600);
    }

    /// Writes a configuration without an accelerator, as nobody tells how many devices a machine has.
    fn write_plain(&self, config: &Config) {
        self.write(config);
        let path = self.workspace.path("tf/main.tf");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.contains("accelerator"));
        let lines = lines.map(|line| {
            line.replace(
                "\"serve\", \"$(MODEL_PATH)\", \"--port\", \"$(PORT)\"",
                "\"serve\", \"/model_dir\", \"--port\", \"8000\"",
            )
        });
        std::fs::write(path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }

    fn history(&self) -> Vec<Value> {
        let told = self.workspace.sluice(&["history", "chat", "--cloud", "eas", "--json"]).succeeded();
        let mut history: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
        history.reverse();
        history
    }
}

#[test]
fn a_service_that_was_made_elsewhere_is_imported_and_can_be_gone_back_to() {
    for stored in [Stored::AsSent, Stored::Rewritten] {
        let world = World::with(Knobs { auto: 5, stored, ..Knobs::default() });
        world.made_elsewhere(&document("reg/x:1"));
        world.write_plain(&written("reg/x:1"));
        world.workspace.terraform(&["import", VERSION, "eas/chat/v0"]).succeeded();
        world.workspace.terraform(&["import", ENDPOINT, "eas/chat"]).succeeded();
        assert_eq!(
            (&world.state()["live_version"], &world.state()["status"]),
            (&json!(0), &json!("serving"))
        );
        world.write_plain(&written("reg/x:1").with(|config| config.policy = String::new()));
        world.workspace.plans_nothing();
        assert_eq!(world.calls("UpdateService"), 0);

        world.write_plain(&written("reg/x:2"));
        world.workspace.apply();
        world.serves(1, "reg/x:2", 4);
        world.write_plain(&written("reg/x:2").with(|config| config.pinned = Some(0)));
        world.workspace.apply();
        world.serves(0, "reg/x:1", 4);
        world.workspace.plans_nothing();
    }
}

#[test]
fn what_no_version_can_say_is_not_taken_over() {
    let world = World::new();
    let mut strange = document("reg/x:1");
    strange["metadata"]["quota_id"] = "quota".into();
    world.made_elsewhere(&strange);
    world.write_plain(&written("reg/x:1"));
    let output = world.workspace.terraform(&["import", ENDPOINT, "eas/chat"]);
    output.failed_with(&["cannot be taken over as a version", "metadata.quota_id"]);
}

#[test]
fn a_change_behind_our_back_is_a_version_of_its_own_and_the_next_apply_repairs_it() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.changed_elsewhere("/containers/0/image", json!("reg/strange:1"));
    let refresh = world.workspace.terraform(&["plan", "-refresh-only", "-detailed-exitcode"]);
    assert_eq!(refresh.code, Some(2), "{}", refresh.stderr);
    let history = world.history();
    assert_eq!(history.len(), 2);
    assert_eq!((&history[1]["number"], &history[1]["created_by"]), (&json!(1), &json!("somebody else")));
    assert_eq!(history[1]["comment"], "made elsewhere, found by a refresh");
    assert!(history[1]["changes"].to_string().contains("reg/strange:1"), "{}", history[1]);

    let (_, plan) = world.workspace.plan();
    let change = plan.change(ENDPOINT);
    assert_eq!(plan.actions(ENDPOINT), ["update"]);
    assert_eq!(
        (&change["before"]["live_version"], &change["after"]["version"]),
        (&json!(1), &json!(0)),
        "{change}"
    );
    world.workspace.apply();
    world.serves(0, "reg/x:1", 4);
    world.workspace.plans_nothing();
    assert_eq!(world.history().len(), 2, "the same is found once");

    // Its number is taken for good.
    world.apply(&Config::image("reg/x:2"));
    world.serves(2, "reg/x:2", 4);
    world.workspace.sluice(&["verify", "chat", "--cloud", "eas"]).succeeded();
}

#[test]
fn a_failed_way_back_from_what_others_made_returns_to_it() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.changed_elsewhere("/containers/0/image", json!("reg/strange:1"));
    world.workspace.terraform(&["plan", "-refresh-only"]).succeeded();
    let bad = crate::eas::emulator::state::Image { crashes: true, ..Default::default() };
    world.emulator.state().images.set("reg/x:1", bad);
    world.fails(&Config::image("reg/x:1"), &["was not updated to v0", "CrashLoopBackOff", "v1"]);
    world.runs("reg/strange:1", 4);
    assert_eq!(world.state()["live_version"], 1);
}

#[test]
fn a_number_of_replicas_that_somebody_set_is_no_version() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.changed_elsewhere("/metadata/rpc", json!({ "enable_sigterm": true, "keepalive": 5000 }));
    world.workspace.terraform(&["plan", "-refresh-only"]).succeeded();
    assert_eq!(world.history().len(), 1);
    assert_eq!(world.state()["live_version"], 0);
}
