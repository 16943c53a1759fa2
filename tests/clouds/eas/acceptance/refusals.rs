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
