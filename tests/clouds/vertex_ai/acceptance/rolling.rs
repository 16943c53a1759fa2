//! Rolling updates.

use super::{Config, World};
use crate::vertex_ai::emulator::{Health, Quirk};

#[test]
fn a_rolling_update_with_surge_keeps_every_replica_ready() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.write(&Config::model(2));
    let (_, plan) = world.workspace.plan();
    let steps = plan.change("sluice_endpoint.chat")["after"]["rollout_plan"].to_string();
    assert!(
        steps.contains("rolling deployment of v1 on top of v0: 5 replicas at most, 4 ready at least"),
        "{steps}"
    );
    world.workspace.apply();
    world.serves(1, "chat@2", 4);
    let rolled = &world.bodies("endpoints.deployModel")[1]["deployedModel"];
    assert_eq!(rolled["rolloutOptions"]["maxSurgePercentage"], 25);
    assert_eq!(rolled["rolloutOptions"]["maxUnavailableReplicas"], 0);
    assert!(rolled.get("dedicatedResources").is_none(), "machines are inherited: {rolled}");
    let emulator = world.emulator.world();
    let watched = &emulator.endpoint("chat").watched;
    assert_eq!((watched.most, watched.fewest_ready), (5, Some(4)));
}

#[test]
fn a_rolling_update_without_surge_stays_inside_its_machines() {
    let world = World::new();
    let within = |version| {
        Config::model(version).with(|config| config.policy = "max_surge = 0\n    max_unavailable = 1".into())
    };
    world.apply(&within(1));
    world.apply(&within(2));
    world.serves(1, "chat@2", 4);
    let emulator = world.emulator.world();
    let watched = &emulator.endpoint("chat").watched;
    assert_eq!((watched.most, watched.fewest_ready), (4, Some(3)));
}

#[test]
fn three_updates_in_a_row_leave_one_deployed_model() {
    let world = World::new();
    for version in 1..=4 {
        world.apply(&Config::model(version));
        world.serves(version - 1, &format!("chat@{version}"), 4);
    }
    world.workspace.plans_nothing();
}

#[test]
fn an_older_version_is_rolled_back_to_by_its_number() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.apply(&Config::model(2));
    world.apply(&Config::model(2).with(|config| config.pinned = Some(0)));
    world.serves(0, "chat@1", 4);
    world.workspace.plans_nothing();
}

#[test]
fn accounts_and_logs_are_overridden_in_the_same_rolling_deployment() {
    let world = World::new();
    world.apply(&Config::model(1));
    let account =
        "service_account = \"serve@demo-project.iam.gserviceaccount.com\"\n    access_logging = true";
    world.apply(&Config::model(2).with(|config| config.own = account.into()));
    world.serves(1, "chat@2", 4);
    let rolled = &world.bodies("endpoints.deployModel")[1]["deployedModel"];
    assert_eq!(rolled["serviceAccount"], "serve@demo-project.iam.gserviceaccount.com");
    assert_eq!(rolled["enableAccessLogging"], true);
    assert!(rolled["rolloutOptions"].is_object());
    world.workspace.plans_nothing();
}

/// Every peculiarity that the real service may have: the outcome is the same.
#[test]
fn services_that_differ_in_what_nobody_documents_are_rolled_on_alike() {
    for quirk in [
        Quirk::RefusesAllStates,
        Quirk::EmptyRollingAnswer,
        Quirk::RefusesIdWhenRolling,
        Quirk::ForgetsRolloutOptions,
        Quirk::DropsVersionSuffix,
        Quirk::NamesSettledState,
    ] {
        let world = World::new();
        world.quirk(quirk);
        world.apply(&Config::model(1));
        world.apply(&Config::model(2));
        world.serves(1, "chat@2", 4);
        assert_eq!(world.emulator.world().endpoint("chat").lost, 0, "{quirk:?}");
        world.workspace.plans_nothing();
    }
}

#[test]
fn a_split_that_moves_late_is_waited_for_or_helped() {
    let world = World::new();
    world.emulator.world().script.split_lag_seconds = 60;
    world.apply(&Config::model(1));
    world.apply(&Config::model(2));
    world.serves(1, "chat@2", 4);
}

#[test]
fn replicas_that_take_their_time_are_waited_for() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().script.health.insert("chat@2".to_owned(), Health::After(240));
    world.apply(&Config::model(2));
    world.serves(1, "chat@2", 4);
    let emulator = world.emulator.world();
    let looks = emulator.calls("endpoints.get");
    assert!(looks.iter().all(|look| look.path.starts_with("/v1beta1/")), "v1 shows no rolling deployment");
    assert!(looks.iter().all(|look| look.query.contains_key("allDeploymentStates")));
}
