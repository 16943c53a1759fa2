//! Older versions again.

use super::{Config, World};
use crate::eas::emulator::Knobs;
use crate::eas::emulator::knobs::{Flip, Numbering, Stored};

#[test]
fn an_older_version_serves_again_and_the_newest_after_it() {
    for (flip, numbering, stored) in [
        (Flip::Completed, Numbering::Kept, Stored::AsSent),
        (Flip::Accepted, Numbering::New, Stored::Rewritten),
    ] {
        let world =
            World::with(Knobs { auto: 5, flip, numbering, stored, stale_reads: 2, ..Knobs::default() });
        world.apply(&Config::image("reg/x:1"));
        world.apply(&Config::image("reg/x:2"));
        world.extremes();
        let newest = Config::image("reg/x:2");
        world.apply(&newest.clone().with(|config| config.pinned = Some(0)));
        world.serves(0, "reg/x:1", 4);
        world.workspace.plans_nothing();
        world.apply(&newest);
        world.serves(1, "reg/x:2", 4);
        assert_eq!(world.extremes(), (Some(4), 5));
        let history = world.workspace.sluice(&["history", "chat", "--cloud", "eas"]).succeeded();
        assert!(history.stdout.contains("v1"), "{}", history.stdout);
    }
}

#[test]
fn the_number_of_replicas_that_an_autoscaler_chose_stays() {
    let world = World::new();
    let scaled = |image: &str| {
        Config::image(image).with(|config| {
            config.replicas = 2;
            config.version = "scaling = { min_replicas = 2, max_replicas = 6 }".to_owned();
            config.own = "autoscaling = { metric = \"qps\", threshold = 10 }".to_owned();
        })
    };
    world.write_scaled(&scaled("reg/x:1"));
    world.workspace.apply();
    {
        let mut state = world.emulator.state();
        let now = state.now;
        state.services.get_mut("chat").unwrap().scale(5, now);
        state.advance(300);
    }
    world.extremes();
    world.write_scaled(&scaled("reg/x:2"));
    world.workspace.apply();
    world.runs("reg/x:2", 5);
    assert_eq!(world.extremes().0, Some(5));
    let state = world.emulator.state();
    let autoscaler = state.services["chat"].autoscaler.as_ref().unwrap();
    assert_eq!((autoscaler.min, autoscaler.max), (2, 6));
}

impl World {
    /// Writes a configuration whose version brings its own scaling.
    fn write_scaled(&self, config: &Config) {
        self.write(config);
        let path = self.workspace.path("tf/main.tf");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("  scaling     = { min_replicas = 2 }\n", "")).unwrap();
    }
}
