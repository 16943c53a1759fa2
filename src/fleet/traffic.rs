//! Whether the requests that a gateway counted keep the bounds of a gate. Pure.

use std::time::Duration;

use super::metric::{compare_values, number};
use super::{FirstByte, GateAnswer, VersionFigures};
use crate::spec::{GatewayGate, VersionNumber};

/// The figures of one version since a bake began.
pub type Counted<'a> = (VersionNumber, &'a VersionFigures);

/// Whether the new version's requests keep the gate's bounds, compared with the prior version's where it says so.
pub fn judge(gate: &GatewayGate, new: Counted<'_>, old: Option<Counted<'_>>) -> GateAnswer {
    if let Some(answer) = too_few(gate, new) {
        return answer;
    }
    let mut answers = Vec::new();
    let (version, figures) = new;
    let rate = figures.error_rate().unwrap_or_default();
    if let Some(max) = gate.error_rate_max {
        let failed = format!("{} of {} requests to {version} failed", figures.failures, figures.requests);
        let (rate, shown) = (rate, number(rate));
        answers.push(if rate > max.as_f64() {
            GateAnswer::fail(format!("{failed}: the share {shown} is more than error_rate_max = {max}"))
        } else {
            GateAnswer::pass(format!("{failed}, which keeps error_rate_max = {max}"))
        });
    }
    if let Some(ratio_max) = gate.error_rate_ratio_max {
        answers.push(compared(gate, old, |(prior, old)| {
            let old = (prior, old.error_rate().unwrap_or_default());
            let show = |rate| format!("{} of its requests failing", share(rate));
            compare_values((version, rate), old, ratio_max.as_f64(), "error_rate_ratio_max", &show)
        }));
    }
    answers.extend(judge_first_byte(gate, new, old));
    GateAnswer::of_all(answers)
}

fn judge_first_byte(gate: &GatewayGate, new: Counted<'_>, old: Option<Counted<'_>>) -> Vec<GateAnswer> {
    let (version, figures) = new;
    let mut answers = Vec::new();
    let no_response =
        |version| GateAnswer::inconclusive(format!("{version} has not begun a single response"));
    if let Some(max) = gate.first_byte_p95_max {
        answers.push(figures.first_byte_p95().map_or_else(
            || no_response(version),
            |p95| {
                let told = format!("95 of 100 responses of {version} begin within {}", shown(p95));
                if p95.least() > max.as_duration() || matches!(p95, FirstByte::MoreThan(_)) {
                    GateAnswer::fail(format!("{told}, which is more than first_byte_p95_max = {max}"))
                } else {
                    GateAnswer::pass(format!("{told}, which keeps first_byte_p95_max = {max}"))
                }
            },
        ));
    }
    if let Some(ratio_max) = gate.first_byte_p95_ratio_max {
        answers.push(compared(gate, old, |(prior, old)| {
            let Some(new) = figures.first_byte_p95() else { return no_response(version) };
            let Some(old) = old.first_byte_p95() else { return no_response(prior) };
            let seconds = |time: FirstByte| time.least().as_secs_f64();
            let show = |seconds: f64| {
                format!("95 of 100 responses within {}", time(Duration::from_secs_f64(seconds)))
            };
            let name = "first_byte_p95_ratio_max";
            compare_values((version, seconds(new)), (prior, seconds(old)), ratio_max.as_f64(), name, &show)
        }));
    }
    answers
}

/// Compares with the prior version, if there is one and it had enough requests.
fn compared(
    gate: &GatewayGate,
    old: Option<Counted<'_>>,
    judge: impl FnOnce(Counted<'_>) -> GateAnswer,
) -> GateAnswer {
    match old {
        None => GateAnswer::pass("there is no prior version to compare with"),
        Some(old) => too_few(gate, old).unwrap_or_else(|| judge(old)),
    }
}

fn too_few(gate: &GatewayGate, (version, figures): Counted<'_>) -> Option<GateAnswer> {
    (figures.requests < gate.requests_min).then(|| {
        GateAnswer::inconclusive(format!(
            "{version} has had {} requests since the bake began, and fewer than requests_min = {} say nothing",
            figures.requests, gate.requests_min
        ))
    })
}

fn share(rate: f64) -> String {
    format!("{} %", number(rate * 100.0))
}

fn shown(p95: FirstByte) -> String {
    match p95 {
        FirstByte::About(at) => time(at),
        FirstByte::MoreThan(at) => format!("more than {}", time(at)),
    }
}

fn time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", number(time.as_secs_f64() * 1000.0))
    } else {
        format!("{} s", number(time.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bucket, GateVerdict::*};
    use super::*;

    fn figures(requests: u64, failures: u64, fast: u64, slow: u64) -> VersionFigures {
        let bucket = |up_to_ms, count| Bucket { up_to_ms, count };
        let first_byte = vec![bucket(Some(10), fast), bucket(Some(1000), slow), bucket(None, 0)];
        VersionFigures { requests, failures, first_byte }
    }

    fn verdict(gate: serde_json::Value, new: &VersionFigures, old: Option<&VersionFigures>) -> GateAnswer {
        let gate: GatewayGate = serde_json::from_value(gate).unwrap();
        judge(&gate, (VersionNumber(4), new), old.map(|old| (VersionNumber(3), old)))
    }

    #[test]
    fn shares_of_failed_requests_are_judged_once_there_are_enough() {
        let gate = serde_json::json!({ "error_rate_max": 0.1, "requests_min": 20 });
        assert_eq!(verdict(gate.clone(), &figures(19, 19, 0, 0), None).verdict, Inconclusive);
        assert_eq!(verdict(gate.clone(), &figures(20, 2, 18, 0), None).verdict, Pass);
        let failed = verdict(gate, &figures(20, 3, 17, 0), None);
        assert_eq!(failed.verdict, Fail);
        assert_eq!(
            failed.detail,
            "3 of 20 requests to v4 failed: the share 0.15 is more than error_rate_max = 0.1"
        );
    }

    #[test]
    fn the_new_version_is_compared_with_the_old_once_both_have_enough() {
        let gate = serde_json::json!({ "error_rate_ratio_max": 2, "requests_min": 20 });
        let new = figures(20, 4, 16, 0);
        assert_eq!(verdict(gate.clone(), &new, Some(&figures(19, 0, 19, 0))).verdict, Inconclusive);
        assert_eq!(verdict(gate.clone(), &new, Some(&figures(40, 4, 36, 0))).verdict, Pass);
        let failed = verdict(gate.clone(), &new, Some(&figures(100, 5, 95, 0)));
        assert_eq!(failed.verdict, Fail);
        assert!(
            failed.detail.contains("the ratio 4 is more than error_rate_ratio_max = 2"),
            "{}",
            failed.detail
        );
        assert_eq!(verdict(gate.clone(), &new, Some(&figures(100, 0, 95, 0))).verdict, Fail);
        assert_eq!(verdict(gate, &new, None).verdict, Pass);
    }

    #[test]
    fn times_to_the_first_byte_are_judged_and_compared() {
        let bound = serde_json::json!({ "first_byte_p95_max": "100ms", "requests_min": 10 });
        let (fast, slow) = (figures(20, 0, 20, 0), figures(20, 0, 0, 20));
        assert_eq!(verdict(bound.clone(), &fast, None).verdict, Pass);
        assert_eq!(verdict(bound.clone(), &slow, None).verdict, Fail);
        let silent = figures(20, 20, 0, 0);
        assert_eq!(verdict(bound, &silent, None).verdict, Inconclusive);
        let ratio = serde_json::json!({ "first_byte_p95_ratio_max": 1.5, "requests_min": 10 });
        assert_eq!(verdict(ratio.clone(), &slow, Some(&fast)).verdict, Fail);
        assert_eq!(verdict(ratio.clone(), &fast, Some(&slow)).verdict, Pass);
        assert_eq!(verdict(ratio, &fast, Some(&silent)).verdict, Inconclusive);
    }
}
