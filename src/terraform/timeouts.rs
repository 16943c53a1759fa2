//! How long the operations on an endpoint may take, as the configuration says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::decode::decode;
use super::diagnostics::{Diagnostics, Report};
use super::value::{Path, Value};
use crate::spec::TimeSpan;

/// How long the operations may take. No limits of their own by default: the policy has deadlines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    /// Longest time for the first rollout, such as `"30m"`. What was started by then keeps running, and the next apply
    /// goes on.
    pub create: Option<TimeSpan>,
    /// Longest time to look at the endpoint when the state is refreshed, such as `"20s"`. A refresh waits for nothing to
    /// change, only for answers.
    pub read: Option<TimeSpan>,
    /// Longest time for a later rollout, such as `"1h"`. It is interrupted then, as by Ctrl-C: the policy's
    /// `on_interrupt` says what follows, and the next apply goes on.
    pub update: Option<TimeSpan>,
    /// Longest time for the replicas to drain and the endpoint to go, such as `"10m"`. The next destroy goes on.
    pub delete: Option<TimeSpan>,
}

impl Timeouts {
    /// The limits in a resource's value. Mistakes were reported when it was validated.
    pub fn of(value: &Value) -> Self {
        decode(value.attribute("timeouts"), &Path::from("timeouts"), &mut Diagnostics::default())
            .unwrap_or_default()
    }

    /// Reports limits that cannot be meant.
    pub fn validate(config: &Value, diagnostics: &mut Diagnostics) {
        let path = Path::from("timeouts");
        let value = config.attribute("timeouts");
        if value.as_map().is_none() {
            return;
        }
        let timeouts: Option<Self> = decode(value, &path, diagnostics);
        let Some(Self { create, read, update, delete }) = timeouts else { return };
        let limits = [("create", create), ("read", read), ("update", update), ("delete", delete)];
        for (name, limit) in limits {
            if limit == Some(TimeSpan::ZERO) {
                let detail = format!("timeouts.{name} must be longer than zero.");
                diagnostics.error_at(&path.attribute(name), "No time at all", detail);
            }
        }
    }
}

/// What a question is answered, or the limit that passed before it was.
pub(super) async fn in_time<T>(
    limit: Option<TimeSpan>,
    answer: impl Future<Output = T>,
) -> Result<T, TimeSpan> {
    match limit {
        Some(limit) => tokio::time::timeout(limit.as_duration(), answer).await.map_err(|_| limit),
        None => Ok(answer.await),
    }
}

/// A stop signal that also comes when the time is over.
#[derive(Debug)]
pub(super) struct Limited {
    asked: CancellationToken,
    /// For the work.
    pub stop: CancellationToken,
    limit: Option<TimeSpan>,
    _timer: Option<AbortOnDropHandle<()>>,
}

impl Limited {
    /// Begins to count.
    pub fn new(asked: &CancellationToken, limit: Option<TimeSpan>) -> Self {
        let stop = asked.child_token();
        let timer = limit.map(|limit| {
            let stop = stop.clone();
            AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::time::sleep(limit.as_duration()).await;
                stop.cancel();
            }))
        });
        Self { asked: asked.clone(), stop, limit, _timer: timer }
    }

    /// The limit, if it is what ended the work.
    pub fn passed(&self) -> Option<TimeSpan> {
        self.limit.filter(|_| self.stop.is_cancelled() && !self.asked.is_cancelled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_at_its_limit_and_without_one_when_it_is_answered() {
        let limit = TimeSpan::from_seconds(5);
        let slow = async || {
            tokio::time::sleep(limit.as_duration() * 2).await;
            7
        };
        assert_eq!(in_time(Some(limit), slow()).await, Err(limit));
        assert_eq!(in_time(Some(TimeSpan::from_seconds(11)), slow()).await, Ok(7));
        assert_eq!(in_time(None, slow()).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_and_the_user_are_told_apart() {
        let asked = CancellationToken::new();
        let limited = Limited::new(&asked, Some(TimeSpan::from_seconds(60)));
        assert_eq!(limited.passed(), None);
        limited.stop.cancelled().await;
        assert_eq!(limited.passed(), Some(TimeSpan::from_seconds(60)));

        let stopped = Limited::new(&asked, Some(TimeSpan::from_seconds(60)));
        asked.cancel();
        stopped.stop.cancelled().await;
        assert_eq!(stopped.passed(), None);
    }
}
