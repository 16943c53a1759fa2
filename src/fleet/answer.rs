//! What a gate says, before it is dated and recorded.

use std::fmt::Display;

use super::GateVerdict;

/// What a gate says when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateAnswer {
    /// In short.
    pub verdict: GateVerdict,
    /// The measured value and its bound, or why there is none, for people. No full stop.
    pub detail: String,
}

impl GateAnswer {
    /// What was measured keeps its bounds.
    pub fn pass(detail: impl Display) -> Self {
        Self { verdict: GateVerdict::Pass, detail: detail.to_string() }
    }

    /// What was measured breaks them.
    pub fn fail(detail: impl Display) -> Self {
        Self { verdict: GateVerdict::Fail, detail: detail.to_string() }
    }

    /// Nothing was measured, or too little.
    pub fn inconclusive(detail: impl Display) -> Self {
        Self { verdict: GateVerdict::Inconclusive, detail: detail.to_string() }
    }

    /// One answer for several bounds: a broken one decides, then one that could not be judged. Every detail of that
    /// verdict is told. No bounds at all are no pass.
    pub fn of_all(answers: Vec<Self>) -> Self {
        let says = |verdict| answers.iter().any(|answer| answer.verdict == verdict);
        let verdict = [GateVerdict::Fail, GateVerdict::Inconclusive, GateVerdict::Pass]
            .into_iter()
            .find(|verdict| says(*verdict));
        let Some(verdict) = verdict else { return Self::inconclusive("there was nothing to judge") };
        let details: Vec<String> = answers
            .into_iter()
            .filter(|answer| answer.verdict == verdict)
            .map(|answer| answer.detail)
            .collect();
        Self { verdict, detail: details.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_bound_decides_and_nothing_is_no_pass() {
        let (pass, fail, none) =
            (GateAnswer::pass("a"), GateAnswer::fail("b"), GateAnswer::inconclusive("c"));
        assert_eq!(GateAnswer::of_all(vec![none.clone(), fail.clone(), pass.clone()]), fail);
        assert_eq!(GateAnswer::of_all(vec![pass.clone(), none.clone()]), none);
        assert_eq!(GateAnswer::of_all(vec![pass.clone(), pass]), GateAnswer::pass("a; a"));
        assert_eq!(GateAnswer::of_all(Vec::new()).verdict, GateVerdict::Inconclusive);
    }
}
