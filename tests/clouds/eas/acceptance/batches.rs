//! Update plans: batches by the service's clock, and batches that wait for a word.

use std::path::PathBuf;

use super::{Config, World};
use crate::eas::emulator::Knobs;
use crate::eas::emulator::knobs::{Flip, Numbering, Partition};
use crate::patience::eventually;
use crate::terraform::Running;

const AUTOMATIC: &str = "batch = { size = 2, bake = \"1s\" }";
const MANUAL: &str = "batch = { size = 2, pause = \"each\" }";

fn six(image: &str) -> Config {
    Config::image(image).with(|config| config.replicas = 6)
}

fn updated(world: &World) -> u32 {
    let state = world.emulator.state();
    let service = &state.services["chat"];
    if service.target == 1 { 0 } else { service.updated_replicas() }
}

/// An apply that waits after its first batch.
fn waiting(knobs: Knobs) -> (World, Running) {
    let world = World::with(knobs);
    world.apply(&six("reg/x:1").policy(MANUAL));
    world.write(&six("reg/x:2").policy(MANUAL));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    pauses(&world, 2);
    (world, apply)
}

fn pauses(world: &World, replicas: u32) {
    eventually("the next batch waits for a word", || {
        updated(world) == replicas && newest_entry(world).contains("\"phase\":\"paused\"")
    });
}

/// The newest entry of the newest journal.
fn newest_entry(world: &World) -> String {
    let newest = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).ok()?;
        entries.map(|entry| entry.unwrap().path()).filter(|path| !path.to_string_lossy().contains('#')).max()
    };
    let rollout = newest(world.workspace.path("ledger/eas/chat/rollouts"));
    let entry = rollout.and_then(newest).map(|path| std::fs::read_to_string(path).unwrap());
    entry.unwrap_or_default().replace(": ", ":")
}

#[track_caller]
fn says(world: &World, word: &str) {
    world.workspace.sluice(&[word, "chat", "--cloud", "eas"]).succeeded();
}

#[test]
fn three_automatic_batches_follow_each_other() {
    for partition in [Partition::Update, Partition::Keep] {
        let world = World::with(Knobs { auto: 5, partition, ..Knobs::default() });
        world.apply(&six("reg/x:1").policy(AUTOMATIC));
        world.extremes();
        let output = world.apply(&six("reg/x:2").policy(AUTOMATIC));
        assert!(output.stdout.contains("update plan in batches of 2"), "{}", output.stdout);
        world.serves(1, "reg/x:2", 6);
        assert_eq!(world.extremes(), (Some(6), 7));
        let told = world.bodies("UpdateServiceRollout");
        assert_eq!(told[0]["Partition"]["Partition"], "100%", "nothing moves before the plan is right");
        assert_eq!(told[1]["Batch"]["BatchSize"], "2");
        assert_eq!(world.emulator.state().services["chat"].plan.as_ref().unwrap().batches, 3);
        world.workspace.plans_nothing();
    }
}

#[test]
fn manual_batches_go_on_at_a_word() {
    let (world, apply) = waiting(Knobs { auto: 5, ..Knobs::default() });
    says(&world, "resume");
    pauses(&world, 4);
    says(&world, "resume");
    apply.wait().succeeded();
    world.serves(1, "reg/x:2", 6);
    world.workspace.plans_nothing();
}

#[test]
fn a_plan_is_rolled_back_in_the_middle() {
    for (flip, numbering) in [(Flip::Completed, Numbering::Kept), (Flip::Accepted, Numbering::New)] {
        let (world, apply) = waiting(Knobs { auto: 5, flip, numbering, ..Knobs::default() });
        world.extremes();
        says(&world, "abort");
        apply.wait().failed_with(&["was not updated to v1", "v0"]);
        world.runs("reg/x:1", 6);
        assert_eq!(world.extremes().0, Some(6), "no replica was missed");
        let state = world.state();
        assert_eq!((&state["live_version"], &state["status"]), (&0.into(), &"serving".into()), "{state:#}");
        let (_, plan) = world.workspace.plan();
        assert_eq!(plan.change("sluice_endpoint.chat")["after"]["version"], 1);
    }
}

#[test]
fn a_plan_by_time_is_paused_and_goes_on_from_there() {
    let world = World::with(Knobs { auto: 0, ..Knobs::default() });
    let timed = |image: &str| six(image).policy("batch = { size = 2, bake = \"60s\" }");
    world.emulator.state().knobs.auto = 5;
    world.apply(&timed("reg/x:1"));
    world.emulator.state().knobs.auto = 0;
    world.write(&timed("reg/x:2"));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the plan is released", || world.bodies("UpdateServiceRollout").len() >= 2);
    world.emulator.state().advance(30);
    assert_eq!(updated(&world), 2);
    says(&world, "pause");
    eventually("the plan stands still", || {
        world.bodies("UpdateServiceRollout").last().is_some_and(|body| body["Paused"] == true)
    });
    world.emulator.state().advance(600);
    assert_eq!(updated(&world), 2, "no batch begins in a pause");
    world.emulator.state().knobs.auto = 5;
    says(&world, "resume");
    apply.wait().succeeded();
    world.serves(1, "reg/x:2", 6);
    world.workspace.plans_nothing();
}

#[test]
fn batches_are_adjusted_while_they_wait() {
    let (world, apply) = waiting(Knobs { auto: 5, ..Knobs::default() });
    let adjust = ["adjust", "chat", "--cloud", "eas", "--batch-size", "4"];
    world.workspace.sluice(&adjust).succeeded();
    says(&world, "resume");
    apply.wait().succeeded();
    world.serves(1, "reg/x:2", 6);
    let told = world.bodies("UpdateServiceRollout");
    assert_eq!(told.last().unwrap()["Partition"]["Partition"], "0", "four at once were all that was left");
    world.workspace.plans_nothing();
}

#[test]
fn batches_that_wait_go_on_by_time_once_that_is_adjusted() {
    let (world, apply) = waiting(Knobs { auto: 5, ..Knobs::default() });
    let adjust = ["adjust", "chat", "--cloud", "eas", "--pause", "none", "--bake", "1s"];
    world.workspace.sluice(&adjust).succeeded();
    says(&world, "resume");
    apply.wait().succeeded();
    world.serves(1, "reg/x:2", 6);
    let told = world.bodies("UpdateServiceRollout");
    assert!(told.iter().any(|body| body["Batch"]["BatchSize"] == "2" && body["Batch"]["Interval"] == "1s"));
}
