//! Old versions are not kept startable for ever.

use std::collections::BTreeSet;

use super::run::Run;
use crate::cloud::ObservedEndpoint;
use crate::rollout::Phase;
use crate::spec::VersionNumber;

/// Versions that are retired after one rollout: those beyond were retired after earlier ones.
const RETIRED_MAX: usize = 10;

impl Run<'_> {
    /// After a success the cloud may forget the versions beyond the policy's limit. Best effort: what fails now is tried
    /// again after the next rollout, and the ledger keeps every snapshot.
    pub(super) async fn retire_old(&self, observed: &ObservedEndpoint) {
        let record = &self.opened.record;
        if record.phase != Phase::Succeeded {
            return;
        }
        let (cloud, endpoint) = (&self.engine.cloud, &self.target.endpoint);
        let Ok(numbers) = self.engine.ledger.version_numbers(cloud.name(), endpoint).await else { return };
        let mut kept: BTreeSet<VersionNumber> =
            observed.fleet.replicas.iter().map(|replica| replica.version).collect();
        kept.insert(record.to.version);
        kept.extend(record.from.map(|from| from.version));
        for number in retired(&numbers, &kept, record.to.version, record.policy.history_limit) {
            if let Err(error) = cloud.retire_version(endpoint, number).await
                && error.retry != crate::cloud::Retry::Never
            {
                return;
            }
        }
    }
}

/// The newest of those beyond the limit, newest first. What was minted after the version that serves is not old.
fn retired(
    numbers: &[VersionNumber],
    kept: &BTreeSet<VersionNumber>,
    serves: VersionNumber,
    limit: u32,
) -> Vec<VersionNumber> {
    let mut newest_first: Vec<_> = numbers.iter().copied().filter(|number| *number <= serves).collect();
    newest_first.sort();
    newest_first.reverse();
    let beyond = newest_first.into_iter().skip(usize::try_from(limit).unwrap_or(usize::MAX));
    beyond.filter(|number| !kept.contains(number)).take(RETIRED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_beyond_the_limit_go_unless_they_serve_or_served_last() {
        let numbers: Vec<_> = (0..20).map(VersionNumber).collect();
        let kept = BTreeSet::from([VersionNumber(19), VersionNumber(15), VersionNumber(3)]);
        let retired = |limit| -> Vec<u32> {
            retired(&numbers, &kept, VersionNumber(19), limit).into_iter().map(|number| number.0).collect()
        };
        assert_eq!(retired(15), [4, 2, 1, 0]);
        assert_eq!(retired(2), [17, 16, 14, 13, 12, 11, 10, 9, 8, 7], "a few at a time");
        assert_eq!(retired(20), [] as [u32; 0]);
    }
}
