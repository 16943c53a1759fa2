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
