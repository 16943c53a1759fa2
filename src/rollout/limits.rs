//! How many replicas may run and must serve while a rollout runs.

use serde::Serialize;

use crate::spec::CountOrPercent;

/// The resolved limits of a rollout, in replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Replicas wanted in the end.
    #[serde(skip)]
    pub desired: u32,
    /// Replicas above `desired` while the rollout runs.
    pub max_surge: u32,
    /// Replicas that may be missing while the rollout runs.
    pub max_unavailable: u32,
    /// Fewest ready replicas that the engine leaves: `desired - max_unavailable`.
    pub floor: u32,
    /// Most replicas that occupy devices, draining ones included: `desired + max_surge`.
    pub cap: u32,
}

/// Limits under which no rollout can move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Both limits are written as zero.
    #[error("max_surge and max_unavailable are both 0: no replica could ever be replaced")]
    BothZero,
    /// There is just one replica and no room beside it.
    #[error(
        "max_surge is 0 for {desired} replica(s), and replacing the only one without room beside it would leave none: \
         set max_surge to 1, or consent with allow_downtime = true"
    )]
    NeedsDowntime {
        /// Replicas wanted.
        desired: u32,
    },
}

impl Limits {
    /// Resolves limits for `desired` replicas: surge rounds up, unavailability rounds down and ends at `desired`.
    ///
    /// Shares that both round to zero become one unavailable replica, as in Kubernetes. Without room for surge the only
    /// replica can be replaced only if `allow_downtime` says that none has to stay.
    pub fn resolve(
        desired: u32,
        max_surge: CountOrPercent,
        max_unavailable: CountOrPercent,
        allow_downtime: bool,
    ) -> Result<Self, LimitsError> {
        if max_surge.is_literal_zero() && max_unavailable.is_literal_zero() {
            return Err(LimitsError::BothZero);
        }
        let surge = max_surge.rounded_up(desired);
        let mut unavailable = max_unavailable.rounded_down(desired).min(desired);
        if surge == 0 && desired == 1 && !allow_downtime {
            return Err(LimitsError::NeedsDowntime { desired });
        }
        if surge == 0 && unavailable == 0 && desired > 0 {
            unavailable = 1;
        }
        Ok(Self {
            desired,
            max_surge: surge,
            max_unavailable: unavailable,
            floor: desired - unavailable,
            cap: desired.saturating_add(surge),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(desired: u32, surge: &str, unavailable: &str) -> Result<(u32, u32, u32, u32), LimitsError> {
        Limits::resolve(desired, surge.parse().unwrap(), unavailable.parse().unwrap(), false)
            .map(|limits| (limits.max_surge, limits.max_unavailable, limits.floor, limits.cap))
    }

    #[test]
    fn shares_round_for_safety() {
        assert_eq!(limits(10, "39%", "39%"), Ok((4, 3, 7, 14)));
        assert_eq!(limits(4, "25%", "25%"), Ok((1, 1, 3, 5)));
        assert_eq!(limits(1, "25%", "25%"), Ok((1, 0, 1, 2)));
        assert_eq!(limits(3, "1", "5"), Ok((1, 3, 0, 4)));
    }

    #[test]
    fn limits_that_cannot_move_are_refused_or_widened() {
        assert_eq!(limits(4, "0", "0%"), Err(LimitsError::BothZero));
        assert_eq!(limits(3, "0", "20%"), Ok((0, 1, 2, 3)));
        for unavailable in ["20%", "1", "3"] {
            assert_eq!(limits(1, "0", unavailable), Err(LimitsError::NeedsDowntime { desired: 1 }));
        }
    }
}
