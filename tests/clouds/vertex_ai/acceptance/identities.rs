//! Everybody who may call, each against stand-ins on this machine: a key that signs by itself, a user, another cloud's
//! identity, somebody who acts as another, the machine. And all of them when their token is revoked in the middle.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::conformance::PACKAGES;
use super::{Config, World};
use crate::patience::eventually;
use crate::python::Python;
use crate::terraform::Output;
use crate::vertex_ai::emulator::Emulator;

/// What tokens that the emulator hands out begin with.
const HANDED_OUT: &str = "ya29.handed-out";
/// Secrets of the key files.
const CLIENT_SECRET: &str = "client-secret-of-the-tests";
const REFRESH: &str = "refresh-token-of-the-tests";
const SUBJECT: &str = "subject-token-of-the-tests";

/// A world in which the only credentials are in a file, and every log is as talkative as can be.
struct Caller {
    world: World,
    folder: TempDir,
}

impl Caller {
    /// With a key file that is made for the emulator's address.
    fn with_key(variable: &str, key: impl FnOnce(&str, &Path) -> Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        let world = World::with_environment(&[(variable, file.to_str().unwrap()), ("TF_LOG", "TRACE")]);
        std::fs::write(folder.path().join("subject"), SUBJECT).unwrap();
        std::fs::write(&file, key(&world.emulator.url(), folder.path()).to_string()).unwrap();
        {
            let tokens = &mut world.emulator.world().tokens;
            tokens.renewable.push(REFRESH.to_owned());
            tokens.subject = Some(SUBJECT.to_owned());
        }
        Self { world, folder }
    }

    /// Creates an endpoint, and asks these methods for the token.
    #[track_caller]
    fn creates(&self, asked: &[&str]) {
        let output = self.world.apply(&Config::model(1));
        self.world.serves(0, "chat@1", 4);
        for method in asked {
            assert!(self.world.calls(method) > 0, "nobody asked {method}");
        }
        self.shows_no_secret(&output);
    }

    /// Every token is revoked in the middle of a rollout. The apply goes on with a fresh one to its end.
    #[track_caller]
    fn outlives_its_token(&self, asked: &str) {
        let world = &self.world;
        let before = if asked.is_empty() { 0 } else { world.calls(asked) };
        world.emulator.world().script.auto = 0;
        world.write(&Config::model(2));
        let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
        eventually("the rollout has been asked for", || world.calls("endpoints.deployModel") == 2);
        world.emulator.world().tokens.expire_all();
        eventually("a call was refused", || self.refused() > 0);
        world.emulator.world().script.auto = 5;
        let output = apply.wait().succeeded();
        world.serves(1, "chat@2", 4);
        assert_eq!(world.calls("endpoints.deployModel"), 2, "nothing was asked for twice");
        assert!(asked.is_empty() || world.calls(asked) > before, "nobody asked {asked} again");
        self.shows_no_secret(&output);
    }

    fn refused(&self) -> usize {
        self.world.emulator.world().requests.iter().filter(|call| call.status == Some(401)).count()
    }

    #[track_caller]
    fn shows_no_secret(&self, output: &Output) {
        assert!(output.stderr.contains("[TRACE]"), "the log is not as talkative as it can be");
        for secret in [HANDED_OUT, CLIENT_SECRET, REFRESH, SUBJECT, "PRIVATE KEY"] {
            assert!(!output.stderr.contains(secret), "`{secret}` is in the log");
            self.world.nothing_holds(secret);
        }
    }
}

fn user(url: &str) -> Value {
    json!({
        "type": "authorized_user", "client_id": "id", "client_secret": CLIENT_SECRET, "refresh_token": REFRESH,
        "token_uri": format!("{url}/token"), "quota_project_id": "project-of-the-user",
    })
}

fn other_cloud(url: &str, folder: &Path) -> Value {
    json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/415104041262/locations/global/workloadIdentityPools/ci/providers/ci",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{url}/v1/token"),
        "credential_source": { "file": folder.join("subject").to_str().unwrap() },
    })
}

fn acting_as(url: &str) -> String {
    format!(
        "{url}/v1/projects/-/serviceAccounts/deploy@demo-project.iam.gserviceaccount.com:generateAccessToken"
    )
}

#[test]
fn the_key_of_a_service_account_signs_tokens_that_googles_library_verifies() {
    let python = Python::with("vertex_ai", &PACKAGES);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/vertex_ai/service_account.py");
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |_, folder| {
        let made = folder.join("made.json");
        python.run(&script, folder, &["make", made.to_str().unwrap()], &[]).succeeded();
        serde_json::from_str(&std::fs::read_to_string(made).unwrap()).unwrap()
    });
    caller.world.emulator.world().tokens.service_account =
        Some("deploy@demo-project.iam.gserviceaccount.com".to_owned());
    caller.creates(&[]);
    assert_eq!(caller.world.calls("oauth.token"), 0, "there is nothing to ask: the token is signed here");
    let sent: Vec<String> = caller
        .world
        .emulator
        .world()
        .requests
        .iter()
        .map(|call| call.headers["authorization"].trim_start_matches("Bearer ").to_owned())
        .collect();
    let tokens = caller.folder.path().join("tokens");
    std::fs::write(&tokens, sent.join("\n")).unwrap();
    let arguments =
        ["check", caller.folder.path().join("key.json").to_str().unwrap(), tokens.to_str().unwrap()]
            .map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    python.run(&script, caller.folder.path(), &arguments, &[]).succeeded();
}

#[test]
fn a_user_is_charged_by_the_project_of_the_credentials_and_outlives_its_token() {
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |url, _| user(url));
    caller.creates(&["oauth.token"]);
    let charged = caller.world.emulator.world().calls("endpoints.deployModel")[0].headers.clone();
    assert_eq!(charged["x-goog-user-project"], "project-of-the-user");
    caller.outlives_its_token("oauth.token");
}

#[test]
fn an_identity_of_another_cloud_is_exchanged_and_outlives_its_token() {
    let caller = Caller::with_key("GOOGLE_CREDENTIALS", other_cloud);
    caller.creates(&["sts.token"]);
    caller.outlives_its_token("sts.token");
}

#[test]
fn an_identity_of_another_cloud_acts_as_a_service_account() {
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |url, folder| {
        let mut key = other_cloud(url, folder);
        key["service_account_impersonation_url"] = json!(acting_as(url));
        key
    });
    caller.creates(&["sts.token", "iamcredentials.generateAccessToken"]);
    caller.outlives_its_token("iamcredentials.generateAccessToken");
}

#[test]
fn a_user_acts_as_a_service_account() {
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |url, _| {
        json!({
            "type": "impersonated_service_account", "service_account_impersonation_url": acting_as(url),
            "delegates": [], "source_credentials": user(url),
        })
    });
    caller.creates(&["oauth.token", "iamcredentials.generateAccessToken"]);
    caller.outlives_its_token("iamcredentials.generateAccessToken");
}

#[test]
fn a_token_that_has_ended_by_the_clock_of_this_machine_is_an_error_and_no_crash() {
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |url, _| {
        json!({
            "type": "impersonated_service_account", "service_account_impersonation_url": acting_as(url),
            "delegates": [], "source_credentials": user(url),
        })
    });
    caller.world.emulator.world().tokens.expire_time = Some("2001-01-01T00:00:00Z".parse().unwrap());
    caller.world.fails(&Config::model(1), &["find credentials", "Is the clock of this machine right?"]);
}

#[test]
fn a_refresh_token_that_was_revoked_ends_the_apply_with_the_reason() {
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |url, _| user(url));
    caller.world.emulator.world().tokens.renewable.clear();
    let output = caller.world.fails(&Config::model(1), &["find credentials", "invalid_grant"]);
    assert!(!output.stderr.contains(REFRESH) && !output.stderr.contains(CLIENT_SECRET), "it is in the log");
}

#[test]
fn a_machine_gets_a_fresh_token_when_its_own_was_revoked() {
    let metadata = Emulator::start();
    metadata.world().tokens.has_machine_account = true;
    let host = metadata.url().trim_start_matches("http://").to_owned();
    let world = World::with_environment(&[("GCE_METADATA_HOST", &host)]);
    let number = |token: &str| token.rsplit('-').next().unwrap().parse::<u32>().unwrap();
    for issued in 1..=100 {
        world.emulator.world().tokens.accept(&format!("{HANDED_OUT}-{issued}"));
    }
    world.apply(&Config::model(1));
    world.emulator.world().script.auto = 0;
    world.write(&Config::model(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the rollout has been asked for", || world.calls("endpoints.deployModel") == 2);
    {
        let mut emulator = world.emulator.world();
        let sent = emulator.calls("endpoints.deployModel")[1].headers["authorization"].clone();
        emulator.tokens.expire_all();
        for issued in number(&sent) + 1..=100 {
            emulator.tokens.accept(&format!("{HANDED_OUT}-{issued}"));
        }
        emulator.script.auto = 5;
    }
    apply.wait().succeeded();
    world.serves(1, "chat@2", 4);
}

#[test]
fn a_call_is_made_once_more_and_not_for_ever() {
    let caller = Caller::with_key("GOOGLE_APPLICATION_CREDENTIALS", |url, _| user(url));
    // Whatever token comes: the account is locked.
    caller.world.emulator.world().tokens.locked = true;
    caller.world.fails(&Config::model(1), &["Request had invalid authentication credentials"]);
    let refused = caller.refused();
    assert_eq!(refused, 2, "the call, and once more with a fresh token");
    assert_eq!(caller.world.calls("oauth.token"), 2);
}
