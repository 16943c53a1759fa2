//! Gates that Google Cloud Monitoring answers, about the deployed model that serves the new version.

use super::{Config, World};
use crate::patience::eventually;

const QUERY: &str = r#"sum(rate(aiplatform_googleapis_com:prediction_online_error_count{endpoint_id=\"$(ENDPOINT)\",deployed_model_id=\"$(VERSION)\"}[5m]))"#;

fn gated(version: u32, more: &str) -> Config {
    Config::model(version).with(|config| {
        config.policy = format!(
            "max_surge = 1\n    min_ready = \"0s\"\n    batch = {{ size = \"100%\", bake = \"1s\" }}\n    gates = [{{ \
             interval = \"200ms\", cloud_monitoring = {{ query = \"{QUERY}\", max = 0.01 }} }}]\n    {more}"
        );
    })
}

#[test]
fn errors_that_google_counts_turn_the_rollout_back() {
    let world = World::new();
    world.emulator.world().monitoring.values.insert("error_count".to_owned(), 0.0);
    world.apply(&gated(1, ""));
    world.apply(&gated(2, ""));
    world.serves(1, "chat@2", 4);
    let new = world.bodies("endpoints.deployModel")[1]["deployedModel"]["id"].as_str().unwrap().to_owned();
    let asked = world.emulator.world().monitoring.queries.clone();
    assert!(asked.iter().all(|query| query.contains(&format!("deployed_model_id=\"{new}\""))), "{asked:?}");
    assert!(asked.iter().all(|query| query.contains("endpoint_id=\"chat\"")), "{asked:?}");

    world.emulator.world().monitoring.values.insert("error_count".to_owned(), 0.5);
    world.fails(&gated(3, ""), &["rolled back", "0.5"]);
    assert_eq!(world.deployed(), [("chat@2".to_owned(), 100, 4)]);
    let bodies = world.bodies("endpoints.deployModel");
    let back = bodies.last().unwrap();
    assert_eq!(
        back["deployedModel"]["rolloutOptions"]["previousDeployedModel"], bodies[2]["deployedModel"]["id"],
        "the way back after a success is another rolling deployment"
    );
}

#[test]
fn no_data_is_no_pass() {
    let world = World::new();
    world.apply(&gated(1, "progress_deadline = \"3s\""));
    world.fails(&gated(2, "progress_deadline = \"3s\""), &["rolled back", "no data"]);
    assert_eq!(world.deployed(), [("chat@1".to_owned(), 100, 4)]);
}

#[test]
fn an_open_incident_turns_the_rollout_back() {
    let world = World::new();
    let alert = "projects/demo-project/alertPolicies/17";
    let alerted = |version| {
        Config::model(version).with(|config| {
            config.policy = format!(
                "max_surge = 1\n    min_ready = \"0s\"\n    batch = {{ size = \"100%\", bake = \"1s\" }}\n    gates = [{{ \
                 interval = \"200ms\", cloud_monitoring_alert = \"{alert}\" }}]"
            );
        })
    };
    world.write(&alerted(1));
    world.workspace.terraform(&["plan"]).failed_with(&["No such alert policy", alert]);
    world.emulator.world().monitoring.policies.push(alert.to_owned());
    world.apply(&alerted(1));
    world.apply(&alerted(2));
    world.serves(1, "chat@2", 4);
    world.emulator.world().monitoring.firing.push(alert.to_owned());
    world.fails(&alerted(3), &["rolled back", "has 1 open incidents"]);
    assert_eq!(world.deployed(), [("chat@2".to_owned(), 100, 4)]);
}

#[test]
fn an_alert_policy_that_was_deleted_lets_nothing_pass() {
    let world = World::new();
    let alert = "projects/demo-project/alertPolicies/17";
    let alerted = |version| {
        Config::model(version).with(|config| {
            config.policy = format!(
                "max_surge = 1\n    min_ready = \"0s\"\n    batch = {{ size = \"100%\", bake = \"1s\" }}\n    \
                 progress_deadline = \"3s\"\n    gates = [{{ interval = \"200ms\", cloud_monitoring_alert = \"{alert}\" }}]"
            );
        })
    };
    world.emulator.world().monitoring.policies.push(alert.to_owned());
    world.apply(&alerted(1));
    world.emulator.world().script.auto = 0;
    world.write(&alerted(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the rollout has been asked for", || world.calls("endpoints.deployModel") == 2);
    {
        let mut emulator = world.emulator.world();
        emulator.monitoring.policies.clear();
        emulator.script.auto = 5;
    }
    apply.wait().failed_with(&["rolled back", "there is no alert policy"]);
    assert_eq!(world.deployed(), [("chat@1".to_owned(), 100, 4)]);
}
