//! Which process drives, and whether another one still lives.

use crate::ledger::Holder;

/// This process as a holder of leases.
pub fn this_process() -> Holder {
    let pid = std::process::id();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| format!("uid-{}", rustix::process::getuid().as_raw()));
    Holder {
        name: format!("{user}@{host}"),
        machine: machine_id().unwrap_or(host),
        pid,
        started: started(pid).unwrap_or(0),
    }
}

/// The process is known to be gone. Of a process on another machine nothing is known.
pub(super) fn is_dead(holder: &Holder, me: &Holder) -> bool {
    holder.machine == me.machine && started(holder.pid) != Some(holder.started)
}

/// The kernel's id of this boot: a process of an earlier boot is of another machine, and dead by its lease.
fn machine_id() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}

/// Start time of a process in ticks since boot: with the id it names a process for good.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_known_to_be_dead() {
        let me = this_process();
        assert!(me.started > 0);
        assert!(!is_dead(&me, &me));
        let reused = Holder { started: me.started + 1, ..me.clone() };
        assert!(is_dead(&reused, &me));
        let elsewhere = Holder { machine: "other".into(), ..reused };
        assert!(!is_dead(&elsewhere, &me));
    }
}
