//! The provider killed at moments that nobody chose: every time the next apply converges.

use std::time::Duration;

use super::load::Load;
use super::patience::within;
use super::processes;
use super::programs::models;
use super::watch::LimitsWatcher;
use super::world::World;
use sluice::spec::{CloudName, EndpointName};

/// Kills in an ordinary run; `SLUICE_CHAOS_KILLS` asks for more.
const KILLS: u32 = 3;
/// Entries that the journal of such a rollout has, about: kills fall anywhere among them.
const ENTRIES: u64 = 10;

/// Entries of all journals of the endpoint so far: grows with everything that the engine does.
fn entries(world: &World) -> u64 {
    let chat = EndpointName::new("chat").unwrap();
    let engine = world.engine();
    let current = world.block_on(engine.ledger.current_rollout(CloudName::Local, &chat)).unwrap();
    current.map_or(0, |(journal, entry)| journal.revision().0 * 1_000 + entry.sequence)
}

/// A sequence that looks random and is the same in every run of one seed.
struct Moments(u64);

impl Moments {
    fn next_below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_provider_that_is_killed_at_any_moment_leaves_a_rollout_that_the_next_apply_finishes() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let kills = number("SLUICE_CHAOS_KILLS").unwrap_or(KILLS);
    let seed = number("SLUICE_CHAOS_SEED").unwrap_or(1);
    let mut moments = Moments(u64::from(seed));
    let (world, mut config) = World::applied(|config| config.replicas(3));
    let watcher = LimitsWatcher::start(&world, "chat", 4, 3);
    let load = Load::start(&world, "chat");
    for kill in 0..kills {
        let model = if kill % 2 == 0 { &models().technical } else { &models().plain };
        config = config.model(model);
        world.write(&config);
        let moment = entries(&world) / 1_000 * 1_000 + 1_000 + moments.next_below(ENTRIES);
        let apply = world.start_terraform(&["apply", "-auto-approve"]);
        let ended_before = within(Duration::from_mins(1), "the moment of the kill", || {
            (entries(&world) >= moment || !apply.is_running()).then(|| !apply.is_running())
        });
        if let Some(plugin) = world.plugin().filter(|_| !ended_before) {
            processes::kill(plugin.pid);
        }
        apply.wait();
        world.apply();
        world.plans_nothing();
        assert_eq!(world.endpoint("chat").fleet.ready(), 3, "kill {kill} of seed {seed}");
    }
    load.finish().all_succeeded();
    watcher.kept();
}
