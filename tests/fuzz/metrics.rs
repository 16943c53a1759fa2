//! What metrics servers answer.

use sluice::fleet::GateVerdict;
use sluice::fleet::metric::{Measurements, judge, read_value};
use sluice::spec::{MetricGate, VersionNumber};

use crate::harness::{fuzz, is_told_well};

fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"0.25"]}]}}"#,
        r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"NaN"]}}"#,
        r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
        r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A value is a number, and one that is worse than the bound never passes.
fn read_answer(bytes: &[u8]) {
    let gate = serde_json::json!({ "url": "http://p", "query": "q", "max": 1, "ratio_max": 2 });
    let gate: MetricGate = serde_json::from_value(gate).unwrap();
    let value = read_value(200, bytes);
    match &value {
        Ok(value) => assert!(!value.is_nan()),
        Err(why) => {
            is_told_well(why);
            assert!(!why.chars().any(char::is_control), "{why:?}");
        }
    }
    let (new, old) = (VersionNumber(4), VersionNumber(3));
    let measured = |new_value, old_value| Measurements {
        new: (new, new_value),
        old: Some((old, old_value)),
        samples: Vec::new(),
    };
    let answer = judge(&gate, &measured(value.clone(), Ok(1.0)));
    let is_worse = value.as_ref().is_ok_and(|value| *value > 1.0);
    assert!(!is_worse || answer.verdict == GateVerdict::Fail || answer.verdict == GateVerdict::Inconclusive);
    assert!(value.is_ok() || answer.verdict == GateVerdict::Inconclusive, "no value is no pass");
    let reversed = judge(&gate, &measured(Ok(0.5), value.clone()));
    assert!(value.is_ok() || reversed.verdict != GateVerdict::Pass, "nothing to compare with is no pass");
}

fuzz!(metrics_answers, Json, 10_000, seeds(), read_answer);
