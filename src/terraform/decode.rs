//! From values with nulls and unknowns to typed intent, with every problem at its place.

use serde::de::DeserializeOwned;

use super::diagnostics::{Diagnostics, Report, sentence};
use super::value::{Path, Value};
use crate::spec::{PathStep as SpecStep, Problem};

/// Problems found one after the other in one value, before giving up.
const PROBLEMS_MAX: usize = 50;

/// Reads a value as a typed intent. Null and unknown attributes count as absent. Says `None` when something that is
/// needed is absent; what cannot be read is reported at its place, all of it at once.
pub fn decode<T: DeserializeOwned>(value: &Value, below: &Path, diagnostics: &mut Diagnostics) -> Option<T> {
    let (mut json, unknown) = value.to_json_pruned();
    for _ in 0..PROBLEMS_MAX {
        let error = match serde_path_to_error::deserialize(json.clone()) {
            Ok(typed) => return Some(typed),
            Err(error) => error,
        };
        let path = path_of(error.path());
        if unknown.iter().any(|unknown| touches(unknown, &path)) {
            // What stands in for the unknown does not fit: nothing can be said yet.
            return None;
        }
        let missing = error.inner().to_string().starts_with("missing field");
        if missing {
            // Required attributes are the schema's business; what is absent here is unknown or reported already.
            if unknown.is_empty() && !diagnostics.has_errors() {
                report(below, &path, error.inner(), diagnostics);
            }
            return None;
        }
        report(below, &path, error.inner(), diagnostics);
        if path.steps().is_empty() || !remove(&mut json, &path) {
            return None;
        }
    }
    None
}

/// Reports problems of a typed intent. Left out are those that rest on something unknown, for they are not certain, and
/// those that rest on a place that has an error already, for what was read there is not what was meant.
pub fn report_problems(problems: Vec<Problem>, value: &Value, below: &Path, diagnostics: &mut Diagnostics) {
    let unknown = value.unknown_paths();
    let certain: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| {
            let mut rests_on =
                std::iter::once(&problem.path).chain(&problem.related).map(|path| convert(path));
            !rests_on.any(|path| {
                unknown.iter().any(|unknown| touches(unknown, &path))
                    || diagnostics.has_error_at(&join(below, &path))
            })
        })
        .collect();
    for problem in certain {
        diagnostics.error_at(&join(below, &convert(&problem.path)), problem.summary, problem.detail);
    }
}

/// Reports what cannot be read, unless a limit of the schema has said so already.
fn report(below: &Path, path: &Path, error: &serde_json::Error, diagnostics: &mut Diagnostics) {
    let at = join(below, path);
    if !diagnostics.has_error_at(&at) {
        diagnostics.error_at(&at, "Invalid value", sentence(&error.to_string()));
    }
}

fn join(below: &Path, path: &Path) -> Path {
    path.steps().iter().fold(below.clone(), |joined, step| joined.then(step.clone()))
}

fn convert(path: &[SpecStep]) -> Path {
    Path(path.to_vec())
}

/// One of the paths leads through the other.
fn touches(unknown: &Path, path: &Path) -> bool {
    let common = unknown.steps().iter().zip(path.steps()).take_while(|(left, right)| left == right).count();
    common == unknown.steps().len().min(path.steps().len())
}

fn path_of(path: &serde_path_to_error::Path) -> Path {
    use serde_path_to_error::Segment;
    path.iter().fold(Path::root(), |path, segment| match segment {
        Segment::Seq { index } => path.index(*index),
        Segment::Map { key } => path.attribute(key),
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}

fn remove(json: &mut serde_json::Value, path: &Path) -> bool {
    let Some((last, parents)) = path.steps().split_last() else { return false };
    let parent = parents.iter().try_fold(json, |json, step| match step {
        SpecStep::Attribute(name) | SpecStep::Key(name) => json.get_mut(name),
        SpecStep::Index(index) => json.get_mut(index),
    });
    match (parent, last) {
        (Some(serde_json::Value::Object(fields)), SpecStep::Attribute(name) | SpecStep::Key(name)) => {
            fields.remove(name).is_some()
        }
        (Some(serde_json::Value::Array(items)), SpecStep::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::DeploymentPolicy;

    #[test]
    fn every_value_that_cannot_be_read_is_reported_at_its_place() {
        let value = Value::object([
            ("max_surge", Value::from("150%")),
            ("min_ready", "soon".into()),
            ("drain", Value::object([("timeout", "1x")])),
            ("max_unavailable", Value::Unknown),
        ]);
        let mut diagnostics = Diagnostics::default();
        let policy: Option<DeploymentPolicy> = decode(&value, &Path::from("policy"), &mut diagnostics);
        assert!(policy.is_some());
        let mut details: Vec<_> = diagnostics.errors.iter().map(|error| error.detail.as_ref()).collect();
        details.sort_unstable();
        assert_eq!(
            details,
            [
                "`150%` is over 100%.",
                "`1x` is not a duration such as `90s`, `15m` or `1h30m`.",
                "`soon` is not a duration such as `90s`, `15m` or `1h30m`.",
            ]
        );
    }

    #[test]
    fn what_a_limit_has_refused_already_is_not_reported_again() {
        let value = Value::object([("max_start_failures", Value::from(-1))]);
        let mut diagnostics = Diagnostics::default();
        diagnostics.error_at(&Path::from("max_start_failures"), "Value not allowed", "");
        let policy: Option<DeploymentPolicy> = decode(&value, &Path::root(), &mut diagnostics);
        assert!(policy.is_some());
        assert_eq!(diagnostics.errors.len(), 1);
    }

    #[test]
    fn a_list_with_an_unknown_element_cannot_be_judged_yet() {
        let words = Value::List(vec![Value::Unknown, "serve".into()]);
        let value = Value::object([("command", words)]);
        let mut diagnostics = Diagnostics::default();
        let container: Option<crate::spec::Container> = decode(&value, &Path::root(), &mut diagnostics);
        assert_eq!((container, diagnostics.errors), (None, Vec::new()));
    }

    #[test]
    fn problems_that_rest_on_something_unreadable_are_left_out() {
        let value = Value::object([("min_ready", Value::from("-1s")), ("progress_deadline", "10s".into())]);
        let mut diagnostics = Diagnostics::default();
        let policy: DeploymentPolicy = decode(&value, &Path::root(), &mut diagnostics).unwrap();
        assert!(!policy.validate().is_empty());
        report_problems(policy.validate(), &value, &Path::root(), &mut diagnostics);
        assert_eq!(diagnostics.errors.len(), 1);
    }

    #[test]
    fn problems_that_rest_on_something_unknown_are_left_out() {
        let value = Value::object([("max_surge", Value::from("0")), ("max_unavailable", Value::Unknown)]);
        let mut diagnostics = Diagnostics::default();
        let policy: DeploymentPolicy = decode(&value, &Path::root(), &mut diagnostics).unwrap();
        report_problems(policy.validate(), &value, &Path::root(), &mut diagnostics);
        assert_eq!(diagnostics.errors, []);
    }
}
