//! Ports for replicas: free ones on the loopback address.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

/// Candidates lie below the range from which systems take the local end of outgoing connections, so that no
/// connection can snatch a port between its choice and the moment when the replica listens on it.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
const CANDIDATES: u16 = LAST - FIRST + 1;

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

#[cfg(test)]
mod tests {
    use super::*;

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
