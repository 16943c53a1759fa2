//! Reports of real plans: `tests/plans` has each as Terraform made it, and what is said of it. An acceptance test
//! makes the plans; `make generate` writes both anew.

use std::time::Duration;

use super::{Report, TerraformPlan, markdown};
use crate::rollout::Expected;

const EXPECTED: Expected = Expected { start: Duration::from_mins(5), drain: Duration::from_mins(1) };
/// Enough for each of the stored plans.
const LIMIT: usize = 60_000;

/// A plan's name, its JSON, and what is said of it.
type Stored = (&'static str, &'static str, &'static str);

macro_rules! stored {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../tests/plans/", $name, ".json")),
            include_str!(concat!("../../tests/plans/", $name, ".md")))),*]
    };
}

const PLANS: [Stored; 9] =
    stored!["create", "nothing", "update", "replace", "unknown", "policy", "destroy", "back", "drift"];

fn stored(name: &str) -> &'static str {
    PLANS.iter().find(|(stored, ..)| *stored == name).unwrap().1
}

fn report(json: &str) -> Report {
    Report::of(&TerraformPlan::read(json).unwrap(), EXPECTED)
}

#[test]
fn every_stored_plan_is_reported_as_stored() {
    for (name, json, expected) in PLANS {
        let said = markdown(&report(json), LIMIT);
        assert!(said == expected, "{name}:\n{said}");
    }
}

#[test]
fn sensitive_values_are_neither_in_the_report_nor_in_its_markdown() {
    for name in ["create", "update"] {
        let json = stored(name);
        assert!(json.contains("tk-never-in-a-comment"), "{name} holds no secret to hide");
        let report = report(json);
        let shown = markdown(&report, LIMIT) + &serde_json::to_string(&report).unwrap();
        assert!(!shown.contains("tk-never-in-a-comment"), "{name}: {shown}");
    }
}

#[test]
fn lines_that_the_provider_made_of_sensitive_values_are_not_told() {
    // In the drift, only the provider's own lines tell what v1 changed.
    let open = stored("drift");
    assert!(!report(open).endpoints[0].told.is_empty());
    let marked = open.replace(r#""after_sensitive": {"#, r#""after_sensitive": { "comment": true,"#);
    let hidden = report(&marked);
    assert_eq!((&hidden.endpoints[0].told, &hidden.endpoints[0].comment), (&Vec::new(), &None));
    assert_eq!(hidden.endpoints[0].hint.as_deref(), Some("sluice diff chat v0 v1"));
}

#[test]
fn a_comment_stays_within_its_limit_and_names_what_it_left_out() {
    let mut plan: serde_json::Value = serde_json::from_str(stored("update")).unwrap();
    let changes = plan["resource_changes"].as_array_mut().unwrap();
    for copy in 0..200 {
        let mut more = changes[1].clone();
        more["address"] = format!("sluice_endpoint.copy[{copy}]").into();
        changes.push(more);
    }
    let report = report(&plan.to_string());
    assert_eq!(report.endpoints.len(), 202);
    let whole = markdown(&report, usize::MAX);
    assert!(!whole.contains("Left out") && whole.contains("and 152 more endpoints"));
    for limit in [2_000, 10_000, 60_000] {
        let said = markdown(&report, limit);
        assert!(said.len() <= limit, "{} > {limit}", said.len());
        assert!(said.contains("**Left out** to stay below"), "{said}");
        assert!(said.contains(" more."), "{said}");
    }
}

#[test]
fn of_a_rollout_that_the_cloud_paces_only_its_own_outline_is_told() {
    let elsewhere = stored("update").replace(r#""cloud": "local""#, r#""cloud": "sagemaker""#);
    let report = report(&elsewhere);
    let rollout = report.endpoints[0].rollout.as_ref().unwrap();
    assert_eq!((rollout.paced_by.as_deref(), &rollout.needs), (Some("sagemaker"), &None));
    assert!(!rollout.steps.is_empty());
    assert!(markdown(&report, LIMIT).contains("**Rollout**: `sagemaker` paces it by itself."));
}
