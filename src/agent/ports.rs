//! Ports for replicas: free ones on the loopback address.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};

/// Candidates lie below the range from which systems take the local end of outgoing connections, so that no
/// connection can snatch a port between its choice and the moment when the replica listens on it.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
const CANDIDATES: u16 = LAST - FIRST + 1;

/// Addresses by which 127.0.0.1 is reached, as the system writes them: itself, any, and both of them in IPv6.
const LOOPBACK_OR_ANY: [&str; 4] =
    ["0100007F", "00000000", "00000000000000000000000000000000", "0000000000000000FFFF00000100007F"];

/// Chooses a port that nobody listens on and that is not `taken`. Starts looking at a place that `seed` determines, so
/// that two agents on one machine seldom look at the same ports.
pub fn choose(taken: &BTreeSet<u16>, seed: u64) -> Option<u16> {
    let start = FIRST + u16::try_from(seed % u64::from(CANDIDATES)).unwrap_or_default();
    (start..=LAST).chain(FIRST..start).find(|port| !taken.contains(port) && is_free(*port))
}

/// Nobody listens on the port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether a process of another user, who is not root, listens on the port.
///
/// A replica may take minutes to listen, and whoever can see its command line knows where it will. Where the system does
/// not tell, the answer is no.
pub fn is_foreign(port: u16) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let told = |table| listened_by_others(BufReader::new(File::open(table).ok()?), port, own);
    // Whoever listens in IPv4 gets what is sent to 127.0.0.1. The second table is read only where nobody does: finding
    // its end takes the system a walk through all connections that there are.
    told("/proc/net/tcp").or_else(|| told("/proc/net/tcp6")).unwrap_or(false)
}

/// Whether others listen on the port; nothing if nobody does. Reads lines such as
/// `0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 …`.
///
/// Listeners come first. What follows them can be tens of thousands of connections, also ended ones, and is not read.
fn listened_by_others(table: impl BufRead, port: u16, own: u32) -> Option<bool> {
    const LISTENS: &str = "0A";
    let place = format!(":{port:04X}");
    let mut found = None;
    // A head, and then a line for each.
    for line in table.lines().map_while(Result::ok).skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
        let [_, local, _, state, _, _, _, user] = fields.as_slice() else { break };
        if *state != LISTENS {
            break;
        }
        if local.strip_suffix(&place).is_some_and(|address| LOOPBACK_OR_ANY.contains(&address)) {
            let is_foreign = user.parse() != Ok(own) && user.parse() != Ok(0);
            found = Some(found.unwrap_or(false) || is_foreign);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_another_user_is_told_from_our_own() {
        let line = |local: &str, state: &str, user: u32| {
            format!(
                "  0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {user}  0 1 1\n"
            )
        };
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";
        for (local, state, user, by_others) in [
            ("0100007F:4E20", "0A", 1001, Some(true)),
            ("00000000:4E20", "0A", 1001, Some(true)),
            ("00000000000000000000000000000000:4E20", "0A", 1001, Some(true)),
            ("0100007F:4E20", "0A", 1000, Some(false)),
            ("0100007F:4E20", "0A", 0, Some(false)),
            ("0100007F:4E20", "01", 1001, None),
            ("0100007F:4E21", "0A", 1001, None),
            ("0A00000A:4E20", "0A", 1001, None),
        ] {
            let table = head.to_owned() + &line("0100007F:0016", "0A", 0) + &line(local, state, user);
            assert_eq!(listened_by_others(table.as_bytes(), 20_000, 1000), by_others, "{table}");
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_foreign(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn a_port_that_is_taken_or_listened_on_is_not_chosen() {
        let first = choose(&BTreeSet::new(), 77).unwrap();
        let second = choose(&BTreeSet::from([first]), 77).unwrap();
        assert_ne!(first, second);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, second)).unwrap();
        assert!(!is_free(second));
        assert_ne!(choose(&BTreeSet::from([first]), 77), Some(second));
    }
}
