//! Saved plans, as `terraform show -json` prints them, in a pipeline that reports on pull requests of others.

use std::path::Path;
use std::time::Duration;

use sluice::report::{Report, TerraformPlan, markdown};
use sluice::rollout::Expected;

use crate::harness::{files, fuzz, is_told_well};

fn seeds() -> Vec<Vec<u8>> {
    let plans = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans"));
    plans.into_iter().filter(|plan| plan.starts_with(b"{")).collect()
}

/// A comment stays below its limit and holds nothing that drives a terminal or turns the direction of writing.
fn report(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let plan = match TerraformPlan::read(text) {
        Ok(plan) => plan,
        Err(error) => return is_told_well(&error.to_string()),
    };
    let expected = Expected { start: Duration::from_mins(5), drain: Duration::from_mins(1) };
    let report = Report::of(&plan, expected);
    for limit in [2_000, 60_000] {
        let comment = markdown(&report, limit);
        assert!(comment.len() <= limit, "{} bytes of {limit}", comment.len());
        let odd = comment.chars().find(|c| {
            (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(odd, None, "{comment}");
    }
    serde_json::to_string(&report).unwrap();
}

fuzz!(saved_plans, Json, 400, seeds(), report);
