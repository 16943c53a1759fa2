//! Every example: formatted, valid, and applied where it can run on this machine.

use std::path::{Path, PathBuf};

use super::config::quoted;
use super::programs::{example, models};
use super::terraform::Output;
use super::world::World;

/// For examples that do not say where the provider comes from: the registry shows them without it.
const REQUIRED: &str =
    "terraform {\n  required_providers {\n    sluice = { source = \"sluice-rs/sluice\" }\n  }\n}\n";
/// For snippets of guides that name a policy which stands elsewhere on the page.
const CAREFUL: &str = "resource \"sluice_deployment_policy\" \"careful\" {\n  name = \"careful\"\n}\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folders that hold configurations.
fn folders(below: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut found = Vec::new();
    if entries.iter().any(|path| path.extension().is_some_and(|extension| extension == "tf")) {
        found.push(below.to_owned());
    }
    // Terraform knows actions from 1.14 on; `tests/tidy` checks their examples.
    let skipped = |path: &Path| path.ends_with("tests") || path.ends_with("actions");
    for folder in entries.iter().filter(|path| path.is_dir() && !skipped(path)) {
        found.extend(folders(folder));
    }
    found.sort();
    found
}

/// Makes a copy of a folder the configuration of a world.
fn take(world: &World, folder: &Path) {
    let place = world.path("tf");
    std::fs::remove_dir_all(&place).unwrap();
    copy(folder, &place);
    let mut whole = String::new();
    for entry in std::fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            whole.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    if !whole.contains("required_providers") {
        std::fs::write(place.join("versions.tf"), REQUIRED).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Applies, with the local cloud's folder given by the environment, as a user would who has read the first page.
#[track_caller]
fn apply(world: &World, variables: &[(&str, &str)]) -> Output {
    let mut arguments = vec!["apply".to_owned(), "-auto-approve".to_owned()];
    arguments.extend(variables.iter().map(|(name, value)| format!("-var={name}={value}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let folder = world.data_dir();
    let environment = [("SLUICE_DATA_DIR", folder.to_str().unwrap())];
    world.start_terraform_with(&arguments, &environment).wait().succeeded()
}

#[test]
fn every_example_is_formatted_and_valid() {
    let world = World::new();
    let examples = root().join("examples");
    world.terraform(&["fmt", "-check", "-recursive", examples.to_str().unwrap()]).succeeded();
    let folders = folders(&examples);
    assert!(folders.len() >= 8, "{folders:?}");
    for folder in folders {
        take(&world, &folder);
        let output = world.terraform(&["validate"]);
        assert_eq!(output.code, Some(0), "{}: {}", folder.display(), output.stderr);
    }
}

#[test]
fn every_configuration_in_the_guides_is_valid() {
    let world = World::new();
    let mut checked = 0;
    for entry in std::fs::read_dir(root().join("docs/guides")).unwrap() {
        let page = entry.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```terraform\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let is_whole =
                block.lines().any(|line| line.starts_with("resource ") || line.starts_with("output "));
            if !is_whole {
                continue;
            }
            let prelude = if block.contains("\"careful\" {") { "" } else { CAREFUL };
            let configuration = format!("{REQUIRED}{prelude}{block}");
            std::fs::write(world.path("tf/main.tf"), &configuration).unwrap();
            let output = world.terraform(&["validate"]);
            assert_eq!(output.code, Some(0), "{}:\n{configuration}\n{}", page.display(), output.stderr);
            checked += 1;
        }
    }
    assert!(checked >= 4, "only {checked} configurations were found");
}

#[test]
fn the_quickstart_applies_as_it_is() {
    let world = World::new();
    take(&world, &root().join("examples/quickstart"));
    let (server, model) = (example("model-server"), models().plain.clone());
    let variables =
        [("server", server.to_str().unwrap()), ("model", model.to_str().unwrap()), ("replicas", "1")];
    let output = apply(&world, &variables);
    assert!(output.stdout.contains("live_version = 0"), "{}", output.stdout);
    assert_eq!(world.answering_model("chat"), "plain");
}

#[test]
fn the_policies_of_the_examples_apply_as_they_are() {
    let world = World::new();
    take(&world, &root().join("examples/resources/sluice_deployment_policy"));
    // Importing what is not there is not part of the example.
    std::fs::remove_file(world.path("tf/import-by-string-id.tf")).unwrap();
    let place = quoted(&world.data_dir());
    std::fs::write(
        world.path("tf/provider.tf"),
        format!("provider \"sluice\" {{\n  local = {{ data_dir = {place} }}\n}}\n"),
    )
    .unwrap();
    let output = apply(&world, &[]);
    assert!(output.stdout.contains("2 added"), "{}", output.stdout);
    world.plans_nothing();
}

#[test]
fn the_functions_of_the_examples_compute_what_their_pages_say() {
    let world = World::new();
    let mut outputs = String::new();
    for name in ["rollout_plan", "rollout_limits", "parse_version_id"] {
        take(&world, &root().join("examples/functions").join(name));
        outputs.push_str(&apply(&world, &[]).stdout);
        std::fs::remove_file(world.path("tf/terraform.tfstate")).unwrap();
    }
    for expected in ["v0 → v1: at most 10 replicas", "\"most_running\" = 10", "\"endpoint\" = \"chat\""] {
        assert!(outputs.contains(expected), "no `{expected}` in {outputs}");
    }
}

#[test]
fn the_data_sources_and_the_token_of_the_examples_tell_of_a_real_endpoint() {
    let (world, config) = World::applied(|config| config.with("endpoint.local", "{ token_required = true }"));
    world.write(&config.model(&models().technical));
    world.apply();
    for (folder, expected) in [
        ("data-sources/sluice_endpoint", "url = \"http://127.0.0.1"),
        ("data-sources/sluice_endpoint_version", "technical.bin"),
        ("data-sources/sluice_endpoint_versions", "\"v1 by "),
        ("data-sources/sluice_rollouts", "\"succeeded\""),
        ("data-sources/sluice_version_diff", "\"model.source\""),
        ("ephemeral-resources/sluice_endpoint_token", "Opening complete"),
    ] {
        take(&world, &root().join("examples").join(folder));
        let output = apply(&world, &[]);
        assert!(output.stdout.contains(expected), "{folder}: no `{expected}` in {}", output.stdout);
        let whole = output.stdout + &output.stderr;
        assert!(!whole.contains("Check block assertion failed"), "{folder}: {whole}");
    }
}

#[test]
fn the_tests_with_mocks_pass_and_see_a_mistake() {
    let world = World::new();
    take(&world, &root().join("examples/testing"));
    let output = world.terraform(&["test"]).succeeded();
    assert!(output.stdout.contains("Success! 3 passed, 0 failed."), "{}", output.stdout);
    assert!(world.processes().is_empty(), "a mock started something: {:?}", world.processes());
    let module = world.path("tf/main.tf");
    let text = std::fs::read_to_string(&module).unwrap();
    std::fs::write(&module, text.replace("max_unavailable = 0", "max_unavailable = 1")).unwrap();
    let output = world.terraform(&["test"]);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("A rollout may leave replicas missing."), "{}", output.stderr);
}
