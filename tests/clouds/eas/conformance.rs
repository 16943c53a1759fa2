//! The emulator, proven by the vendor's own client: every call that the adapter makes, and what it must get.

use std::path::Path;

use super::emulator::fault::{self, Fault, Kind};
use super::emulator::knobs::{Flip, Numbering, Partition, Stored, WayBack};
use super::emulator::state::Image;
use super::emulator::{Emulator, KEY, Knobs, TEMPORARY_KEY};
use crate::python::Python;

const PACKAGES: [&str; 4] = [
    "alibabacloud_eas20210701==7.0.0",
    "alibabacloud-tea-openapi==0.4.6",
    "alibabacloud-tea-util==0.3.14",
    "alibabacloud-credentials==1.0.12",
];

/// Runs one chapter of the script against an emulator.
#[track_caller]
fn prove(chapter: &str, emulator: &Emulator) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clouds/eas/conformance.py");
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("AK", KEY.0),
        ("SK", KEY.1),
        ("STS_AK", TEMPORARY_KEY.0),
        ("STS_SK", TEMPORARY_KEY.1),
        ("STS_TOKEN", TEMPORARY_KEY.2),
    ];
    let python = Python::with("eas", &PACKAGES);
    python.run(&script, folder.path(), &[chapter, emulator.authority()], &environment).succeeded();
}

fn ticking() -> Knobs {
    Knobs { auto: 5, ..Knobs::default() }
}

#[test]
fn signatures_of_the_client_are_accepted_and_others_are_refused() {
    prove("signatures", &Emulator::start(Knobs::default()));
}

#[test]
fn a_service_lives_from_create_to_delete() {
    let emulator = Emulator::start(ticking());
    prove("life", &emulator);
    assert!(emulator.state().services.is_empty());
}

#[test]
fn documents_are_checked_merged_and_replaced() {
    prove("documents", &Emulator::start(ticking()));
}

#[test]
fn stored_documents_may_be_spelt_otherwise() {
    prove("rewritten", &Emulator::start(Knobs { stored: Stored::Rewritten, ..ticking() }));
}

#[test]
fn an_update_rolls_within_its_limits() {
    let emulator = Emulator::start(ticking());
    prove("rolling", &emulator);
    let state = emulator.state();
    let (safe, risky) = (&state.services["safe_one"], &state.services["risky_one"]);
    assert_eq!((safe.least_ready, safe.most), (Some(4), 5));
    assert_eq!((risky.least_ready, risky.most), (Some(0), 1), "one replica, and it may be missing");
}

#[test]
fn an_update_that_cannot_start_halts_and_old_replicas_serve() {
    let emulator = Emulator::start(ticking());
    emulator.state().images.set("reg/bad:1", Image { crashes: true, ..Image::default() });
    emulator.state().images.set("reg/gone:1", Image { missing: true, ..Image::default() });
    prove("halted", &emulator);
    let state = emulator.state();
    assert_eq!(state.services["halted_one"].least_ready, Some(2));
    assert_eq!(state.lost, 0);
}

#[test]
fn plans_hold_move_and_go_back() {
    prove("plans", &Emulator::start(ticking()));
    prove("plans", &Emulator::start(Knobs { flip: Flip::Accepted, ..ticking() }));
}

#[test]
fn a_plan_may_mean_replicas_to_keep_when_it_is_created() {
    prove("keeping", &Emulator::start(Knobs { partition: Partition::Keep, ..ticking() }));
}

#[test]
fn a_plan_may_refuse_to_go_back() {
    prove("one_way", &Emulator::start(Knobs { way_back: WayBack::Ignored, ..ticking() }));
}

#[test]
fn batches_follow_each_other_by_time() {
    prove("batches", &Emulator::start(ticking()));
}

#[test]
fn groups_split_requests_by_weight() {
    let emulator = Emulator::start(ticking());
    prove("groups", &emulator);
    assert_eq!(emulator.state().lost, 0);
}

#[test]
fn descriptions_may_be_stale_after_an_update() {
    prove("stale", &Emulator::start(Knobs { stale_reads: 2, ..ticking() }));
}

#[test]
fn a_rollback_may_mint_a_version_of_its_own() {
    prove("renumbered", &Emulator::start(Knobs { numbering: Numbering::New, ..ticking() }));
}

#[test]
fn errors_have_the_shape_that_the_client_reads() {
    let emulator = Emulator::start(ticking());
    let mut state = emulator.state();
    let list = "ListServices";
    for kind in [
        fault::throttled(Some(1500)),
        fault::throttled(None),
        fault::unavailable(),
        fault::denied("eas:ListServices"),
        fault::unknown_key(),
        fault::expired_token(),
        fault::out_of_quota(),
        Kind::Garbage(502),
        Kind::DropBefore,
    ] {
        state.fail(Fault::once(list, kind));
    }
    state.fail(Fault::once("StopService", Kind::DropAfter).after(1));
    drop(state);
    prove("errors", &emulator);
    assert!(emulator.state().faults.iter().all(|fault| fault.times == 0), "every fault was met");
}
