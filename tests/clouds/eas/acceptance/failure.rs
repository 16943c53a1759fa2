//! Rollouts that fail: the prior version serves, the state says so, and the next plan shows the same change.

use super::{Config, World};
use crate::eas::emulator::Knobs;
use crate::eas::emulator::knobs::{Flip, Latest, Numbering};
use crate::eas::emulator::state::Image;

fn with_bad_image(knobs: Knobs) -> World {
    let world = World::with(knobs);
    world.emulator.state().images.set("reg/bad:1", Image { crashes: true, ..Image::default() });
    world.apply(&Config::image("reg/x:1"));
    world
}

#[test]
fn a_replica_that_never_starts_halts_the_update_which_is_rolled_back() {
    for (halted, flip, numbering) in [
        ("Updating", Flip::Completed, Numbering::Kept),
        ("Waiting", Flip::Accepted, Numbering::Kept),
        ("Failed", Flip::Accepted, Numbering::New),
    ] {
        let world = with_bad_image(Knobs { auto: 5, halted, flip, numbering, ..Knobs::default() });
        world.extremes();
        world.fails(&Config::image("reg/bad:1"), &["was not updated to v1", "CrashLoopBackOff", "v0"]);
        world.runs("reg/x:1", 4);
        assert_eq!(world.extremes().0, Some(4));
        let state = world.state();
        assert_eq!((&state["live_version"], &state["status"]), (&0.into(), &"serving".into()), "{state:#}");
        assert_eq!(state["rollout"]["status"], "rolled_back", "{state:#}");
        let (_, plan) = world.workspace.plan();
        assert_eq!(plan.actions("sluice_endpoint.chat"), ["update"]);
        assert_eq!(plan.change("sluice_endpoint.chat")["after"]["version"], 1);
        world.workspace.sluice(&["verify", "chat", "--cloud", "eas"]).succeeded();
    }
}

#[test]
fn a_first_deploy_that_fails_leaves_nothing() {
    let world = World::new();
    world.emulator.state().images.set("reg/bad:1", Image { missing: true, ..Image::default() });
    world.fails(&Config::image("reg/bad:1"), &["was not created: v0 does not serve", "ImagePullBackOff"]);
    assert!(world.emulator.state().services.is_empty());
    assert!(!world.workspace.state().has("sluice_endpoint.chat"));
}

#[test]
fn without_the_image_to_go_back_to_nothing_is_stopped() {
    let world = World::new();
    world.apply(&Config::image("reg/x:1"));
    world.apply(&Config::image("reg/x:2"));
    world.emulator.state().images.set("reg/x:1", Image { missing: true, ..Image::default() });
    let changes = world.calls("UpdateService") + world.calls("UpdateServiceVersion");
    world.fails(
        &Config::image("reg/x:2").with(|config| config.pinned = Some(0)),
        &["v0", "The image does not exist"],
    );
    assert_eq!(world.calls("UpdateService") + world.calls("UpdateServiceVersion"), changes);
    world.runs("reg/x:2", 4);
    assert_eq!(world.state()["live_version"], 1);
}

#[test]
fn a_stalled_update_is_rolled_back_by_its_deadline() {
    let world = with_bad_image(Knobs { auto: 5, latest: Latest::Untold, ..Knobs::default() });
    world.emulator.state().images.set("reg/x:2", Image { devices: false, ..Image::default() });
    let impatient = "progress_deadline = \"2s\"";
    world
        .fails(&Config::image("reg/x:2").policy(impatient), &["was not updated to v1", "No progress for 2s"]);
    world.runs("reg/x:1", 4);
    assert_eq!(world.state()["live_version"], 0);
}
