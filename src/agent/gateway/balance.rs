//! Which replica gets the next request: a version by weight, then the least loaded replica of it.
//!
//! Versions take turns by smooth weighted round robin: over any run of as many requests as the weights add up to,
//! each version gets exactly its weight, and heavy versions do not get theirs in one go.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::replica::Replica;

#[derive(Debug, Default)]
pub(super) struct Balancer {
    versions: Vec<Turn>,
}

/// One version's place in the round.
#[derive(Debug)]
struct Turn {
    version: u32,
    weight: i64,
    /// Grows by the weight at each request, falls by the sum of all weights when chosen.
    credit: i64,
    replicas: Vec<Arc<Replica>>,
    /// Where the search for the least loaded replica starts, so that equals take turns.
    next: usize,
}

impl Balancer {
    pub(super) fn replicas(&self) -> impl Iterator<Item = &Arc<Replica>> {
        self.versions.iter().flat_map(|turn| &turn.replicas)
    }

    /// Takes new replicas. The round goes on where it was if neither versions nor weights changed, and starts anew
    /// otherwise: credit earned under old weights would let one version have many requests in a row.
    pub(super) fn replace(&mut self, weights: Option<&BTreeMap<u32, u32>>, replicas: Vec<Arc<Replica>>) {
        let mut by_version: BTreeMap<u32, Vec<Arc<Replica>>> = BTreeMap::new();
        for replica in replicas {
            by_version.entry(replica.version).or_default().push(replica);
        }
        let mut versions: Vec<Turn> = by_version
            .into_iter()
            .map(|(version, replicas)| {
                let weight = match weights {
                    Some(weights) => weights.get(&version).copied().unwrap_or(0).into(),
                    None => i64::try_from(replicas.len()).unwrap_or(i64::MAX),
                };
                Turn { version, weight, credit: 0, replicas, next: 0 }
            })
            .collect();
        let same_round = versions.len() == self.versions.len()
            && versions
                .iter()
                .zip(&self.versions)
                .all(|(new, old)| new.version == old.version && new.weight == old.weight);
        if same_round {
            for (new, old) in versions.iter_mut().zip(&self.versions) {
                (new.credit, new.next) = (old.credit, old.next);
            }
        }
        self.versions = versions;
    }

    /// The replica for the next request.
    pub(super) fn choose(&mut self, now: Instant) -> Option<Arc<Replica>> {
        let mut total = 0;
        for turn in self.versions.iter_mut().filter(|turn| turn.weight > 0) {
            turn.credit += turn.weight;
            total += turn.weight;
        }
        // `max_by_key` takes the last of equals; reversed, the lowest version.
        let turn =
            self.versions.iter_mut().rev().filter(|turn| turn.weight > 0).max_by_key(|turn| turn.credit)?;
        turn.credit -= total;
        turn.least_loaded(&[], now)
    }

    /// Another replica for a request that `tried` could not take: of the same version if there is one, so that the
    /// split holds, else of any version that may get requests.
    pub(super) fn choose_again(&mut self, tried: &[Arc<Replica>], now: Instant) -> Option<Arc<Replica>> {
        let version = tried.last().map(|replica| replica.version);
        let may = |turn: &&mut Turn| turn.weight > 0;
        let same = self.versions.iter_mut().filter(may).find(|turn| Some(turn.version) == version);
        if let Some(replica) = same.and_then(|turn| turn.least_loaded(tried, now)) {
            return Some(replica);
        }
        self.versions.iter_mut().filter(may).find_map(|turn| turn.least_loaded(tried, now))
    }
}

impl Turn {
    fn least_loaded(&mut self, tried: &[Arc<Replica>], now: Instant) -> Option<Arc<Replica>> {
        let (last, first) = self.replicas.split_at_checked(self.next).unwrap_or((&[], &self.replicas));
        // `min_by_key` takes the first of equals: the one after the last chosen.
        let chosen = first
            .iter()
            .chain(last)
            .filter(|replica| !tried.iter().any(|other| Arc::ptr_eq(other, replica)))
            .min_by_key(|replica| (replica.is_suspect(now), replica.in_flight()))?
            .clone();
        let at = self.replicas.iter().position(|replica| Arc::ptr_eq(replica, &chosen)).unwrap_or(0);
        self.next = (at + 1) % self.replicas.len().max(1);
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::VersionMetrics;
    use super::super::replica::InFlight;
    use super::super::table::RoutedReplica;
    use super::*;

    fn replica(id: &str, version: u32) -> Arc<Replica> {
        let routed = RoutedReplica { id: id.into(), version, address: ([127, 0, 0, 1], 1).into() };
        Arc::new(Replica::new(&routed, Arc::new(VersionMetrics::default())))
    }

    fn balancer(weights: Option<&[(u32, u32)]>, replicas: &[Arc<Replica>]) -> Balancer {
        let weights = weights.map(|weights| weights.iter().copied().collect());
        let mut balancer = Balancer::default();
        balancer.replace(weights.as_ref(), replicas.to_vec());
        balancer
    }

    fn versions(balancer: &mut Balancer, count: usize) -> Vec<u32> {
        (0..count).map(|_| balancer.choose(Instant::now()).unwrap().version).collect()
    }

    #[tokio::test]
    async fn every_round_gives_each_version_exactly_its_weight_without_bursts() {
        let replicas = [replica("a", 1), replica("b", 2), replica("c", 3)];
        let mut balancer = balancer(Some(&[(1, 5), (2, 1), (3, 1)]), &replicas);
        assert_eq!(versions(&mut balancer, 7), [1, 1, 2, 1, 3, 1, 1]);
        assert_eq!(versions(&mut balancer, 7), [1, 1, 2, 1, 3, 1, 1]);
    }

    #[tokio::test]
    async fn without_weights_each_replica_has_an_equal_share() {
        let replicas = [replica("a", 1), replica("b", 1), replica("c", 2)];
        let mut balancer = balancer(None, &replicas);
        let mut ids: Vec<_> = (0..9).map(|_| balancer.choose(Instant::now()).unwrap().id.clone()).collect();
        ids.sort();
        assert_eq!(ids, ["a", "a", "a", "b", "b", "b", "c", "c", "c"]);
    }

    #[tokio::test]
    async fn a_version_without_replicas_or_with_weight_zero_gets_nothing() {
        let replicas = [replica("a", 1), replica("b", 2)];
        let mut balancer = balancer(Some(&[(1, 0), (2, 3), (9, 100)]), &replicas);
        assert_eq!(versions(&mut balancer, 4), [2, 2, 2, 2]);
        balancer.replace(Some(&BTreeMap::from([(9, 100)])), replicas.to_vec());
        assert!(balancer.choose(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn the_least_loaded_replica_is_chosen_and_a_suspect_one_passed_over() {
        let replicas = [replica("a", 1), replica("b", 1), replica("c", 1)];
        let mut balancer = balancer(None, &replicas);
        let _held = [InFlight::begin(replicas[0].clone()), InFlight::begin(replicas[1].clone())];
        assert_eq!(balancer.choose(Instant::now()).unwrap().id, "c");
        assert_eq!(balancer.choose(Instant::now()).unwrap().id, "c");
        replicas[2].suspect(Instant::now());
        assert_ne!(balancer.choose(Instant::now()).unwrap().id, "c");
        replicas[2].trust();
        assert_eq!(balancer.choose(Instant::now()).unwrap().id, "c");
    }

    #[tokio::test]
    async fn a_second_choice_stays_in_the_version_while_it_can_and_never_repeats() {
        let replicas = [replica("a", 1), replica("b", 1), replica("c", 2)];
        let mut balancer = balancer(None, &replicas);
        let now = Instant::now();
        let mut tried = vec![replicas[0].clone()];
        for expected in ["b", "c"] {
            let next = balancer.choose_again(&tried, now).unwrap();
            assert_eq!(next.id, expected);
            tried.push(next);
        }
        assert!(balancer.choose_again(&tried, now).is_none());
    }

    #[tokio::test]
    async fn a_round_goes_on_over_a_table_with_the_same_weights_and_restarts_with_new_ones() {
        let replicas = [replica("a", 1), replica("b", 2)];
        let weights = BTreeMap::from([(1, 3), (2, 1)]);
        let mut balancer = balancer(Some(&[(1, 3), (2, 1)]), &replicas);
        let mut seen = versions(&mut balancer, 2);
        balancer.replace(Some(&weights), replicas.to_vec());
        seen.extend(versions(&mut balancer, 2));
        assert_eq!(seen, [1, 1, 2, 1]);
        versions(&mut balancer, 1);
        balancer.replace(Some(&BTreeMap::from([(1, 1), (2, 1)])), replicas.to_vec());
        assert_eq!(versions(&mut balancer, 4), [1, 2, 1, 2]);
    }
}
