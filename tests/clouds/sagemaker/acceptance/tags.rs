//! What the service shows of a version and of an endpoint: their tags.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Config, World};

fn of_version(world: &World, config: &str) -> [BTreeMap<String, String>; 2] {
    ["model", "endpoint-config"].map(|kind| world.emulator.tags(kind, config))
}

fn live(world: &World) -> String {
    world.endpoint()["EndpointConfigName"].as_str().unwrap().to_owned()
}

#[test]
fn a_version_shows_where_it_comes_from() {
    let commented = |image, comment: &str| {
        Config::image(image).with(|config| config.version = format!("comment = {}", json!(comment)))
    };
    let world = World::applied(&commented(1, "longer context: 50% more!\nsee größe"));
    let version = world.workspace.state().attributes("sluice_endpoint_version.chat").clone();
    let expected = BTreeMap::from(
        [
            ("sluice:endpoint", "chat"),
            ("sluice:version", "0"),
            ("sluice:digest", version["digest"].as_str().unwrap()),
            ("sluice:creator", version["created_by"].as_str().unwrap()),
            ("sluice:comment", "longer context: 50=25 more=21=0Asee größe"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    assert_eq!(of_version(&world, &live(&world)), [expected.clone(), expected]);

    // What is too long is cut, and says so; the ledger has all of it.
    let long = "why ".repeat(100);
    world.apply(&commented(2, &long));
    let [tags, _] = of_version(&world, &live(&world));
    let comment = &tags["sluice:comment"];
    assert!(comment.len() <= 256 && comment.ends_with("...") && comment.starts_with("why why"), "{comment}");
    assert!(long.starts_with(comment.trim_end_matches("...")), "{comment}");

    // Without a comment there is no tag for it.
    world.apply(&Config::image(3));
    let [model, config] = of_version(&world, &live(&world));
    assert_eq!((model.get("sluice:comment"), &model["sluice:version"]), (None, &"2".to_owned()));
    assert_eq!(model, config);
}

#[test]
fn what_was_deleted_and_made_again_shows_it_as_well() {
    let world =
        World::applied(&Config::image(1).with(|config| config.version = "comment = \"first\"".into()));
    let first = live(&world);
    let before = of_version(&world, &first);
    world.emulator.call("DeleteEndpointConfig", &json!({ "EndpointConfigName": first }));
    world.apply(&Config::image(2));
    assert_eq!(of_version(&world, &first), before);
}

#[test]
fn labels_and_tags_of_an_endpoint_come_and_go_without_an_update() {
    let of_endpoint = |world: &World| {
        let mut tags = world.emulator.tags("endpoint", "chat");
        assert_eq!(tags.remove("sluice:endpoint").as_deref(), Some("chat"));
        tags.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let tagged = |top: &str| Config::image(1).with(|config| config.endpoint = top.into());
    let world = World::applied(&tagged(
        "labels = { team = \"search\" }\n  sagemaker = { tags = { cost = \"a/b\" } }",
    ));
    assert_eq!(of_endpoint(&world), ["cost=a/b", "team=search"]);
    world.workspace.plans_nothing();
    world.apply(&tagged("sagemaker = { tags = { cost = \"c\" } }"));
    assert_eq!(of_endpoint(&world), ["cost=c"]);
    world.apply(&tagged(""));
    assert_eq!(of_endpoint(&world), [""; 0]);
    assert!(world.requests("UpdateEndpoint").is_empty());
    world.workspace.plans_nothing();
}

#[test]
fn tags_that_the_service_would_refuse_are_refused_by_the_plan() {
    let world = World::new();
    for (top, expected) in [
        ("sagemaker = { tags = { \"aws:x\" = \"y\" } }", "keys that begin with `aws:` are not for you"),
        ("labels = { team = \"50%\" }", "a value has up to 256 letters, digits, spaces"),
    ] {
        world.write(&Config::image(1).with(|config| config.endpoint = top.into()));
        world.workspace.terraform(&["plan"]).failed_with(&["Unusable tag", expected]);
    }
}
