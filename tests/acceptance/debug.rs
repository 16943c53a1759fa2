//! A provider that a developer started, for example in a debugger, and to which Terraform attaches.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::processes;
use super::programs::PROVIDER;
use super::world::World;

#[test]
fn terraform_attaches_to_a_provider_that_runs_already() {
    let world = World::new();
    world.write(&world.config());
    let mut command = Command::new(PROVIDER);
    command.arg("--debug").env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", world.path("home")).env("TMPDIR", world.path("tmp"));
    let mut provider = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(provider.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let attach = line.trim().strip_prefix("TF_REATTACH_PROVIDERS='").and_then(|rest| rest.strip_suffix('\''));
    let environment = [("TF_REATTACH_PROVIDERS", attach.unwrap_or_else(|| panic!("{line}")))];
    for arguments in [&["apply", "-auto-approve"][..], &["plan", "-detailed-exitcode"]] {
        world.start_terraform_with(arguments, &environment).wait().succeeded();
    }
    assert_eq!(world.answering_model("chat"), "plain");
    assert!(processes::is_alive(provider.id()), "it ended with Terraform");
    processes::interrupt(provider.id());
    assert_eq!(provider.wait().unwrap().code(), Some(0));
}
