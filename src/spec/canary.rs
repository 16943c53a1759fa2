//! A part of a new version that serves before the rest follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CountOrPercent, Percent, Problem, TimeSpan};

/// Lets a part of the new version serve before the rest follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Canary {
    /// Replicas of the canary: a count, or a percent of the desired number that rounds up. By default as many as
    /// its weight needs, at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<CountOrPercent>,
    /// Its share of the traffic, such as `"10%"`. By default in proportion to its replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Percent>,
    /// Further shares after `weight`, each larger than the one before; each bakes before the next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Percent>,
    /// How long each share serves before the next, the last one before the rest of the version follows.
    pub bake: TimeSpan,
    /// `auto` goes on after the last bake; `manual` waits for `sluice promote`.
    pub promote: Promote,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            size: None,
            weight: None,
            steps: Vec::new(),
            bake: TimeSpan::from_seconds(300),
            promote: Promote::default(),
        }
    }
}

impl Canary {
    /// Every problem that can be seen without knowing the number of replicas.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.size.is_some_and(CountOrPercent::is_literal_zero) {
            problems.push(Problem::at("size", "Empty canary", "A canary is at least one replica."));
        }
        let shares: Vec<Percent> = self.weight.iter().chain(&self.steps).copied().collect();
        if shares.is_sorted_by(|left, right| left < right) {
            return problems;
        }
        let shown: Vec<String> = shares.iter().map(Percent::to_string).collect();
        let detail = format!(
            "Each share must be larger than the one before it, and they are {}. Put them in order.",
            shown.join(", ")
        );
        problems.push(Problem::at("steps", "Shares that do not grow", detail).related_to("weight"));
        problems
    }

    /// The share of the traffic at one of its stages, counted from 0; the last one also later. Nothing where traffic
    /// follows its replicas.
    pub fn share(&self, stage: u32) -> Option<Percent> {
        let stage = usize::try_from(stage).unwrap_or(usize::MAX);
        let mut shares = self.weight.iter().chain(&self.steps).copied();
        shares.nth(stage).or_else(|| self.steps.last().copied().or(self.weight))
    }

    /// Shares that it serves with, one after the other; none where traffic follows its replicas.
    pub fn stages_of_traffic(&self) -> u32 {
        let shares = usize::from(self.weight.is_some()) + self.steps.len();
        shares.try_into().unwrap_or(u32::MAX)
    }

    /// How often it bakes.
    pub fn stages(&self) -> u32 {
        self.stages_of_traffic().max(1)
    }

    /// Its replicas at a stage, out of `desired`: as given, and as many as its share of the traffic needs.
    pub fn replicas(&self, stage: u32, desired: u32) -> u32 {
        let needed = self.share(stage).map_or(0, |share| CountOrPercent::Percent(share).rounded_up(desired));
        let asked = self.size.map_or(1, |size| size.rounded_up(desired));
        asked.max(needed).clamp(1, desired.max(1))
    }
}

/// Who lets the rest of a version follow its canary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Promote {
    /// The engine, after the last bake.
    #[default]
    Auto,
    /// A person.
    Manual,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(json: serde_json::Value) -> Canary {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_canary_has_as_many_replicas_as_its_share_needs() {
        let growing = canary(serde_json::json!({ "weight": "5%", "steps": ["25%", "50%"] }));
        let replicas: Vec<u32> = (0..4).map(|stage| growing.replicas(stage, 10)).collect();
        assert_eq!((replicas, growing.stages()), (vec![1, 3, 5, 5], 3));
        assert_eq!(growing.share(7), Percent::new(50));
        assert_eq!(canary(serde_json::json!({ "weight": "0%" })).replicas(0, 10), 1);
        assert_eq!(canary(serde_json::json!({ "size": 3, "weight": "10%" })).replicas(0, 10), 3);
        assert_eq!(canary(serde_json::json!({ "size": 30 })).replicas(0, 10), 10);
    }

    #[test]
    fn a_canary_without_a_share_bakes_once() {
        let plain = Canary::default();
        assert_eq!((plain.stages(), plain.share(0), plain.replicas(0, 4)), (1, None, 1));
    }
}
