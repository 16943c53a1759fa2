//! Device slots: which are free, and which a replica gets. Pure.

use std::collections::BTreeSet;

/// Chooses `count` of the slots `0..total` that nobody holds, lowest first; otherwise says why not.
pub fn choose(total: u32, held: &BTreeSet<u32>, count: u32) -> Result<Vec<u32>, String> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let free: Vec<u32> = (0..total).filter(|slot| !held.contains(slot)).take(wanted).collect();
    if free.len() == wanted {
        return Ok(free);
    }
    if count > total {
        return Err(format!("{count} device slots are asked for, the agent has {total}"));
    }
    let held = held.iter().filter(|slot| **slot < total).count();
    Err(match count {
        1 => format!("no free device slot: {held} of {total} are held"),
        _ => format!("not enough free device slots for {count}: {held} of {total} are held"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(total: u32, held: &[u32], count: u32, expect: Result<&[u32], &str>) {
        let chosen = choose(total, &held.iter().copied().collect(), count);
        assert_eq!(chosen.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn the_lowest_free_slots_are_chosen() {
        check(4, &[], 2, Ok(&[0, 1]));
        check(4, &[0, 2], 2, Ok(&[1, 3]));
        check(4, &[0, 1, 2, 3], 0, Ok(&[]));
    }

    #[test]
    fn a_refusal_tells_how_many_are_held() {
        check(8, &[0, 1, 2, 3, 4, 5, 6, 7], 1, Err("no free device slot: 8 of 8 are held"));
        check(4, &[0, 1, 2], 2, Err("not enough free device slots for 2: 3 of 4 are held"));
        check(4, &[], 5, Err("5 device slots are asked for, the agent has 4"));
    }

    #[test]
    fn slots_held_beyond_a_smaller_total_are_not_counted() {
        check(2, &[5, 6], 2, Ok(&[0, 1]));
    }
}
