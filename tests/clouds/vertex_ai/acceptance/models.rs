//! Models: registered ones, and those that are uploaded.

use super::{Config, REGION, World, container};
use crate::vertex_ai::emulator::{Fault, FaultKind};

fn uploaded(folder: &str) -> Config {
    Config::model(1).with(|config| {
        config.source = format!("gs://bucket/{folder}");
        config.version = r#"container = { image = "gcr.io/demo/serve:1", command = ["serve", "--fast"] }
  env       = { LOG_LEVEL = "info" }
  engine    = { max_batch_size = "128" }
  health    = { path = "/up", start_timeout = "20m", interval = "5s" }"#
            .into();
        config.own = "port = 9000".into();
    })
}

#[test]
fn a_model_is_uploaded_once_and_rolled() {
    let world = World::new();
    world.emulator.world().faults = vec![Fault::next("models.upload", FaultKind::DropAfter).after(1)];
    world.apply(&uploaded("a"));
    world.serves(0, "sluice-chat@1", 4);
    world.apply(&uploaded("b"));
    world.serves(1, "sluice-chat@2", 4);
    let uploads = world.bodies("models.upload");
    assert_eq!(uploads.len(), 2, "an upload whose answer was lost is found again");
    let container = &uploads[1]["model"]["containerSpec"];
    assert_eq!(container["healthRoute"], "/up");
    assert_eq!(container["deploymentTimeout"], "1200s");
    assert_eq!(container["healthProbe"]["periodSeconds"], 5);
    assert_eq!(container["ports"][0]["containerPort"], 9000);
    assert_eq!(container["command"][1], "--fast");
    assert_eq!(container["env"][0]["name"], "ENGINE_max_batch_size");
    assert_eq!(container["env"][1]["value"], "info");
    assert!(uploads[1]["parentModel"].as_str().unwrap().ends_with("/models/sluice-chat"));
    world.workspace.plans_nothing();
}

#[test]
fn an_alias_is_pinned_to_the_version_that_it_means_now() {
    let world = World::new();
    world.apply(&Config::model(1).with(|config| config.source = "models/chat".into()));
    world.serves(0, "chat@1", 4);
    world.emulator.world().register(REGION, "chat", &container("/predict"));
    world.workspace.plans_nothing();
}

#[test]
fn a_model_that_is_not_there_is_told_at_plan_time() {
    let world = World::new();
    world.write(&Config::model(9));
    world.workspace.terraform(&["plan"]).failed_with(&["No such model", "models/chat@9"]);
}

#[test]
fn a_model_with_explanations_must_do_without() {
    let world = World::new();
    world.emulator.world().explain("chat", "2");
    world.write(&Config::model(2));
    world.workspace.terraform(&["plan"]).failed_with(&["disable_explanations"]);
    world.apply(&Config::model(2).with(|config| config.own = "disable_explanations = true".into()));
    world.serves(0, "chat@2", 4);
}
