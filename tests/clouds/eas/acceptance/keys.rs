//! Where keys come from: each place that the vendor's tools know, on stand-ins of this machine.

use serde_json::json;

use super::{Config, World};
use crate::eas::emulator::keys::{PROVIDER, ROLE, TOKEN};
use crate::eas::emulator::{KEY, Knobs, REGION, TEMPORARY_KEY};

/// A world whose Terraform has a region, and these variables besides.
fn world(environment: &[(&str, &str)]) -> World {
    let region = [("ALIBABA_CLOUD_REGION", REGION)];
    World::with_environment(Knobs { auto: 60, ..Knobs::default() }, &[&region, environment].concat())
}

/// Writes a file below the home of Terraform.
fn at_home(world: &World, path: &str, text: &str) {
    let path = world.workspace.path("home").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn profile(world: &World, profile: &serde_json::Value) {
    let other = json!({ "name": "other", "mode": "AK", "access_key_id": KEY.0, "access_key_secret": KEY.1 });
    let file = json!({ "current": "mine", "profiles": [other, profile] });
    at_home(world, ".aliyun/config.json", &file.to_string());
}

/// Fails unless an apply works with the key that is found, and leaves no secret behind.
#[track_caller]
fn works(world: &World) {
    let output = world.apply(&Config::image("reg/x:1"));
    world.serves(0, "reg/x:1", 4);
    for secret in [KEY.1, TEMPORARY_KEY.1, TEMPORARY_KEY.2, TOKEN] {
        assert!(!format!("{}{}", output.stdout, output.stderr).contains(secret));
        for place in ["tf/terraform.tfstate", "ledger"] {
            let mut search = std::process::Command::new("grep");
            search.args(["-r", secret]).arg(world.workspace.path(place));
            assert_eq!(search.output().unwrap().status.code(), Some(1), "{place}");
        }
    }
}

#[test]
fn a_profile_of_the_command_line_holds_a_key() {
    let world = world(&[]);
    profile(
        &world,
        &json!({ "name": "mine", "mode": "StsToken", "access_key_id": TEMPORARY_KEY.0,
        "access_key_secret": TEMPORARY_KEY.1, "sts_token": TEMPORARY_KEY.2 }),
    );
    works(&world);
}

#[test]
fn a_profile_takes_a_role_on_with_the_key_of_another() {
    let world = world(&[("ALIBABA_CLOUD_PROFILE", "mine")]);
    profile(
        &world,
        &json!({ "name": "mine", "mode": "ChainableRamRoleArn", "source_profile": "other",
        "ram_role_arn": ROLE, "ram_session_name": "pipeline", "expired_seconds": 3600 }),
    );
    works(&world);
    let state = world.emulator.state();
    let asked = state.requests.iter().filter(|call| call.operation == "AssumeRole");
    let sessions: Vec<bool> = asked
        .map(|call| call.query.contains(&("RoleSessionName".to_owned(), "pipeline".to_owned())))
        .collect();
    assert!(!sessions.is_empty() && sessions.iter().all(|named| *named));
}

#[test]
fn a_section_of_the_file_of_credentials_holds_a_key() {
    let world = world(&[]);
    let text = format!(
        "[default]\ntype = ram_role_arn\naccess_key_id = {}\naccess_key_secret = {}\nrole_arn = {ROLE}\n",
        KEY.0, KEY.1
    );
    at_home(&world, ".alibabacloud/credentials.ini", &text);
    works(&world);
    assert!(world.calls("AssumeRole") > 0);
}

#[test]
fn a_workload_of_a_cluster_takes_a_role_on_by_its_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let variables = [
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", path),
    ];
    let world = world(&variables);
    works(&world);
    assert!(world.calls("AssumeRoleWithOIDC") > 0);

    std::fs::write(file.path(), "a.stolen.token").unwrap();
    let output = world.workspace.terraform(&["plan"]);
    let output = output.failed_with(&["AssumeRoleWithOIDC gave no key", "OIDCToken.Invalid"]);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("stolen"));
}

#[test]
fn the_role_of_the_machine_gives_keys_and_is_asked_again_before_they_end() {
    let world = world(&[]);
    works(&world);
    let asked = world.calls("Metadata");
    assert!(asked > 0);
    world.emulator.state().knobs.key_life = 60;
    let calls = world.calls("DescribeService");
    world.workspace.plans_nothing();
    assert!(world.calls("DescribeService") > calls);
    assert!(world.calls("Metadata") - asked > 3, "each call needs a fresh one");
}

#[test]
fn keys_of_the_environment_come_before_a_profile_and_none_at_all_is_told() {
    let both = world(&[("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY.0), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY.1)]);
    profile(
        &both,
        &json!({ "name": "mine", "mode": "AK", "access_key_id": "wrong", "access_key_secret": "wrong" }),
    );
    works(&both);
    assert_eq!(both.calls("Metadata"), 0);
    let none = world(&[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")]);
    none.fails(&Config::image("reg/x:1"), &["no key was found", "ALIBABA_CLOUD_ACCESS_KEY_ID"]);
    let unknown = world(&[("ALIBABA_CLOUD_PROFILE", "nobody")]);
    unknown.fails(&Config::image("reg/x:1"), &["has a profile `nobody`"]);
}
