//! What a metrics server measured, and whether it keeps the bounds of a gate. Pure: whoever asks the server is elsewhere.

use serde::Deserialize;

use super::GateAnswer;
use crate::spec::{MetricGate, VersionNumber, steers};

/// One number that a query gave, or why it gave none.
pub type Measured = Result<f64, String>;

/// What was measured for a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurements {
    /// The new version and its value.
    pub new: (VersionNumber, Measured),
    /// The prior version and its value, where the gate compares.
    pub old: Option<(VersionNumber, Measured)>,
    /// The samples behind each value, where the gate asks for a least number of them.
    pub samples: Vec<(VersionNumber, Measured)>,
}

/// The answer of a server to an instant query.
#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar((f64, String)),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    value: Option<(f64, String)>,
}

/// Reads the one number in a server's answer. No series, several, or no number are no value.
pub fn read_value(status: u16, body: &[u8]) -> Measured {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| {
        format!("the server answers with status {status} and nothing that Prometheus would say")
    })?;
    if answer.status != "success" {
        let error = answer.error.unwrap_or_else(|| "it does not say why".to_owned());
        return Err(format!("the server refuses the query with status {status}: {}", one_line(&error)));
    }
    let text = match answer.data {
        Some(Data::Scalar((_, text))) => text,
        Some(Data::Vector(series)) => match <[Series; 1]>::try_from(series) {
            Ok([Series { value: Some((_, text)) }]) => text,
            Ok(_) => return Err("the query gives a histogram and not one number".to_owned()),
            Err(series) if series.is_empty() => return Err("the query gives no data".to_owned()),
            Err(series) => return Err(format!("the query gives {} series and not one number", series.len())),
        },
        Some(Data::Matrix(_) | Data::String(_)) | None => {
            return Err("the query does not give one number".to_owned());
        }
    };
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => {
            Err("the query gives NaN, as when nothing is divided by nothing".to_owned())
        }
        Ok(value) => Ok(value),
        Err(_) => Err(format!("the query gives `{}`, which is no number", one_line(&text))),
    }
}

/// Whether what was measured keeps the gate's bounds.
pub fn judge(gate: &MetricGate, measured: &Measurements) -> GateAnswer {
    let (version, new) = &measured.new;
    let new = match new {
        Ok(value) => *value,
        Err(why) => return GateAnswer::inconclusive(format!("no value for {version}: {why}")),
    };
    if let Some(answer) = too_few_samples(gate, &measured.samples) {
        return answer;
    }
    let mut answers = Vec::new();
    if let Some(max) = gate.max {
        answers.push(compare(new, "max", max.as_f64(), new > max.as_f64(), "more"));
    }
    if let Some(min) = gate.min {
        answers.push(compare(new, "min", min.as_f64(), new < min.as_f64(), "less"));
    }
    if let Some(ratio_max) = gate.ratio_max {
        answers.push(compare_with_old(new, *version, measured.old.as_ref(), ratio_max.as_f64()));
    }
    GateAnswer::of_all(answers)
}

fn too_few_samples(gate: &MetricGate, samples: &[(VersionNumber, Measured)]) -> Option<GateAnswer> {
    let least = gate.samples_min?;
    if samples.is_empty() {
        return Some(GateAnswer::inconclusive("the samples were not counted"));
    }
    samples.iter().find_map(|(version, count)| match count {
        #[expect(clippy::cast_precision_loss, reason = "nobody asks for 2^52 samples")]
        Ok(count) if *count >= least as f64 => None,
        Ok(count) => Some(GateAnswer::inconclusive(format!(
            "{version} has {} samples, and fewer than samples_min = {least} say nothing",
            number(*count)
        ))),
        Err(why) => Some(GateAnswer::inconclusive(format!("no count of samples for {version}: {why}"))),
    })
}

fn compare(value: f64, name: &str, bound: f64, is_broken: bool, beyond: &str) -> GateAnswer {
    let (value, bound) = (number(value), number(bound));
    if is_broken {
        GateAnswer::fail(format!("the value {value} is {beyond} than {name} = {bound}"))
    } else {
        GateAnswer::pass(format!("the value {value} keeps {name} = {bound}"))
    }
}

/// Without a prior version there is nothing to compare with, and the first version could never serve if that were held
/// against it.
fn compare_with_old(
    new: f64,
    version: VersionNumber,
    old: Option<&(VersionNumber, Measured)>,
    ratio_max: f64,
) -> GateAnswer {
    let Some((prior, old)) = old else {
        return GateAnswer::pass("there is no prior version to compare with");
    };
    let old = match old {
        Ok(old) => *old,
        Err(why) => return GateAnswer::inconclusive(format!("no value for {prior} to compare with: {why}")),
    };
    compare_values((version, new), (*prior, old), ratio_max, "ratio_max", &number)
}

/// Judges the ratio of two values. Of nothing nothing is a ratio of one, and anything more is more than any ratio.
pub(super) fn compare_values(
    (version, new): (VersionNumber, f64),
    (prior, old): (VersionNumber, f64),
    ratio_max: f64,
    name: &str,
    show: &dyn Fn(f64) -> String,
) -> GateAnswer {
    if new < 0.0 || old < 0.0 || !new.is_finite() || !old.is_finite() {
        return GateAnswer::inconclusive(format!(
            "{} of {version} and {} of {prior} have no ratio",
            number(new),
            number(old)
        ));
    }
    let bound = number(ratio_max);
    let values = format!("{version} has {} and {prior} {}", show(new), show(old));
    if new <= old * ratio_max {
        GateAnswer::pass(format!("{values}, which keeps {name} = {bound}"))
    } else if old == 0.0 {
        GateAnswer::fail(format!("{values}, which is more than any {name}, and it is {bound}"))
    } else {
        let ratio = number(new / old);
        GateAnswer::fail(format!("{values}: the ratio {ratio} is more than {name} = {bound}"))
    }
}

/// A number with as many digits as say something.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || value.abs() >= 1e6 {
        return format!("{value}");
    }
    // Four significant digits, and none after the point that are all zero.
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 12")]
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn one_line(text: &str) -> String {
    const LENGTH_MAX: usize = 200;
    text.chars().map(|c| if steers(c) { ' ' } else { c }).take(LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::super::GateVerdict::{self, Fail, Inconclusive, Pass};
    use super::*;

    const NEW: VersionNumber = VersionNumber(4);
    const OLD: VersionNumber = VersionNumber(3);

    fn vector(values: &[&str]) -> Vec<u8> {
        let series: Vec<_> =
            values.iter().map(|value| serde_json::json!({ "metric": {}, "value": [1.5, value] })).collect();
        let data = serde_json::json!({ "resultType": "vector", "result": series });
        serde_json::to_vec(&serde_json::json!({ "status": "success", "data": data })).unwrap()
    }

    fn gate(json: &serde_json::Value) -> MetricGate {
        let mut gate = serde_json::json!({ "url": "http://p", "query": "q" });
        for (key, value) in json.as_object().unwrap() {
            gate[key] = value.clone();
        }
        serde_json::from_value(gate).unwrap()
    }

    fn told(
        gate: &MetricGate,
        new: Measured,
        old: Option<Measured>,
        samples: &[f64],
    ) -> (GateVerdict, String) {
        let measured = Measurements {
            new: (NEW, new),
            old: old.map(|old| (OLD, old)),
            samples: samples.iter().map(|count| (NEW, Ok(*count))).collect(),
        };
        let answer = judge(gate, &measured);
        (answer.verdict, answer.detail)
    }

    #[test]
    fn one_number_is_read_from_a_vector_or_a_scalar() {
        assert_eq!(read_value(200, &vector(&["0.25"])), Ok(0.25));
        assert_eq!(read_value(200, &vector(&["+Inf"])), Ok(f64::INFINITY));
        let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1,"3"]}}"#;
        assert_eq!(read_value(200, scalar), Ok(3.0));
    }

    #[test]
    fn what_is_not_one_number_is_no_value() {
        let cases: [(u16, Vec<u8>, &str); 8] = [
            (200, vector(&[]), "no data"),
            (200, vector(&["1", "2", "3"]), "3 series"),
            (200, vector(&["NaN"]), "NaN"),
            (200, vector(&["x"]), "no number"),
            (
                200,
                br#"{"status":"success","data":{"resultType":"matrix","result":[{"values":[]}]}}"#.to_vec(),
                "not give one",
            ),
            (
                400,
                br#"{"status":"error","errorType":"bad_data","error":"parse\nerror"}"#.to_vec(),
                "status 400: parse error",
            ),
            (502, b"<html>".to_vec(), "status 502"),
            (
                200,
                br#"{"status":"success","data":{"resultType":"vector","result":[{"histogram":[1,{}]}]}}"#
                    .to_vec(),
                "histogram",
            ),
        ];
        for (status, body, part) in cases {
            let why = read_value(status, &body).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn bounds_are_judged_and_named_with_the_value() {
        let bounds = gate(&serde_json::json!({ "min": 0.1, "max": 0.5 }));
        assert_eq!(told(&bounds, Ok(0.5), None, &[]).0, Pass);
        assert_eq!(
            told(&bounds, Ok(0.5123), None, &[]),
            (Fail, "the value 0.5123 is more than max = 0.5".into())
        );
        assert_eq!(
            told(&bounds, Ok(0.05), None, &[]),
            (Fail, "the value 0.05 is less than min = 0.1".into())
        );
        assert_eq!(told(&bounds, Ok(f64::INFINITY), None, &[]).0, Fail);
        assert_eq!(told(&bounds, Err("x".into()), None, &[]), (Inconclusive, "no value for v4: x".into()));
    }

    #[test]
    fn a_new_version_is_compared_with_the_old() {
        let ratio = gate(&serde_json::json!({ "ratio_max": 1.5 }));
        assert_eq!(told(&ratio, Ok(3.0), Some(Ok(2.0)), &[]).0, Pass);
        let (verdict, detail) = told(&ratio, Ok(4.0), Some(Ok(2.0)), &[]);
        assert_eq!(
            (verdict, detail.as_str()),
            (Fail, "v4 has 4 and v3 2: the ratio 2 is more than ratio_max = 1.5")
        );
        assert_eq!(told(&ratio, Ok(0.0), Some(Ok(0.0)), &[]).0, Pass);
        assert_eq!(told(&ratio, Ok(0.1), Some(Ok(0.0)), &[]).0, Fail);
        assert_eq!(told(&ratio, Ok(1.0), Some(Err("x".into())), &[]).0, Inconclusive);
        assert_eq!(told(&ratio, Ok(-1.0), Some(Ok(1.0)), &[]).0, Inconclusive);
        assert_eq!(told(&ratio, Ok(f64::INFINITY), Some(Ok(f64::INFINITY)), &[]).0, Inconclusive);
        assert_eq!(told(&ratio, Ok(1.0), None, &[]).0, Pass);
    }

    #[test]
    fn too_few_samples_say_nothing_however_bad_the_value() {
        let sampled = gate(&serde_json::json!({ "max": 0.5, "samples_query": "s", "samples_min": 20 }));
        assert_eq!(told(&sampled, Ok(1.0), None, &[19.0]).0, Inconclusive);
        assert_eq!(told(&sampled, Ok(1.0), None, &[20.0]).0, Fail);
        assert_eq!(told(&sampled, Ok(0.1), None, &[20.0]).0, Pass);
        assert_eq!(told(&sampled, Ok(0.1), None, &[]).0, Inconclusive);
    }

    #[test]
    fn numbers_are_told_with_the_digits_that_matter() {
        let shown = [0.0, 0.5, 0.012_345_6, 12.0, 1234.5678, 0.1 + 0.2].map(number);
        assert_eq!(shown, ["0", "0.5", "0.01235", "12", "1235", "0.3"]);
    }
}
