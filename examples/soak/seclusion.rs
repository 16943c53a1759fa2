//! A network, process ids and mounts of its own, where the system allows it: the ports that the soak takes are nobody
//! else's, no packet leaves the machine, and whatever happens, no process outlives the run.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Says that this process already is on its own.
const SECLUDED: &str = "SOAK_SECLUDED";
/// The first process there reaps what others leave; so it must not be the soak itself.
const FIRST: &str = "ip link set lo up || exit 2; \"$@\"; exit $?";

/// Goes on in a namespace of its own; stays where it is if that is not possible.
pub fn enter() {
    if std::env::var_os(SECLUDED).is_some() {
        return;
    }
    let as_root = rustix::process::geteuid().is_root();
    let more: &[&str] = if as_root { &[] } else { &["--user", "--map-root-user"] };
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]).args(more);
        command.args(["sh", "-c", FIRST, "sh"]);
        command
    };
    let mut trial = unshare();
    trial.arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !trial.status().is_ok_and(|status| status.success()) {
        println!("soak: no namespaces here; it stays among the other processes of the machine");
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let error = unshare().arg(own).args(std::env::args_os().skip(1)).env(SECLUDED, "1").exec();
    println!("soak: cannot go on in namespaces of its own: {error}");
}
