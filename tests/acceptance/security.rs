//! An agent that listens on TCP, and the token that protects it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::config::quoted;
use super::patience::eventually;
use super::programs::PROVIDER;
use super::terraform::Running;
use super::world::World;
use sluice::cloud::CloudErrorKind;
use sluice::cloud::local::{LocalCloud, LocalSettings};

const TOKEN: &str = "tk-6f1e0d9c8b7a-never-shown";

/// A world whose agent listens on TCP.
fn listening() -> (World, String) {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(PROVIDER);
    command.args(["agent", "run", "--device-slots", "8", "--listen", &address]);
    command.arg("--token-file").arg(token_file(&world, 0o600)).arg("--data-dir").arg(world.data_dir());
    // Its end is the world's.
    let _agent = Running::start(&mut command, &world.path("agent"));
    eventually("the agent listens", || std::net::TcpStream::connect(&address).is_ok());
    (world, address)
}

fn token_file(world: &World, mode: u32) -> PathBuf {
    let path = world.path("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn local(world: &World, address: &str, token: &str) -> String {
    format!("{{ data_dir = {}, address = \"{address}\", token = \"{token}\" }}", quoted(&world.data_dir()))
}

#[test]
fn an_agent_on_tcp_turns_away_whoever_does_not_know_its_token() {
    let (world, address) = listening();
    let status = world.block_on(async {
        let client = sluice::web::local_client().build().unwrap();
        client.get(format!("http://{address}/v1/endpoints")).send().await.unwrap().status()
    });
    assert_eq!(status, 401);
    for wrong in ["", "tk-6f1e0d9c8b7a-never-showm", "tk-6f1e0d9c8b7a-never-shown2"] {
        let settings = LocalSettings {
            address: Some(address.clone()),
            token: Some(wrong.to_owned()),
            ..LocalSettings::default()
        };
        let refused = world.block_on(LocalCloud::connect(settings).unwrap().endpoints()).unwrap_err();
        assert_eq!(refused.kind, CloudErrorKind::Denied, "{refused}");
    }
    world.write(&world.config().with("provider.local", local(&world, &address, "0123456789abcdef")));
    let output = world.terraform(&["plan"]).failed_with(&["a valid bearer token is needed"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
}

#[test]
fn the_right_token_works_and_is_never_shown() {
    let (world, address) = listening();
    world.write(&world.config().with("provider.local", local(&world, &address, TOKEN)));
    let log = world.path("trace.log");
    let tracing = [("TF_LOG", "TRACE"), ("TF_LOG_PATH", log.to_str().unwrap())];
    let mut shown = String::new();
    for arguments in [&["plan"][..], &["apply", "-auto-approve"], &["show"], &["plan", "-detailed-exitcode"]]
    {
        let output = world.start_terraform_with(arguments, &tracing).wait().succeeded();
        shown.push_str(&output.stdout);
        shown.push_str(&output.stderr);
    }
    assert_eq!(world.answering_model("chat"), "plain");
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let traced = read(log);
    assert!(traced.contains("sluice_endpoint.chat"), "nothing was traced");
    for (place, text) in [
        ("output", shown),
        ("trace", traced),
        ("state", read(world.path("tf/terraform.tfstate"))),
        ("agent's log", read(world.path("agent.err"))),
    ] {
        assert!(!text.contains(TOKEN), "the token is in the {place}");
    }
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let world = World::new();
    let mut command = Command::new(PROVIDER);
    command.args(["agent", "run", "--listen", "127.0.0.1:0"]);
    command.arg("--token-file").arg(token_file(&world, 0o644)).arg("--data-dir").arg(world.data_dir());
    let output = Running::start(&mut command, &world.path("agent")).wait();
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("chmod 600") && !output.stderr.contains(TOKEN), "{}", output.stderr);
}

#[test]
fn an_agent_gets_none_of_the_credentials_that_terraform_had() {
    let world = World::new();
    world.write(&world.config());
    let secret = [("AWS_SECRET_ACCESS_KEY", "key-4711-of-the-cloud"), ("GOOGLE_CREDENTIALS", "key-4711-too")];
    world.start_terraform_with(&["apply", "-auto-approve"], &secret).wait().succeeded();
    let mut pids = world.replica_pids();
    pids.push(world.agent_pid());
    for pid in pids {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(environment.contains("PATH=") && !environment.contains("key-4711"), "{environment}");
    }
}

#[test]
fn last_words_of_a_replica_do_not_drive_the_terminal() {
    let (world, config) = World::applied(|config| config.with("policy.max_start_failures", 1));
    let script = r"printf '\\033]0;owned\\007\\033[2Jno memory\\n' >&2; exit 3";
    world.write(
        &config.with("version.container", format!("{{ command = [\"/bin/sh\", \"-c\", \"{script}\"] }}")),
    );
    let output = world.terraform(&["apply", "-auto-approve"]).failed_with(&["rolled back", "no memory"]);
    let shown = |arguments: &[&str]| {
        let mut command = Command::new(PROVIDER);
        command.args(arguments).arg("--data-dir").arg(world.data_dir()).args(["--color", "always"]);
        let output = command.output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
    };
    let mut told = vec![output.stdout, output.stderr];
    told.extend([&["watch", "chat"][..], &["watch", "chat", "--json"], &["status", "chat"]].map(shown));
    assert!(told.iter().any(|text| text.contains("u001b]0;owned")), "{told:#?}");
    for text in told {
        assert!(
            !text.contains("\u{1b}]") && !text.contains("\u{1b}[2J") && !text.contains('\u{7}'),
            "{text:?}"
        );
    }
}

#[test]
fn what_the_provider_writes_is_for_its_user_alone() {
    let world = World::new();
    let ledger = world.path("far/ledger");
    world.write(&world.config().with("provider.ledger", format!("\"file://{}\"", ledger.display())));
    world.apply();
    for folder in [world.data_dir(), ledger] {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}
