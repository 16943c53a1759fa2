//! A canary: a second service in the same group, with a share of the requests.

use super::{Config, World};
use crate::eas::emulator::state::Image;

const CANARY: &str = "canary = { weight = \"10%\", steps = [\"50%\"], bake = \"1s\" }";

#[test]
fn a_canary_gets_a_tenth_then_half_then_everything() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    let output = world.apply(&Config::image("reg/x:2").policy(CANARY));
    assert!(output.stdout.contains("v1 gets 10% of requests"), "{}", output.stdout);
    world.serves(1, "reg/x:2", 4);
    let shares: Vec<(String, i64)> = {
        let state = world.emulator.state();
        let released = state.requests.iter().filter(|call| call.operation == "ReleaseService");
        let of_canary = released.filter(|call| call.path.contains("_canary_"));
        of_canary
            .map(|call| (call.body["TrafficState"].to_string(), call.body["Weight"].as_i64().unwrap()))
            .collect()
    };
    let routed: Vec<i64> =
        shares.iter().filter(|(state, _)| state.contains("grouping")).map(|(_, share)| *share).collect();
    assert_eq!(routed, [10, 50]);
    assert_eq!(world.emulator.state().shares("chat_group"), [("chat".to_owned(), 100)]);
    world.workspace.plans_nothing();
}

#[test]
fn a_canary_that_does_not_start_is_taken_away() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.emulator.state().images.set("reg/bad:1", Image { crashes: true, ..Image::default() });
    world.fails(&Config::image("reg/bad:1").policy(CANARY), &["was not updated to v1", "CrashLoopBackOff"]);
    world.runs("reg/x:1", 4);
    assert_eq!(world.calls("UpdateService"), 0, "the version that serves was never touched");
    assert_eq!(world.state()["live_version"], 0);
}
