//! Who calls: everything that the AWS tools read, each from where it is handed out; and what happens when it ends.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::{Config, World};
use crate::patience::eventually;
use crate::sagemaker::emulator::{
    CONTAINER_PATH, CONTAINER_TOKEN, Credentials, Emulator, HANDED_OUT, Order, ROLE, SSO_TOKEN, WEB_TOKEN,
};

/// A world in which nobody finds credentials but by what a test says. The folder holds the files that it names.
struct Caller {
    world: World,
    folder: TempDir,
}

/// Variables of the environment, the address of the emulator and a folder for files given.
type Variables<'a> = Vec<(&'a str, String)>;

fn caller(variables: impl Fn(&str, &Path) -> Variables<'static>) -> Caller {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let mut environment: Vec<(String, String)> = variables(&emulator.url(), folder.path())
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    environment.push(("AWS_ENDPOINT_URL".into(), emulator.url()));
    // Whatever a log could show is there to be shown.
    environment.push(("TF_LOG".into(), "TRACE".into()));
    for (name, value) in [("AWS_REGION", "eu-west-1"), ("AWS_EC2_METADATA_DISABLED", "true")] {
        if !environment.iter().any(|(known, _)| known == name) {
            environment.push((name.into(), value.into()));
        }
    }
    environment.retain(|(_, value)| !value.is_empty());
    Caller { world: World::of(emulator, &environment), folder }
}

impl Caller {
    fn asked(&self, operation: &str) -> usize {
        self.world.requests(operation).iter().filter(|request| request.refused.is_none()).count()
    }

    /// An endpoint is created, by somebody who asked here for credentials, and no secret is seen anywhere.
    #[track_caller]
    fn creates(&self, operation: &str) {
        let output = self.world.apply(&Config::image(1));
        assert!(operation.is_empty() || self.asked(operation) > 0, "nobody asked for {operation}");
        self.shows_no_secret(&output.stderr);
        self.world.workspace.plans_nothing();
    }

    /// Everything that is known runs out in the middle of an update, and is replaced; the update goes on to its end
    /// within the same apply.
    #[track_caller]
    fn outlives(&self, operation: &str, replace: impl FnOnce()) {
        let world = &self.world;
        world.emulator.order(Order::AdvanceByLook(0));
        let asked = self.asked(operation);
        world.write(&Config::image(2));
        let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
        eventually("the update is under way", || !world.requests("UpdateEndpoint").is_empty());
        replace();
        world.emulator.hand_over(second());
        let is_refused = |request: &crate::sagemaker::emulator::Request| {
            request.refused.as_deref().is_some_and(|code| code != "Unauthorized")
        };
        eventually("a call was refused", || world.requests("DescribeEndpoint").iter().any(is_refused));
        world.emulator.order(Order::AdvanceByLook(30));
        let output = apply.wait().succeeded();
        assert_eq!((world.image(), world.requests("UpdateEndpoint").len()), (2, 1));
        assert!(operation.is_empty() || self.asked(operation) > asked, "nobody asked again for {operation}");
        self.shows_no_secret(&output.stderr);
    }

    #[track_caller]
    fn shows_no_secret(&self, log: &str) {
        assert!(log.contains("[TRACE]"), "the log is not as talkative as it can be");
        let secret = Credentials::of_tests().secret_key;
        let ours = [&secret, HANDED_OUT, WEB_TOKEN, CONTAINER_TOKEN, SSO_TOKEN, SECOND_SECRET];
        for secret in ours {
            assert!(!log.contains(secret), "`{secret}` is in the log");
            super::faults::nothing_holds(&self.world, secret);
        }
    }
}

const SECOND_SECRET: &str = "second/secret+of-tests";

fn second() -> Credentials {
    Credentials {
        access_key: "AKIASECONDSECONDSECO".into(),
        secret_key: SECOND_SECRET.into(),
        token: None,
        expired: false,
    }
}

fn section(name: &str, pair: &Credentials) -> String {
    format!(
        "[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        pair.access_key, pair.secret_key
    )
}

/// The variables that lead to a profile of two files in the folder.
fn profile(folder: &Path, name: &str, config: &str, credentials: &str) -> Variables<'static> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(folder.join("config"), config).unwrap();
    std::fs::write(folder.join("credentials"), credentials).unwrap();
    vec![
        ("AWS_PROFILE", name.to_owned()),
        ("AWS_CONFIG_FILE", path("config")),
        ("AWS_SHARED_CREDENTIALS_FILE", path("credentials")),
    ]
}

#[test]
fn a_profile_of_the_shared_files_is_used_and_read_again_when_its_pair_is_refused() {
    let caller = caller(|_, folder| {
        let pair = section("deploy", &Credentials::of_tests());
        let mut variables = profile(folder, "deploy", "[profile deploy]\nregion = eu-west-1\n", &pair);
        // The region is in the profile as well.
        variables.push(("AWS_REGION", String::new()));
        variables
    });
    caller.creates("");
    caller.outlives("", || {
        std::fs::write(caller.folder.path().join("credentials"), section("deploy", &second())).unwrap();
    });
}

#[test]
fn a_process_that_prints_credentials_is_run_again_when_they_are_refused() {
    let printed = |folder: &Path, pair: &Credentials| {
        let said =
            json!({ "Version": 1, "AccessKeyId": pair.access_key, "SecretAccessKey": pair.secret_key });
        std::fs::write(folder.join("said.json"), said.to_string()).unwrap();
    };
    let caller = caller(|_, folder| {
        printed(folder, &Credentials::of_tests());
        let file = folder.join("said.json");
        let config = format!("[profile deploy]\ncredential_process = cat {}\n", file.display());
        profile(folder, "deploy", &config, "")
    });
    caller.creates("");
    caller.outlives("", || printed(caller.folder.path(), &second()));
}

#[test]
fn a_role_is_assumed_by_a_profile_and_again_when_its_session_has_ended() {
    let caller = caller(|_, folder| {
        let config = format!("[profile deploy]\nrole_arn = {ROLE}\nsource_profile = base\n");
        profile(folder, "deploy", &config, &section("base", &Credentials::of_tests()))
    });
    caller.creates("AssumeRole");
    caller.outlives("AssumeRole", || {
        // Who assumes the role has to be known still.
        std::fs::write(caller.folder.path().join("credentials"), section("base", &second())).unwrap();
    });
}

#[test]
fn a_role_is_assumed_with_a_web_identity_and_again_when_its_session_has_ended() {
    let caller = caller(|_, folder| {
        std::fs::write(folder.join("token"), WEB_TOKEN).unwrap();
        vec![
            ("AWS_WEB_IDENTITY_TOKEN_FILE", folder.join("token").to_str().unwrap().to_owned()),
            ("AWS_ROLE_ARN", ROLE.to_owned()),
            ("AWS_ROLE_SESSION_NAME", "pipeline".to_owned()),
        ]
    });
    caller.creates("AssumeRoleWithWebIdentity");
    caller.outlives("AssumeRoleWithWebIdentity", || {});
}

#[test]
fn a_container_hands_out_credentials_and_others_when_they_have_ended() {
    let caller = caller(|url, _| {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}{CONTAINER_PATH}")),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN.to_owned()),
        ]
    });
    caller.creates("ContainerCredentials");
    caller.outlives("ContainerCredentials", || {});
}

#[test]
fn an_instance_hands_out_credentials_and_others_when_they_have_ended() {
    let caller = caller(|url, _| {
        vec![
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        ]
    });
    caller.creates("InstanceCredentials");
    assert!(caller.asked("InstanceToken") > 0, "the second version of the protocol was used");
    caller.outlives("InstanceCredentials", || {});
}

#[test]
fn a_single_sign_on_hands_out_credentials_and_others_when_they_have_ended() {
    let caller = caller(|_, folder| {
        let start = "https://sign-on.example/start";
        let config = format!(
            "[profile deploy]\nsso_start_url = {start}\nsso_region = eu-west-1\nsso_account_id = 123456789012\n\
             sso_role_name = deployer\n"
        );
        let cache = folder.join(".aws/sso/cache");
        std::fs::create_dir_all(&cache).unwrap();
        // The name of the file is the SHA-1 of the address.
        let token = json!({ "startUrl": start, "region": "eu-west-1", "accessToken": SSO_TOKEN, "expiresAt": "2099-01-01T00:00:00Z" });
        std::fs::write(cache.join(SSO_CACHE), token.to_string()).unwrap();
        let mut variables = profile(folder, "deploy", &config, "");
        variables.push(("HOME", folder.to_str().unwrap().to_owned()));
        variables
    });
    caller.creates("GetRoleCredentials");
    caller.outlives("GetRoleCredentials", || {});
}

const SSO_CACHE: &str = "d2756616fca4c09cdfb45e857473174c1873aae3.json";

#[test]
fn credentials_that_are_about_to_end_are_replaced_before_a_call_is_refused() {
    let caller = caller(|url, _| {
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{url}{CONTAINER_PATH}")),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN.to_owned()),
        ]
    });
    caller.world.emulator.order(Order::SessionLife(120));
    caller.creates("ContainerCredentials");
    assert!(caller.asked("ContainerCredentials") > 5, "two minutes are too few to begin a call with");
    let expired = |code: &String| code == "ExpiredTokenException";
    let requests = caller.world.emulator.requests();
    assert!(!requests.iter().any(|request| request.refused.as_ref().is_some_and(expired)));
}

#[test]
fn without_credentials_the_plan_says_so_at_once() {
    let caller = caller(|_, _| Vec::new());
    caller.world.write(&Config::image(1));
    caller.world.workspace.terraform(&["plan"]).failed_with(&["no AWS credentials were found"]);
}
