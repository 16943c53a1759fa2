//! What a gateway counted of each version's requests.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::VersionNumber;

/// What was counted of an endpoint's requests, by version, since the gateway began to count.
pub type Figures = BTreeMap<VersionNumber, VersionFigures>;

/// What was counted of one version's requests. Counters only grow; a gateway that starts anew begins at nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionFigures {
    /// Requests that were given to its replicas and came to an end or to a response.
    pub requests: u64,
    /// Those that failed: the replica could not be reached or did not answer, it answered with 5xx, or its response
    /// broke off.
    pub failures: u64,
    /// Times from a request's arrival to the head of its response: how many were at or below each bound in
    /// milliseconds, and above the bound before it. The last entry has no bound.
    pub first_byte: Vec<Bucket>,
}

/// How many times fell between the bound before and this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Upper bound in milliseconds; nothing for the last bucket.
    pub up_to_ms: Option<u64>,
    /// How many.
    pub count: u64,
}

impl VersionFigures {
    /// What was counted since an earlier look. A counter that is lower than it was began anew in between.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        if self.requests < earlier.requests || self.failures < earlier.failures {
            return self.clone();
        }
        let before = |bucket: &Bucket| {
            let same = earlier.first_byte.iter().find(|other| other.up_to_ms == bucket.up_to_ms);
            same.map_or(0, |other| other.count)
        };
        let buckets = self
            .first_byte
            .iter()
            .map(|bucket| Bucket { count: bucket.count.saturating_sub(before(bucket)), ..*bucket });
        Self {
            requests: self.requests - earlier.requests,
            failures: self.failures - earlier.failures,
            first_byte: buckets.collect(),
        }
    }

    /// The share of failed requests; nothing without requests.
    #[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^52")]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.failures.min(self.requests) as f64 / self.requests as f64)
    }

    /// The time that 95 of 100 responses stayed below, as well as the buckets tell it; nothing without responses.
    #[expect(clippy::cast_precision_loss, reason = "counts and milliseconds far below 2^52")]
    pub fn first_byte_p95(&self) -> Option<FirstByte> {
        let total = self.first_byte.iter().fold(0_u64, |sum, bucket| sum.saturating_add(bucket.count));
        if total == 0 {
            return None;
        }
        let rank = total as f64 * 0.95;
        let (mut below, mut lower) = (0_u64, 0_u64);
        for bucket in &self.first_byte {
            let reached = below.saturating_add(bucket.count);
            let Some(upper) = bucket.up_to_ms else { break };
            if reached as f64 >= rank {
                let part = (rank - below as f64) / bucket.count.max(1) as f64;
                let milliseconds = lower as f64 + upper.saturating_sub(lower) as f64 * part;
                return Some(FirstByte::About(Duration::from_secs_f64(milliseconds / 1000.0)));
            }
            (below, lower) = (reached, upper);
        }
        Some(FirstByte::MoreThan(Duration::from_millis(lower)))
    }
}

/// A time to the first byte that was read from buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FirstByte {
    /// Between the bounds of one bucket, and as far in as if its times were spread evenly.
    About(Duration),
    /// Above the highest bound.
    MoreThan(Duration),
}

impl FirstByte {
    /// At least this long.
    pub const fn least(self) -> Duration {
        match self {
            Self::About(time) | Self::MoreThan(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(requests: u64, failures: u64, counts: [u64; 3]) -> VersionFigures {
        let bounds = [Some(10), Some(100), None];
        let buckets = bounds.into_iter().zip(counts).map(|(up_to_ms, count)| Bucket { up_to_ms, count });
        VersionFigures { requests, failures, first_byte: buckets.collect() }
    }

    #[test]
    fn what_was_counted_since_a_look_is_a_difference_unless_the_count_began_anew() {
        let before = figures(100, 10, [50, 50, 0]);
        assert_eq!(figures(130, 11, [60, 60, 10]).since(&before), figures(30, 1, [10, 10, 10]));
        assert_eq!(figures(20, 1, [10, 10, 0]).since(&before), figures(20, 1, [10, 10, 0]));
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(figures(0, 0, [0; 3]).error_rate(), None);
        assert_eq!(figures(0, 0, [0; 3]).first_byte_p95(), None);
        assert_eq!(figures(8, 2, [0; 3]).error_rate(), Some(0.25));
    }

    #[test]
    fn the_95th_of_100_times_lies_in_its_bucket() {
        assert_eq!(
            figures(100, 0, [100, 0, 0]).first_byte_p95(),
            Some(FirstByte::About(Duration::from_secs_f64(0.0095)))
        );
        assert_eq!(
            figures(100, 0, [90, 10, 0]).first_byte_p95(),
            Some(FirstByte::About(Duration::from_millis(55)))
        );
        assert_eq!(
            figures(100, 0, [90, 0, 10]).first_byte_p95(),
            Some(FirstByte::MoreThan(Duration::from_millis(100)))
        );
    }
}
