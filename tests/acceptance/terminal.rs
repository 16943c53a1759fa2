//! The command line on a terminal: colours, and tables that fit. Elsewhere: neither, or JSON.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use super::programs::{PROVIDER, models};
use super::world::World;

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const BOLD: &str = "\u{1b}[1m";

fn command(world: &World, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROVIDER);
    command.args(arguments).arg("--data-dir").arg(world.data_dir()).env_remove("NO_COLOR");
    command.env("TERM", "xterm").envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// What the command writes to a terminal of this width.
fn on_terminal(world: &World, columns: u16, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty()).unwrap();
    let mut child = command(world, arguments, environment).stdout(terminal).spawn().unwrap();
    let mut text = Vec::new();
    match std::fs::File::from(master).read_to_end(&mut text) {
        // What a terminal says whose other side is gone.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        other => drop(other.unwrap()),
    }
    assert!(child.wait().unwrap().success(), "{arguments:?}");
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

/// What the command writes to a pipe.
fn piped(world: &World, arguments: &[&str]) -> String {
    let output = command(world, arguments, &[]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn with_history() -> World {
    let (world, config) = World::applied(|config| config.with("version.comment", "\"plain words\""));
    world.write(&config.model(&models().technical).with("version.comment", "\"technical words\""));
    world.apply();
    world
}

#[test]
fn history_diff_and_status_are_coloured_tables_on_a_terminal() {
    let world = with_history();
    let history = on_terminal(&world, 200, &["history", "chat"], &[]);
    assert!(history.starts_with(&format!("{BOLD}VERSION")), "{history:?}");
    assert!(
        history.contains(&format!("{GREEN}v1")) && history.contains(&format!("{GREEN}live")),
        "{history:?}"
    );
    assert!(history.contains("technical words") && history.contains("plain words"), "{history:?}");

    let diff = on_terminal(&world, 400, &["diff", "chat", "v0", "v1"], &[]);
    assert!(diff.contains(&format!("{RED}{:?}", models().plain.display().to_string())[..20]), "{diff:?}");
    assert!(diff.contains("technical.bin") && diff.contains(GREEN), "{diff:?}");

    let status = on_terminal(&world, 120, &["status"], &[]);
    assert!(
        status.contains(&format!("{BOLD}chat")) && status.contains(&format!("{GREEN}2 of 2 ready")),
        "{status:?}"
    );
    assert!(
        status.contains(&format!("{GREEN}available")) || status.contains(&format!("{GREEN}ready")),
        "{status:?}"
    );

    let narrow = on_terminal(&world, 60, &["history", "chat", "--color", "never"], &[]);
    assert!(narrow.lines().all(|line| line.chars().count() <= 60) && narrow.contains('…'), "{narrow}");
}

#[test]
fn colours_can_be_refused_and_asked_for() {
    let world = with_history();
    for (arguments, environment, coloured) in [
        (&["history", "chat"][..], &[][..], true),
        (&["history", "chat"], &[("NO_COLOR", "1")], false),
        // An empty variable says nothing.
        (&["history", "chat"], &[("NO_COLOR", "")], true),
        (&["history", "chat"], &[("TERM", "dumb")], false),
        (&["history", "chat", "--color", "never"], &[], false),
        (&["history", "chat", "--color", "always"], &[("NO_COLOR", "1")], true),
    ] {
        let shown = on_terminal(&world, 100, arguments, environment);
        assert_eq!(shown.contains('\u{1b}'), coloured, "{arguments:?} {environment:?}: {shown:?}");
    }
    assert!(piped(&world, &["history", "chat", "--color", "always"]).contains(GREEN));
}

#[test]
fn what_is_piped_has_no_colours_and_json_is_for_machines() {
    let world = with_history();
    for arguments in [&["history", "chat"][..], &["diff", "chat", "v0", "v1"], &["status", "chat"]] {
        let text = piped(&world, arguments);
        assert!(!text.contains('\u{1b}') && text.lines().count() >= 2, "{text:?}");
    }
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&piped(&world, arguments)).unwrap() };
    let history = json(&["history", "chat", "--json"]);
    assert_eq!((&history[0]["number"], &history[0]["state"]), (&1.into(), &"live".into()));
    assert_eq!(json(&["status", "chat", "--json"])[0]["name"], "chat");
    let diff = json(&["diff", "chat", "v0", "v1", "--json"]);
    assert!(diff.as_array().unwrap().iter().any(|change| change["path"] == "model.source"), "{diff}");
    // Not even when colours are asked for, on a terminal.
    let shown = on_terminal(&world, 80, &["status", "--json", "--color", "always"], &[]);
    assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{shown:?}");
}
