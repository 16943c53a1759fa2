//! Who calls: tokens from the environment, from files, from the machine; and nobody.

use serde_json::json;

use super::{Config, TOKEN, World};
use crate::patience::eventually;

#[test]
fn a_user_from_a_credentials_file_is_charged_to_a_project() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("user.json");
    let world = World::with_environment(&[
        ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap()),
        ("GOOGLE_BILLING_PROJECT", "who-pays"),
    ]);
    world.emulator.world().tokens.renewable.push("refresh-me".to_owned());
    let key = json!({
        "type": "authorized_user", "client_id": "id", "client_secret": "not-to-be-seen", "refresh_token": "refresh-me",
        "token_uri": format!("{}/token", world.emulator.url()),
    });
    std::fs::write(&file, key.to_string()).unwrap();
    world.apply(&Config::model(1));
    world.serves(0, "chat@1", 4);
    let emulator = world.emulator.world();
    let call = emulator.calls("endpoints.deployModel")[0];
    assert_eq!(call.headers["x-goog-user-project"], "who-pays");
    assert!(call.headers["authorization"].starts_with("Bearer ya29.handed-out"));
    drop(emulator);
    world.nothing_holds("not-to-be-seen");
    world.nothing_holds("ya29.handed-out");
}

#[test]
fn a_machine_with_an_account_of_its_own_needs_no_settings() {
    let metadata = crate::vertex_ai::emulator::Emulator::start();
    metadata.world().tokens.has_machine_account = true;
    let host = metadata.url().trim_start_matches("http://").to_owned();
    let world = World::with_environment(&[("GCE_METADATA_HOST", &host)]);
    // The machine's tokens are good wherever they came from.
    for number in 1..30 {
        world.emulator.world().tokens.accept(&format!("ya29.handed-out-{number}"));
    }
    world.apply(&Config::model(1));
    world.serves(0, "chat@1", 4);
    assert!(!metadata.world().calls("metadata.token").is_empty());
}

#[test]
fn a_token_that_is_refused_is_told_and_never_shown() {
    let world = World::with_environment(&[("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.wrong")]);
    let output = world.fails(&Config::model(1), &["Request had invalid authentication credentials"]);
    assert!(!output.stderr.contains("ya29.wrong"), "{}", output.stderr);
}

#[test]
fn credentials_that_expire_in_the_middle_stop_the_apply_and_not_the_rollout() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.emulator.world().script.auto = 0;
    world.write(&Config::model(2));
    let apply = world.workspace.start_terraform(&["apply", "-auto-approve"]);
    eventually("the rollout has been asked for", || world.calls("endpoints.deployModel") == 2);
    world.emulator.world().tokens.expire_all();
    apply.wait().failed_with(&["Request had invalid authentication credentials"]);
    {
        let mut emulator = world.emulator.world();
        emulator.tokens.accept(TOKEN);
        emulator.script.auto = 5;
    }
    world.workspace.apply();
    world.serves(1, "chat@2", 4);
    assert_eq!(world.calls("endpoints.deployModel"), 2, "nothing was asked for twice");
}

#[test]
fn a_key_that_is_no_key_is_told_without_its_content() {
    let world = World::with_environment(&[("GOOGLE_CREDENTIALS", "{ \"private_key\": hidden }")]);
    let output = world.fails(&Config::model(1), &["GOOGLE_CREDENTIALS", "holds no JSON"]);
    assert!(!output.stderr.contains("hidden"), "{}", output.stderr);
}

#[test]
fn the_token_is_in_no_file() {
    let world = World::new();
    world.apply(&Config::model(1));
    world.nothing_holds(TOKEN);
}

impl World {
    /// Fails if a file of the workspace holds a text.
    #[track_caller]
    pub fn nothing_holds(&self, secret: &str) {
        let mut folders = vec![self.workspace.path("tf"), self.workspace.path("ledger")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let text = std::fs::read(entry.path()).unwrap();
                assert!(
                    !String::from_utf8_lossy(&text).contains(secret),
                    "{} holds it",
                    entry.path().display()
                );
                files += 1;
            }
        }
        assert!(files > 3, "state and ledger were looked at");
    }
}
