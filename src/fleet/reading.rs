//! What a gate said when it was asked.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One answer of one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReading {
    /// Place of the gate in the policy, from 0.
    pub gate: usize,
    /// When it was asked, by the engine's clock.
    pub at: Timestamp,
    /// What it said.
    pub verdict: GateVerdict,
    /// The measured value and its bound, or why there is none, in one sentence for people.
    pub detail: String,
}

/// What a gate can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// What was measured keeps its bounds.
    Pass,
    /// What was measured breaks them.
    Fail,
    /// Nothing was measured, or too little. Never taken for a pass.
    Inconclusive,
}

impl GateVerdict {
    /// The word used in JSON, logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for GateVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
