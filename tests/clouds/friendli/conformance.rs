//! The vendor's own Python SDK against the emulator. Its models are closed and its checks strict, so that an answer in
//! a form which the service does not have fails here.

use std::path::Path;

use super::emulator::{Emulator, Operation};
use crate::python::Python;

/// The SDK with everything it needs. It asks for a newer `certifi` than every index has; without TLS none is used.
const PACKAGES: [&str; 12] = [
    "annotated-types==0.8.0",
    "anyio==4.16.0",
    "certifi==2026.10.18",
    "friendli==0.16.5",
    "h11==0.16.0",
    "httpcore==1.0.9",
    "httpx==0.28.1",
    "idna==3.20",
    "pydantic==2.14.3",
    "pydantic_core==2.50.4",
    "typing-inspection==0.4.5",
    "typing_extensions==4.16.0",
];

/// Runs one story of the script against an emulator.
#[track_caller]
fn tell(story: &str) -> Emulator {
    let emulator = Emulator::start();
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/friendli/conformance.py");
    let python = Python::with_nothing_but("friendli", &PACKAGES);
    python.run(&script, folder.path(), &[story, &emulator.url()], &[]).succeeded();
    emulator
}

#[test]
fn the_sdk_creates_finds_updates_and_deletes() {
    let emulator = tell("lifecycle");
    let created = emulator.requests(Operation::Create);
    assert_eq!(created[0].body["advanced"]["max_token_count"], 2560, "the SDK always sends it");
    assert_eq!(emulator.requests(Operation::Update).len(), 3);
}

#[test]
fn the_sdk_reads_every_page_of_lists_and_histories() {
    tell("pages");
}

#[test]
fn the_sdk_sees_every_state_with_its_preconditions() {
    tell("states");
}

#[test]
fn the_sdk_sees_each_shape_of_a_failed_update_while_the_old_version_answers() {
    tell("failed_updates");
}

#[test]
fn the_sdk_is_told_every_fault_of_a_body() {
    tell("validation");
}

#[test]
fn the_sdk_retries_a_create_whose_answer_was_lost_and_makes_two_endpoints() {
    let emulator = tell("lost_answers");
    assert!(emulator.requests(Operation::Create).len() >= 2);
}

#[test]
fn the_sdk_meets_throttling_outages_and_expired_keys() {
    let emulator = tell("faults");
    assert_eq!(emulator.requests(Operation::Wake).len(), 0);
}

#[test]
fn the_sdk_gives_artifacts_to_endpoints_by_key() {
    let emulator = tell("artifacts");
    assert_eq!(emulator.requests(Operation::Webhook).len(), 6);
}

#[test]
fn the_sdk_sees_what_others_did_in_the_console() {
    tell("console");
}

#[test]
fn the_sdk_gets_completions_of_the_version_that_serves() {
    tell("completions");
}

#[test]
fn the_sdk_works_from_below_any_prefix_and_for_one_team_at_a_time() {
    tell("access");
}
