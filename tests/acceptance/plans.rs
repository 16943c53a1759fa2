//! What a plan shows: what stays known, what replaces, where a mistake is, what is not known yet.

use serde_json::{Value, json};

use super::config::{Config, quoted};
use super::programs::models;
use super::world::World;

/// Names of the attributes that only the apply will tell.
fn open_attributes(change: &Value) -> Vec<&str> {
    let unknown = change["after_unknown"].as_object().unwrap();
    let is_open = |value: &&Value| **value == json!(true);
    unknown.iter().filter(|(_, value)| is_open(value)).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_an_update_does_not_change_stays_known() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.clone().model(&models().technical));
    let (_, plan) = world.plan();
    let version = plan.change("sluice_endpoint_version.chat");
    assert_eq!(open_attributes(version), ["created_at", "created_by"]);
    assert_eq!((&version["after"]["number"], &version["after"]["id"]), (&json!(1), &json!("local/chat/v1")));
    let endpoint = plan.change("sluice_endpoint.chat");
    assert_eq!(open_attributes(endpoint), ["rollout", "traffic"]);
    for (attribute, known) in
        [("live_version", json!(1)), ("previous_version", json!(0)), ("status", json!("serving"))]
    {
        assert_eq!(endpoint["after"][attribute], known, "{attribute}");
    }
    assert_eq!(endpoint["after"]["url"], endpoint["before"]["url"]);
    assert!(endpoint["after"]["rollout_plan"].as_array().is_some_and(|steps| steps.len() > 2));

    // Settings beside the version roll nothing.
    world.write(&config.with("endpoint.labels", "{ team = \"search\" }"));
    let (_, plan) = world.plan();
    assert_eq!(open_attributes(plan.change("sluice_endpoint.chat")), Vec::<&str>::new());
    assert_eq!(plan.actions("sluice_endpoint_version.chat"), ["no-op"]);
}

#[test]
fn only_a_rename_or_another_cloud_replaces() {
    let (world, config) = World::applied(|config| config);
    let replaced = |config: &Config| {
        world.write(config);
        let (_, plan) = world.plan();
        ["sluice_endpoint.chat", "sluice_endpoint_version.chat"].map(|address| {
            let change = plan.change(address);
            (change["actions"].clone(), change["replace_paths"].clone())
        })
    };
    let update = (json!(["update"]), Value::Null);
    let everything = config
        .clone()
        .replicas(3)
        .model(&models().technical)
        .with("version.env", "{ A = \"b\" }")
        .with("version.comment", "\"all of it\"")
        .with("endpoint.local", "{ token_required = true }")
        .with("endpoint.timeouts", "{ update = \"5m\" }");
    assert_eq!(replaced(&everything), [update.clone(), update]);
    let [endpoint, version] = replaced(&config.with("version.endpoint", "\"talk\""));
    assert_eq!(endpoint, (json!(["delete", "create"]), json!([["name"]])));
    assert_eq!(version, (json!(["delete", "create"]), json!([["endpoint"]])));
}

#[test]
fn every_mistake_is_told_at_once_each_at_its_line() {
    let world = World::new();
    let config = world
        .config()
        .with("policy.min_ready", "\"soon\"")
        .with("policy.max_surge", "\"150%\"")
        .with("version.endpoint", "\"Chat\"")
        .with("version.scaling", "{ min_replicas = 3, max_replicas = 2 }")
        .with("version.env", "{ \"1BAD\" = \"x\" }")
        .with("version.secret_env", "{ KEY = \"x\" }")
        .with("version.labels", "{ \"\" = \"x\" }")
        .with("endpoint.name", "\"Chat\"")
        // Terraform does not check what refers to something that is wrong.
        .with("endpoint.version", 0)
        .with("endpoint.policy", "{ drain = { timeout = \"soon\" } }")
        .with("endpoint.timeouts", "{ update = \"0s\" }")
        .with("endpoint.labels", "{ a = null }");
    world.write(&config);
    let output = world.terraform(&["validate", "-json"]);
    let answer: Value = serde_json::from_str(&output.stdout).unwrap();
    let text = config.text();
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<(String, String)> = Vec::new();
    let is_error = |diagnostic: &&Value| diagnostic["severity"] == "error";
    for diagnostic in answer["diagnostics"].as_array().unwrap().iter().filter(is_error) {
        let line = diagnostic["range"]["start"]["line"].as_u64().unwrap();
        let attribute = lines[usize::try_from(line).unwrap() - 1].split('=').next().unwrap().trim();
        let block = diagnostic["address"].as_str().unwrap();
        found.push((block.to_owned(), attribute.to_owned()));
    }
    found.sort();
    found.dedup();
    let expected = [
        ("sluice_deployment_policy.quick", "max_surge"),
        ("sluice_deployment_policy.quick", "min_ready"),
        ("sluice_endpoint.chat", "labels"),
        ("sluice_endpoint.chat", "name"),
        ("sluice_endpoint.chat", "policy"),
        ("sluice_endpoint.chat", "timeouts"),
        ("sluice_endpoint_version.chat", "endpoint"),
        ("sluice_endpoint_version.chat", "env"),
        ("sluice_endpoint_version.chat", "labels"),
        ("sluice_endpoint_version.chat", "scaling"),
        ("sluice_endpoint_version.chat", "secret_env"),
    ];
    assert_eq!(
        found,
        expected.map(|(block, attribute)| (block.to_owned(), attribute.to_owned())),
        "{answer:#}"
    );
}

#[test]
fn what_is_unknown_is_planned_around_even_in_the_provider() {
    let world = World::new();
    world.add(
        "unknown.tf",
        "resource \"terraform_data\" \"later\" {\n  input = \"b\"\n}\nresource \"terraform_data\" \"folder\" {\n  \
         input = FOLDER\n}\n"
            .replace("FOLDER", &format!("{:?}", world.data_dir()))
            .as_str(),
    );
    let config = world
        .config()
        .with("version.env", "{ A = terraform_data.later.output }")
        .with("version.labels", "{ a = terraform_data.later.output }")
        .with("endpoint.labels", "{ a = terraform_data.later.output }")
        .with("provider.local", "{ data_dir = terraform_data.folder.output, device_slots = 8 }")
        .with("provider.default_labels", "{ later = terraform_data.later.output }");
    world.write(&config);
    let (_, plan) = world.plan();
    let version = plan.change("sluice_endpoint_version.chat");
    assert_eq!(version["after_unknown"]["number"], json!(true));
    assert_eq!(version["after_unknown"]["effective_labels"], json!(true));
    assert!(!world.data_dir().exists(), "a plan that knows no data folder made one");
    world.terraform(&["apply", "-auto-approve", "plan"]).succeeded();
    assert_eq!(world.chat()["effective_labels"], json!({ "a": "b", "later": "b" }));
    world.plans_nothing();
}

#[test]
fn the_same_change_is_always_planned_the_same() {
    let (world, config) = World::applied(|config| config);
    world.write(&config.model(&models().technical).with("endpoint.labels", "{ b = \"2\", a = \"1\" }"));
    let planned = || {
        let (_, plan) = world.plan();
        (plan.0["resource_changes"].clone(), plan.0["resource_drift"].clone())
    };
    assert_eq!(planned(), planned());
}

#[test]
fn a_refresh_of_many_endpoints_takes_fewer_calls_than_there_are_endpoints() {
    const ENDPOINTS: usize = 12;
    let world = World::new();
    let names = (1..ENDPOINTS).map(|index| format!("chat-{index}"));
    let mut config = names.fold(world.config(), |config, name| config.and_endpoint(&name));
    for index in 0..ENDPOINTS {
        config.set_of(index, "version.scaling", "{ min_replicas = 1 }");
    }
    let local = format!("{{ data_dir = {}, device_slots = {ENDPOINTS} }}", quoted(&world.data_dir()));
    world.write(&config.with("provider.local", local));
    world.apply();
    let calls = || usize::try_from(world.block_on(world.cloud().agent()).unwrap().calls).unwrap();
    let before = calls();
    let output = world.terraform(&["plan", "-refresh-only", "-detailed-exitcode"]);
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    let taken = calls() - before;
    assert!(taken < ENDPOINTS, "{taken} calls for {ENDPOINTS} endpoints");
}
