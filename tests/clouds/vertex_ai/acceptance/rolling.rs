//! Rolling updates.

use super::{Config, World};

#[test]
fn a_rolling_update_with_surge_keeps_every_replica_ready() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.apply(&Config::model(2));
    world.serves(1, "chat@2", 4);
    let rolled = &world.bodies("endpoints.deployModel")[1]["deployedModel"];
    assert_eq!(rolled["rolloutOptions"]["maxSurgePercentage"], 25);
    assert_eq!(rolled["rolloutOptions"]["maxUnavailableReplicas"], 0);
    assert!(rolled.get("dedicatedResources").is_none(), "machines are inherited: {rolled}");
    let emulator = world.emulator.world();
    let watched = &emulator.endpoint("chat").watched;
    assert_eq!((watched.most, watched.fewest_ready), (5, Some(4)));
}
