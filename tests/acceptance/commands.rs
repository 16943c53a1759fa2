//! A word to a rollout from another terminal: pause, resume, abort; and what the journal proves afterwards.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::patience::{eventually, within};
use super::programs::{PROVIDER, models};
use super::terraform::Running;
use super::watch::LimitsWatcher;
use super::world::World;
use sluice::ledger::Entry;
use sluice::rollout::Phase;
use sluice::spec::{CloudName, EndpointName};

/// Longest time for an apply to end after a word.
const DEADLINE: Duration = Duration::from_mins(1);

/// Runs the command line, on the world's cloud and ledger.
pub fn say(world: &World, arguments: &[&str]) -> Output {
    Command::new(PROVIDER).args(arguments).arg("--data-dir").arg(world.data_dir()).output().unwrap()
}

/// What the command line prints when it succeeds.
#[track_caller]
pub fn said(world: &World, arguments: &[&str]) -> String {
    let output = say(world, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Where the newest rollout of `chat` stands.
pub fn phase(world: &World) -> Option<Phase> {
    journal(world).last().map(|entry| entry.record.phase)
}

/// The journal of the newest rollout of `chat`.
pub fn journal(world: &World) -> Vec<Entry> {
    let chat = EndpointName::new("chat").unwrap();
    let engine = world.engine();
    world.block_on(async {
        let current = engine.ledger.current_rollout(CloudName::Local, &chat).await.unwrap();
        let Some((journal, _)) = current else { return Vec::new() };
        journal.entries().await.unwrap().into_iter().map(|(entry, _)| entry).collect()
    })
}

/// An update in batches of one, under way, that waits for a word after the first batch.
fn waiting_for_a_word() -> (World, LimitsWatcher, Running) {
    let (world, config) = World::applied(|config| {
        config.replicas(3).with("policy.batch", "{ size = 1, bake = \"200ms\", pause = \"first\" }")
    });
    world.write(&config.model(&models().technical));
    let watcher = LimitsWatcher::start(&world, "chat", 4, 3);
    let apply = world.start_terraform(&["apply", "-auto-approve"]);
    eventually("the rollout waits after its first batch", || phase(&world) == Some(Phase::Paused));
    (world, watcher, apply)
}

#[test]
fn a_rollout_that_waits_after_its_first_batch_goes_on_when_told_to() {
    let (world, watcher, apply) = waiting_for_a_word();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (3, 1));
    assert!(said(&world, &["resume", "chat"]).contains("told rollout r2 of chat"));
    apply.wait_for(DEADLINE).succeeded();
    watcher.kept();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (0, 3));
    world.plans_nothing();
    assert!(said(&world, &["verify", "chat"]).contains("every limit was kept"));
    let watched = said(&world, &["watch", "chat"]);
    assert!(watched.contains("paused") && watched.contains("resumed by"), "{watched}");
}

/// A terminal of 60 columns: its screen for a program, and a reader of what is drawn there.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    tcsetwinsize(&theirs, size).unwrap();
    (theirs, ours.into())
}

#[test]
fn a_watcher_on_a_terminal_sees_bars_that_move_and_one_elsewhere_reads_lines_or_json() {
    let (world, _, apply) = waiting_for_a_word();
    let (theirs, mut ours) = terminal();
    let mut watch = Command::new(PROVIDER);
    watch.args(["watch", "chat", "--data-dir"]).arg(world.data_dir()).stdout(theirs);
    let mut watcher = watch.spawn().unwrap();
    drop(watch);
    let reader = std::thread::spawn(move || {
        let (mut drawn, mut buffer) = (Vec::new(), [0; 4096]);
        // The terminal's other end is closed when the program has ended; reading fails then.
        while let Ok(count @ 1..) = ours.read(&mut buffer) {
            drawn.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&drawn).into_owned()
    });
    said(&world, &["resume", "chat"]);
    apply.wait_for(DEADLINE).succeeded();
    let ended = within(DEADLINE, "the watcher ends", || watcher.try_wait().unwrap());
    let drawn = reader.join().unwrap();
    assert!(ended.success(), "{drawn}");
    let bars = |ready: u32| format!("{ready}/3");
    assert!(drawn.contains("\x1b[2K") && drawn.contains('█') && drawn.contains('░'), "{drawn}");
    assert!(drawn.contains(&bars(1)) && drawn.contains(&bars(3)), "{drawn}");
    assert!(drawn.contains("A\x1b[2K"), "it draws over what it drew: {drawn}");
    assert!(drawn.contains("rollout r2 ended: succeeded"), "{drawn}");
    let widths = drawn.split("\r\n").map(|line| line.rsplit("\x1b[2K").next().unwrap_or("").chars().count());
    assert!(widths.max().unwrap() <= 60, "{drawn}");

    let plain = said(&world, &["watch", "chat"]);
    assert!(!plain.contains('\x1b'), "{plain}");
    let lines = said(&world, &["watch", "chat", "--json"]);
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["kind"], &last["rollout"]["status"]), (&"ended".into(), &"succeeded".into()));
}

#[test]
fn a_rollout_that_is_aborted_goes_back_and_the_apply_says_who_did_it() {
    let (world, watcher, apply) = waiting_for_a_word();
    said(&world, &["abort", "chat"]);
    apply.wait_for(DEADLINE).failed_with(&[
        "rolled back",
        "Aborted by",
        "v0 still serves with 3 ready replicas",
    ]);
    watcher.kept();
    assert_eq!((world.ready_of(0), world.ready_of(1)), (3, 0));
    assert_eq!(world.chat()["version"], 0);
    let watched = say(&world, &["watch", "chat"]);
    assert!(!watched.status.success(), "a rollout that did not succeed is a failure for its watcher");
    let idle = say(&world, &["pause", "chat"]);
    assert_eq!(idle.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&idle.stderr).contains("no rollout of endpoint `chat` is under way"));
}

#[test]
fn whoever_mistypes_a_name_reads_where_was_looked_and_what_is_there() {
    let (world, _) = World::applied(|config| config.replicas(1));
    let ledger = format!("in the ledger at file://{}/ledger", world.data_dir().display());
    for (arguments, told) in [
        (
            ["watch", "caht"].as_slice(),
            format!("endpoint `caht` has no rollout {ledger}; of the local cloud it has chat"),
        ),
        (
            &["history", "caht"],
            format!("endpoint `caht` has no versions {ledger}; of the local cloud it has chat"),
        ),
        (
            &["pause", "caht"],
            format!("no rollout of endpoint `caht` is under way {ledger}; of the local cloud it has chat"),
        ),
        (&["verify", "chat", "r9"], format!("endpoint `chat` has no rollout r9 {ledger}\n")),
        (
            &["watch", "chat", "--cloud", "eas"],
            format!("no rollout {ledger}; it has no endpoint of the eas cloud"),
        ),
    ] {
        let output = say(&world, arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(&told), "{errors}");
    }
    assert!(said(&world, &["watch", "chat"]).contains("v0 alone serves with 1 replica\n"));
}

#[test]
fn a_journal_that_was_tampered_with_proves_nothing() {
    let (world, _) = World::applied(|config| config.replicas(1));
    assert!(said(&world, &["verify", "chat", "r1"]).contains("the chain is whole"));
    let folder = world.data_dir().join("ledger/local/chat/rollouts/000001");
    let entry = folder.join("000001.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    std::fs::write(&entry, text.replace("\"count\": 1", "\"count\": 2")).unwrap();
    let verdict = say(&world, &["verify", "chat", "r1"]);
    assert_eq!(verdict.status.code(), Some(1));
    let findings = String::from_utf8_lossy(&verdict.stderr).into_owned();
    assert!(findings.contains("entry 2: the entry before it was changed"), "{findings}");
    assert!(findings.contains("entry 1: made again from the same grounds"), "{findings}");
}
