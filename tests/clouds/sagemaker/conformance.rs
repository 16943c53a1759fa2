//! The emulator is what AWS's own client library takes it for.

use std::path::Path;

use super::emulator::Emulator;
use crate::python::Python;

/// AWS's client library. `conformance.py` reads the service models that come with it.
pub const BOTO3: [&str; 2] = ["boto3==1.44.5", "botocore==1.44.5"];

#[track_caller]
fn passes(story: &str) {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/sagemaker/conformance.py");
    let environment = emulator.environment();
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Python::with("boto3", &BOTO3).run(&script, folder.path(), &[story], &environment).succeeded();
    assert!(!emulator.requests().is_empty(), "the script never called the emulator");
}

#[test]
fn boto3_creates_updates_rolls_back_and_deletes() {
    passes("lifecycle");
}

#[test]
fn boto3_is_refused_in_the_words_of_the_service() {
    passes("refusals");
}

#[test]
fn boto3_sees_what_an_update_looks_like_while_it_runs() {
    passes("progress");
}

#[test]
fn boto3_pages_through_lists() {
    passes("lists");
}

#[test]
fn boto3_uses_tags_alarms_autoscaling_and_identity() {
    passes("surroundings");
}

#[test]
fn boto3_retries_what_may_be_retried_and_is_told_of_the_rest() {
    passes("faults");
}
