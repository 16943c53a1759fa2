//! What the service cannot do is refused when it is planned, with its place.

use super::{Config, World};

#[test]
fn what_the_service_lacks_is_refused_in_the_plan() {
    let world = World::new();
    let refused = |config: Config, words: &[&str]| {
        world.write(&config);
        world.workspace.terraform(&["plan"]).failed_with(words);
    };
    refused(Config::image("reg/x:1").policy("strategy = \"blue_green\""), &["PAI-EAS has no such thing"]);
    refused(Config::image("reg/x:1").policy("keep_warm = \"60s\""), &["PAI-EAS has no such thing"]);
    refused(Config::image("reg/x:1").with(|config| config.own = "port = 8080".to_owned()), &["Port taken"]);
    assert!(world.emulator.state().services.is_empty());
}

#[test]
fn a_service_stays_in_its_workspace() {
    let world = World::new();
    let within = |workspace: &str| {
        Config::image("reg/x:1")
            .with(|config| config.endpoint = format!("eas = {{ workspace_id = \"{workspace}\" }}"))
    };
    world.apply(&within("123"));
    assert_eq!(world.emulator.state().services["chat"].workspace, "123");
    for moved in [within("456"), Config::image("reg/x:1")] {
        world.write(&moved);
        let output = world.workspace.terraform(&["plan"]);
        output.failed_with(&["A service cannot move", "workspace 123"]);
    }
    world.write(&within("456"));
    let output = world.workspace.terraform(&["plan"]);
    assert!(output.message().contains("workspace_id = \"456\""), "it names the place: {}", output.message());
    world.write(&within("123"));
    world.workspace.plans_nothing();
}

#[test]
fn batches_need_a_service_that_was_created_for_them() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    {
        let mut state = world.emulator.state();
        let service = state.services.get_mut("chat").unwrap();
        service.can_plan = false;
        service.versions[0].document["features"] = serde_json::json!({});
    }
    world.fails(&Config::image("reg/x:2").policy("batch = { size = 1 }"), &["No update plans"]);
    world.runs("reg/x:1", 4);
}
