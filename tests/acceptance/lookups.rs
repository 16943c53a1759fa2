//! Data sources and functions.

use serde_json::{Value, json};

use super::programs::models;
use super::world::World;

const LOOKUPS: &str = "
data \"sluice_endpoint\" \"chat\" {
  name = \"chat\"
}
data \"sluice_endpoint_version\" \"live\" {
  endpoint = \"chat\"
}
data \"sluice_endpoint_version\" \"first\" {
  endpoint = \"chat\"
  number   = 0
}
data \"sluice_endpoint_versions\" \"all\" {
  endpoint = \"chat\"
}
data \"sluice_version_diff\" \"last\" {
  endpoint = \"chat\"
  from     = 0
  to       = 1
}
data \"sluice_rollouts\" \"all\" {
  endpoint = \"chat\"
}
data \"sluice_rollouts\" \"none\" {
  endpoint = \"nobody\"
}
output \"endpoint\" { value = data.sluice_endpoint.chat }
output \"live\" { value = data.sluice_endpoint_version.live }
output \"first\" { value = data.sluice_endpoint_version.first }
output \"versions\" { value = data.sluice_endpoint_versions.all.versions }
output \"diff\" { value = data.sluice_version_diff.last }
output \"rollouts\" { value = data.sluice_rollouts.all.rollouts }
output \"none\" { value = data.sluice_rollouts.none.rollouts }
";

#[test]
fn an_endpoint_its_versions_and_its_rollouts_can_be_looked_up() {
    let (world, config) = World::applied(|config| config.with("version.comment", "\"the first\""));
    world.write(&config.model(&models().technical).with("version.comment", "\"better\""));
    world.apply();
    world.add("lookups.tf", LOOKUPS);
    world.apply();
    let outputs = world.outputs();
    let output = |name: &str| outputs[name]["value"].clone();
    let endpoint = output("endpoint");
    assert_eq!((&endpoint["live_version"], &endpoint["status"]), (&json!(1), &json!("serving")));
    assert_eq!(endpoint["replicas"], json!([{ "version": 1, "running": 2, "ready": 2, "weight": null }]));
    assert_eq!(endpoint["url"], world.chat()["url"]);
    assert_eq!(output("live")["number"], 1);
    let first = output("first");
    assert_eq!((&first["comment"], &first["id"]), (&json!("the first"), &json!("local/chat/v0")));
    assert_eq!(first["scaling"]["min_replicas"], 2);
    let versions = output("versions");
    let told: Vec<_> =
        versions.as_array().unwrap().iter().map(|v| (&v["number"], &v["live"], &v["comment"])).collect();
    assert_eq!(
        told,
        [(&json!(1), &json!(true), &json!("better")), (&json!(0), &json!(false), &json!("the first"))]
    );
    let diff = output("diff");
    let paths: Vec<_> =
        diff["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert_eq!((&diff["identical"], paths), (&json!(false), vec!["model.content", "model.source"]));
    let rollouts = output("rollouts");
    let told: Vec<_> =
        rollouts.as_array().unwrap().iter().map(|r| (&r["revision"], &r["to"], &r["status"])).collect();
    assert_eq!(
        told,
        [(&json!(2), &json!(1), &json!("succeeded")), (&json!(1), &json!(0), &json!("succeeded"))]
    );
    assert_eq!(output("none"), json!([]));
    world.plans_nothing();
}

#[test]
fn what_is_not_there_is_an_error_of_a_single_lookup_and_a_pending_one_is_read_late() {
    let world = World::new();
    world.write(&world.config());
    world.add(
        "late.tf",
        "data \"sluice_endpoint\" \"late\" {\n  name       = \"chat\"\n  depends_on = [sluice_endpoint.chat]\n}\n\
         output \"late\" { value = data.sluice_endpoint.late.live_version }\n",
    );
    world.apply();
    assert_eq!(world.outputs()["late"]["value"], 0);
    world.add("late.tf", "data \"sluice_endpoint\" \"nobody\" {\n  name = \"nobody\"\n}\n");
    world.terraform(&["plan"]).failed_with(&["No such endpoint", "has no endpoint `nobody`"]);
    world
        .add("late.tf", "data \"sluice_endpoint_version\" \"v\" {\n  endpoint = \"chat\"\n  number = 7\n}\n");
    world.terraform(&["plan"]).failed_with(&["No such version", "it has v0 alone"]);
}

const CALLS: &str = "
output \"id\" { value = provider::sluice::parse_version_id(\"local/chat/v4\") }
output \"limits\" { value = provider::sluice::rollout_limits(4, \"25%\", 0) }
output \"plan\" { value = provider::sluice::rollout_plan(sluice_deployment_policy.quick, 2) }
output \"free\" { value = provider::sluice::rollout_plan({ max_surge = 1, batch = { size = \"50%\" } }, 4) }
";

#[test]
fn functions_compute_and_their_errors_point_at_the_argument() {
    let world = World::new();
    world.write(&world.config());
    world.add("calls.tf", CALLS);
    world.terraform(&["apply", "-auto-approve", "-target=sluice_deployment_policy.quick"]).succeeded();
    let planned = world.terraform(&["plan", "-out=plan"]).succeeded();
    let shown = world.terraform(&["show", "-json", "plan"]).succeeded();
    let plan: Value = serde_json::from_str(&shown.stdout).unwrap();
    let output = |name: &str| plan["planned_values"]["outputs"][name]["value"].clone();
    assert_eq!(
        output("id"),
        json!({ "cloud": "local", "endpoint": "chat", "number": 4 }),
        "{}",
        planned.stdout
    );
    let limits = json!({ "max_surge": 1, "max_unavailable": 0, "least_ready": 4, "most_running": 5 });
    assert_eq!(output("limits"), limits);
    assert!(output("plan")["steps"].as_array().unwrap().len() > 2);
    assert_eq!(output("free")["peak_replicas"], 5);
    for (call, argument, word) in [
        ("parse_version_id(\"chat\")", "\"id\" parameter", "chat"),
        ("rollout_limits(4, \"many\", 0)", "\"max_surge\" parameter", "many"),
        ("rollout_plan({ surge = 1 }, 4)", "\"policy\" parameter", "no attribute surge"),
        ("rollout_plan({}, 0)", "\"replicas\" parameter", "from 1 to"),
    ] {
        world.add("calls.tf", &format!("output \"wrong\" {{ value = provider::sluice::{call} }}\n"));
        world.terraform(&["plan"]).failed_with(&["Invalid function argument", argument, word]);
    }
}
