//! Folders, sockets and disks that cannot be used: what to do is told, and nothing is lost.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::config::quoted;
use super::processes;
use super::programs::models;
use super::world::World;

fn local(world: &World, more: &str) -> String {
    format!("{{ data_dir = {}, device_slots = 8{more} }}", quoted(&world.data_dir()))
}

#[test]
fn a_data_folder_that_cannot_be_made_is_told() {
    let world = World::new();
    std::fs::write(world.path("file"), "").unwrap();
    let below = world.path("file/data");
    world.write(&world.config().with("provider.local", format!("{{ data_dir = {} }}", quoted(&below))));
    let output = world.terraform(&["plan"]).failed_with(&[below.to_str().unwrap(), "Not a directory"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_told() {
    let mut world = World::new();
    let read_only = world.path("ro");
    if !world.mount(&read_only, "ro") {
        eprintln!("skipped: file systems cannot be mounted here");
        return;
    }
    world.write(
        &world
            .config()
            .with("provider.local", format!("{{ data_dir = {} }}", quoted(&read_only.join("data")))),
    );
    let output =
        world.terraform(&["plan"]).failed_with(&[read_only.to_str().unwrap(), "Read-only file system"]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
}

#[test]
fn a_socket_of_somebody_else_is_not_talked_to() {
    let world = World::new();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a socket away");
        return;
    }
    let socket = world.path("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::os::unix::fs::chown(&socket, Some(65534), Some(65534)).unwrap();
    world.write(
        &world.config().with("provider.local", local(&world, &format!(", socket = {}", quoted(&socket)))),
    );
    let output = world.terraform(&["plan"]).failed_with(&[
        socket.to_str().unwrap(),
        "belongs to user 65534",
        "Remove it or choose another place",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert!(listener.accept().is_err(), "nobody connected");
}

#[test]
fn without_an_agent_and_without_autostart_the_error_says_how_to_start_one() {
    let world = World::new();
    world.write(&world.config().with("provider.local", local(&world, ", autostart = false")));
    let output = world.terraform(&["plan"]).failed_with(&[
        "no agent listens on",
        "terraform-provider-sluice agent run",
        "autostart = true",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
}

#[test]
fn a_state_survives_an_agent_that_cannot_be_reached() {
    let (world, config) = World::applied(|config| config);
    let state = world.state();
    world.write(&config.clone().with("provider.local", local(&world, ", autostart = false")));
    processes::kill(world.agent_pid());
    let output = world.terraform(&["plan"]).failed_with(&["no agent listens on"]);
    assert!(output.errors() <= 2, "{}", output.stderr);
    world.terraform(&["apply", "-auto-approve"]).failed_with(&["no agent listens on"]);
    assert_eq!(world.state(), state);
    world.write(&config);
    world.plans_nothing();
}

#[test]
fn ledgers_that_cannot_be_opened_are_told() {
    let world = World::new();
    std::fs::write(world.path("file"), "").unwrap();
    let below = format!("\"file://{}\"", world.path("file/ledger").display());
    for (url, expected) in [
        ("\"ftp://bucket/sluice\"", "a ledger is at file:///path/to/folder, s3://bucket/folder"),
        ("\"ledger\"", "a ledger is at file:///path/to/folder, s3://bucket/folder"),
        ("\"s3://key@bucket/sluice\"", "name the bucket"),
        ("\"file://ledger\"", "the path must be absolute"),
        (below.as_str(), "Not a directory"),
    ] {
        world.write(&world.config().with("provider.ledger", url));
        let output = world.terraform(&["plan"]).failed_with(&["The ledger cannot be opened", expected]);
        assert_eq!(output.errors(), 1, "{url}: {}", output.stderr);
    }
}

#[test]
fn a_full_disk_records_nothing_and_the_prior_version_goes_on_serving() {
    let mut world = World::new();
    let disk = world.path("disk");
    if !world.mount(&disk, "size=256k") {
        eprintln!("skipped: file systems cannot be mounted here");
        return;
    }
    let url = format!("\"file://{}\"", disk.join("ledger").display());
    let config = world.config().with("provider.ledger", url);
    world.write(&config);
    world.apply();
    let (state, pids) = (world.state(), world.replica_pids());
    let filler = fill(&disk);
    world.write(&config.model(&models().technical));
    let output = world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "The version was not recorded",
        "nothing was recorded",
        "No space left on device",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert!(!disk.join("ledger/local/chat/versions/000001.json").exists());
    assert_eq!(world.state().resources(), state.resources());
    assert_eq!(world.replica_pids(), pids);
    assert_eq!(world.answering_model("chat"), "plain");
    std::fs::remove_file(filler).unwrap();
    world.apply();
    assert_eq!(world.answering_model("chat"), "technical");
    world.plans_nothing();
}

#[test]
fn a_rollout_that_cannot_be_recorded_is_not_begun() {
    let mut world = World::new();
    let disk = world.path("disk");
    if !world.mount(&disk, "size=256k") {
        eprintln!("skipped: file systems cannot be mounted here");
        return;
    }
    let config =
        world.config().with("provider.ledger", format!("\"file://{}\"", disk.join("ledger").display()));
    world.write(&config);
    world.apply();
    let config = config.model(&models().technical);
    world.write(&config);
    world.apply();
    let pids = world.replica_pids();
    let filler = fill(&disk);
    world.write(&config.clone().with("endpoint.version", 0));
    let output = world.terraform(&["apply", "-auto-approve"]).failed_with(&[
        "Endpoint `chat` was not updated to v0",
        "nothing was recorded",
        "No space left on device",
        "v1 still serves with 2 ready replicas",
    ]);
    assert_eq!(output.errors(), 1, "{}", output.stderr);
    assert_eq!(world.replica_pids(), pids);
    assert_eq!((&world.chat()["version"], &world.chat()["live_version"]), (&1.into(), &1.into()));
    std::fs::remove_file(filler).unwrap();
    world.apply();
    assert_eq!(world.answering_model("chat"), "plain");
    world.plans_nothing();
}

/// Leaves no room on a disk.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut filler = std::fs::File::create(&path).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    path
}
