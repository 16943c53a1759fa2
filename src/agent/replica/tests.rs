use super::*;

const PROCESS: ProcessIdentity = ProcessIdentity { pid: 4242, started: 7 };

fn at(seconds: f64) -> Timestamp {
    Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs_f64(seconds)
}

fn health() -> HealthCheck {
    HealthCheck { start_timeout: TimeSpan::from_seconds(60), ..HealthCheck::default() }
}

fn warmup() -> Warmup {
    serde_json::from_value(serde_json::json!({ "body": "{}" })).unwrap()
}

fn spawned() -> Event {
    Event::Spawned { process: PROCESS, port: 20_001, log_offset: 0 }
}

fn exited() -> Event {
    Event::Exited { how: "exited with status 1".to_owned(), last_line: Some("checksum mismatch".to_owned()) }
}

fn stop(drain: u64, delay: u64) -> Event {
    Event::Stop(StopReplica {
        drain_timeout: TimeSpan::from_seconds(drain),
        unroute_delay: TimeSpan::from_seconds(delay),
    })
}

/// Plays events, each at its second, and returns the last state with the effects of the last event.
fn play(events: Vec<(f64, Event)>) -> (Replica, Vec<Effect>) {
    play_with(events, Checks { health: &health(), warmup: None })
}

fn play_with(events: Vec<(f64, Event)>, checks: Checks<'_>) -> (Replica, Vec<Effect>) {
    let mut replica = Replica::requested(ReplicaId("r".to_owned()), VersionNumber(3), at(0.0));
    let mut effects = Vec::new();
    for (second, event) in events {
        // What is written down is all that a restarted agent has.
        let text = serde_json::to_string(&replica).unwrap();
        let read: Replica = serde_json::from_str(&text).unwrap();
        let remembered = Replica {
            failed_checks: replica.failed_checks,
            last_failure: replica.last_failure,
            warmups_answered: replica.warmups_answered,
            ..read
        };
        assert_eq!(remembered, replica);
        (replica, effects) = replica.on(event, at(second), checks);
    }
    (replica, effects)
}

fn started() -> Vec<(f64, Event)> {
    vec![(0.0, Event::Allocated { devices: vec![2] }), (0.0, spawned())]
}

fn ready() -> Vec<(f64, Event)> {
    let mut events = started();
    events.push((3.0, Event::Checked(Ok(()))));
    events
}

fn after(mut events: Vec<(f64, Event)>, more: Vec<(f64, Event)>) -> (Replica, Vec<Effect>) {
    events.extend(more);
    play(events)
}

#[test]
fn a_replica_climbs_to_ready() {
    let (replica, effects) = play(vec![(0.0, Event::Allocated { devices: vec![2] })]);
    assert_eq!((replica.state(), effects), (ReplicaState::Allocated, vec![Effect::Spawn]));
    assert_eq!(play(started()).0.state(), ReplicaState::Starting);
    let (replica, _) = play(ready());
    assert_eq!((replica.state(), replica.ready_since()), (ReplicaState::Ready, Some(at(3.0))));
    assert!(replica.is_routable());
}

#[test]
fn a_replica_without_devices_says_why_it_waits() {
    let (replica, effects) = play(vec![(0.0, Event::Refused { reason: "8 of 8 are held".to_owned() })]);
    assert_eq!((replica.state(), effects), (ReplicaState::Requested, vec![]));
    assert_eq!(replica.reason.as_deref(), Some("8 of 8 are held"));
}

#[test]
fn a_crash_before_ready_is_counted_with_its_last_words_and_the_wait_grows() {
    let (replica, effects) = after(started(), vec![(0.25, exited())]);
    assert_eq!((replica.state(), effects), (ReplicaState::Unhealthy, vec![Effect::Kill]));
    assert_eq!(replica.reason.as_deref(), Some("exited with status 1 after 0.2 s: checksum mismatch"));
    assert_eq!(replica.start_failures, 1);
    let crash = |second| vec![(second, spawned()), (second, exited()), (second, Event::GroupGone)];
    let mut events = after(started(), vec![(0.25, exited()), (0.3, Event::GroupGone)]).0;
    assert_eq!(events.phase, Phase::Waiting { until: at(0.8) });
    for (second, wait) in
        [(1.0, 1.0), (3.0, 2.0), (9.0, 4.0), (20.0, 8.0), (40.0, 16.0), (90.0, 30.0), (190.0, 30.0)]
    {
        (events, _) = events.on(Event::Tick, at(second), Checks { health: &health(), warmup: None });
        for (second, event) in crash(second) {
            (events, _) = events.on(event, at(second), Checks { health: &health(), warmup: None });
        }
        assert_eq!(events.phase, Phase::Waiting { until: at(second + wait) });
        assert_eq!(events.state(), ReplicaState::Unhealthy);
    }
    assert_eq!(events.start_failures, 8);
    assert_eq!(events.devices, [2]);
}

#[test]
fn a_start_that_takes_too_long_fails_and_says_how_the_health_check_went() {
    for (failure, reason) in [
        (CheckFailure::NoAnswer, "no answer on port 20001 within 1m"),
        (CheckFailure::Status(503), "health check /health answered 503 for 1m"),
        (CheckFailure::Foreign, "a process of another user listens on port 20001"),
    ] {
        let more = vec![(1.0, Event::Checked(Err(failure))), (59.9, Event::Tick), (60.0, Event::Tick)];
        let (replica, effects) = after(started(), more);
        assert_eq!(effects, [Effect::Kill]);
        assert_eq!(replica.reason.as_deref(), Some(reason));
        assert_eq!(replica.start_failures, 1);
    }
}

#[test]
fn a_ready_replica_survives_fewer_failures_than_its_limit() {
    let bad = || Event::Checked(Err(CheckFailure::NoAnswer));
    let more = vec![(4.0, bad()), (5.0, bad()), (6.0, Event::Checked(Ok(()))), (7.0, bad()), (8.0, bad())];
    let (replica, _) = after(ready(), more);
    assert_eq!((replica.state(), replica.ready_since()), (ReplicaState::Ready, Some(at(3.0))));
    let (replica, effects) = after(ready(), vec![(4.0, bad()), (5.0, bad()), (6.0, bad())]);
    assert_eq!((replica.state(), effects), (ReplicaState::Unhealthy, vec![Effect::Kill]));
    assert_eq!(
        replica.reason.as_deref(),
        Some("health check /health had no answer within 2s, 3 times in a row")
    );
    assert_eq!(replica.start_failures, 0);
}

#[test]
fn a_flapping_replica_waits_longer_each_time_until_it_has_been_stable() {
    let round = |start: f64, ready_for: f64| {
        vec![
            (start, spawned()),
            (start, Event::Checked(Ok(()))),
            (start + ready_for, exited()),
            (start + ready_for, Event::GroupGone),
        ]
    };
    let tick = |second| vec![(second, Event::Tick)];
    let mut events = vec![(0.0, Event::Allocated { devices: vec![] })];
    events.extend(round(0.0, 1.0));
    assert_eq!(play(events.clone()).0.phase, Phase::Waiting { until: at(1.5) });
    events.extend(tick(2.0));
    events.extend(round(2.0, 1.0));
    assert_eq!(play(events.clone()).0.phase, Phase::Waiting { until: at(4.0) });
    assert_eq!(play(events.clone()).0.start_failures, 0);
    events.extend(tick(10.0));
    events.extend(round(10.0, 61.0));
    assert_eq!(play(events).0.phase, Phase::Waiting { until: at(71.5) });
}

#[test]
fn a_ready_replica_leaves_in_order() {
    let mut events = ready();
    let mut then = |second: f64, event: Event, phase: &Phase, effects: &[Effect]| {
        events.push((second, event));
        let (replica, done) = play(events.clone());
        assert_eq!((&replica.phase, done.as_slice()), (phase, effects));
        assert!(!replica.is_routable());
        replica
    };
    then(10.0, stop(30, 5), &Phase::Unrouting, &[]);
    then(10.5, Event::InFlight(0), &Phase::Unrouting, &[]);
    then(11.0, Event::Unrouted, &Phase::Settling { until: at(16.0) }, &[]);
    then(12.0, Event::InFlight(0), &Phase::Settling { until: at(16.0) }, &[]);
    then(16.0, Event::Tick, &Phase::Draining { until: at(46.0) }, &[]);
    then(17.0, Event::InFlight(2), &Phase::Draining { until: at(46.0) }, &[]);
    then(18.0, Event::InFlight(0), &Phase::Terminating { kill_at: at(28.0) }, &[Effect::Terminate]);
    then(19.0, exited(), &Phase::Terminating { kill_at: at(28.0) }, &[]);
    let replica = then(20.0, Event::GroupGone, &Phase::Gone, &[]);
    assert_eq!((replica.devices, replica.port, replica.process), (vec![], None, None));
}

#[test]
fn a_stubborn_replica_is_cut_off_and_killed() {
    let more = vec![(10.0, stop(30, 0)), (10.0, Event::Unrouted), (10.0, Event::Tick), (40.0, Event::Tick)];
    let (replica, effects) = after(ready(), more.clone());
    assert_eq!(
        (&replica.phase, effects),
        (&Phase::Terminating { kill_at: at(50.0) }, vec![Effect::Terminate])
    );
    let (replica, effects) = after(ready(), [more, vec![(50.0, Event::Tick)]].concat());
    assert_eq!((replica.phase, effects), (Phase::Killed, vec![Effect::Kill]));
}

#[test]
fn a_silent_gateway_holds_a_replica_no_longer_than_the_drain_would() {
    let (replica, _) = after(ready(), vec![(10.0, stop(30, 5)), (44.9, Event::Tick)]);
    assert_eq!(replica.phase, Phase::Unrouting);
    let (replica, effects) = after(ready(), vec![(10.0, stop(30, 5)), (45.0, Event::Tick)]);
    assert_eq!((replica.state(), effects), (ReplicaState::Draining, vec![Effect::Terminate]));
}

#[test]
fn a_stop_works_in_every_state() {
    let gone = |events: Vec<(f64, Event)>| after(events, vec![(20.0, stop(30, 5))]).0.phase == Phase::Gone;
    let failed = || [started(), vec![(1.0, exited())]].concat();
    let waiting = [failed(), vec![(1.0, Event::GroupGone)]].concat();
    assert!(gone(vec![]), "requested");
    assert!(gone(vec![(0.0, Event::Allocated { devices: vec![1] })]), "allocated");
    assert!(gone(waiting), "waiting for a restart");
    let (replica, effects) = after(started(), vec![(20.0, stop(30, 5))]);
    assert_eq!((replica.state(), effects), (ReplicaState::Draining, vec![Effect::Terminate]), "starting");
    let (replica, _) = after(failed(), vec![(20.0, stop(30, 5))]);
    assert_eq!(replica.state(), ReplicaState::Draining, "failed, processes left");
    let (replica, _) = after(failed(), vec![(20.0, stop(30, 5)), (21.0, Event::GroupGone)]);
    assert_eq!(replica.phase, Phase::Gone, "failed and stopped");
}

#[test]
fn a_second_order_to_stop_only_makes_it_faster() {
    let draining = vec![(10.0, stop(30, 0)), (10.0, Event::Unrouted), (10.0, Event::Tick)];
    let phase = |order| after(ready(), [draining.clone(), vec![(11.0, order)]].concat()).0.phase;
    assert_eq!(phase(stop(90, 9)), Phase::Draining { until: at(40.0) });
    assert_eq!(phase(stop(2, 0)), Phase::Draining { until: at(13.0) });
}

#[test]
fn a_replica_that_dies_while_it_leaves_is_not_restarted() {
    for more in [vec![], vec![(11.0, Event::Unrouted)], vec![(11.0, Event::Unrouted), (17.0, Event::Tick)]] {
        let leaving = [vec![(10.0, stop(30, 5))], more].concat();
        let (replica, effects) = after(ready(), [leaving.clone(), vec![(18.0, exited())]].concat());
        assert_eq!((replica.phase, effects), (Phase::Killed, vec![Effect::Kill]));
        let (replica, _) =
            after(ready(), [leaving, vec![(18.0, exited()), (19.0, Event::GroupGone)]].concat());
        assert_eq!(replica.phase, Phase::Gone);
    }
}

#[test]
fn a_machine_that_has_run_out_of_something_is_not_held_against_the_version() {
    let no_room = || Event::NoRoom { reason: "no free port".to_owned() };
    let (replica, effects) = play(vec![(0.0, Event::Allocated { devices: vec![2] }), (0.0, no_room())]);
    assert_eq!((replica.state(), replica.start_failures, effects), (ReplicaState::Unhealthy, 0, vec![]));
    assert_eq!(replica.reason.as_deref(), Some("no free port"));
    let again = vec![
        (0.0, Event::Allocated { devices: vec![2] }),
        (0.0, no_room()),
        (0.6, Event::Tick),
        (0.6, no_room()),
    ];
    let (replica, _) = play(again.clone());
    assert_eq!(replica.phase, Phase::Waiting { until: at(1.6) }, "it tries again, less and less often");
    let (replica, effects) = play([again, vec![(1.7, Event::Tick)]].concat());
    assert_eq!((replica.phase, effects), (Phase::Allocated, vec![Effect::Spawn]));
}

#[test]
fn after_a_clock_was_set_back_nothing_takes_longer_than_it_would_have() {
    // The last agent wrote at second 5000; the next one starts at second 1000.
    let late =
        |events: Vec<(f64, Event)>| events.into_iter().map(|(at, event)| (at + 5000.0, event)).collect();
    let restored = |events: Vec<(f64, Event)>, wait: f64| {
        after(late(events), vec![(1000.0, Event::Restored), (1000.0 + wait, Event::Tick)]).0
    };
    let failed = [started(), vec![(1.0, exited()), (1.0, Event::GroupGone)]].concat();
    assert!(matches!(restored(failed.clone(), 0.0).phase, Phase::Waiting { .. }));
    assert_eq!(restored(failed, 31.0).phase, Phase::Allocated);
    let draining = [ready(), vec![(4.0, stop(20, 0)), (4.0, Event::Unrouted), (4.0, Event::Tick)]].concat();
    assert!(matches!(restored(draining.clone(), 19.0).phase, Phase::Draining { .. }));
    assert!(matches!(restored(draining.clone(), 21.0).phase, Phase::Terminating { .. }));
    let terminating = [draining, vec![(5.0, Event::InFlight(0))]].concat();
    assert!(matches!(restored(terminating.clone(), 9.0).phase, Phase::Terminating { .. }));
    assert_eq!(restored(terminating, 11.0).phase, Phase::Killed);
    let starting = restored(started(), 61.0);
    assert_eq!(starting.phase, Phase::Ending, "60 s to start, from now on");
    assert_eq!(restored(ready(), 0.0).ready_since(), Some(at(1000.0)));
}

#[test]
fn a_restarted_agent_repeats_what_may_not_have_been_done() {
    let restored = |events: Vec<(f64, Event)>| after(events, vec![(99.0, Event::Restored)]).1;
    assert_eq!(restored(vec![(0.0, Event::Allocated { devices: vec![] })]), [Effect::Spawn]);
    assert_eq!(restored(started()), []);
    assert_eq!(restored(ready()), []);
    assert_eq!(restored([started(), vec![(1.0, stop(0, 0))]].concat()), [Effect::Terminate]);
    assert_eq!(restored([started(), vec![(1.0, exited())]].concat()), [Effect::Kill]);
    let (replica, _) = after(ready(), vec![(99.0, Event::Restored)]);
    assert_eq!(replica.ready_since(), Some(at(3.0)));
}

fn answer() -> Event {
    Event::WarmupEnded(Ok(()))
}

/// Plays events after the first good check of a version with three warm-up requests.
fn warming(more: Vec<(f64, Event)>) -> (Replica, Vec<Effect>) {
    let mut events = ready();
    events.extend(more);
    play_with(events, Checks { health: &health(), warmup: Some(&warmup()) })
}

#[test]
fn a_replica_with_a_warm_up_is_ready_when_it_has_answered_all_of_it() {
    let (loaded, effects) = warming(vec![]);
    assert_eq!(
        (loaded.state(), loaded.question(), effects),
        (ReplicaState::Loaded, Some(Question::Warmup), vec![])
    );
    assert!(!loaded.is_routable());
    let (replica, effects) = warming(vec![(4.0, answer()), (5.0, answer())]);
    assert_eq!((replica.state(), replica.warmups_answered, effects), (ReplicaState::Loaded, 2, vec![]));
    let mut answers = vec![(4.0, answer()), (5.0, answer()), (6.0, answer())];
    let (warmed, effects) = warming(answers.clone());
    assert_eq!((warmed.state(), effects), (ReplicaState::Warmed, vec![Effect::Admit]));
    assert_eq!((warmed.question(), warmed.is_routable(), warmed.ready_since()), (None, false, None));
    answers.push((6.0, Event::Admitted));
    let (ready, _) = warming(answers);
    assert_eq!((ready.state(), ready.ready_since()), (ReplicaState::Ready, Some(at(6.0))));
    assert!(ready.is_routable());
}

#[test]
fn a_warm_up_that_fails_is_a_failed_start_and_says_how() {
    let status = |body: &str| WarmupFailure::Status { status: 500, body: body.to_owned() };
    let broken = WarmupFailure::Broken("the connection ended too early".to_owned());
    let head = "was answered with status 500 by POST /v1/completions";
    for (failure, what) in [
        (status("out of\nmemory\u{1b}[0m \"é\"\n"), format!("{head}: out of\\nmemory\\u001b[0m \"é\"")),
        (status(&"é".repeat(300)), format!("{head}: {}", "é".repeat(200))),
        (status(""), head.to_owned()),
        (WarmupFailure::NoAnswer, "had no answer within 30s".to_owned()),
        (broken, "had no complete answer by POST /v1/completions: the connection ended too early".to_owned()),
    ] {
        let (replica, effects) = warming(vec![(4.0, answer()), (5.0, Event::WarmupEnded(Err(failure)))]);
        assert_eq!((replica.state(), effects), (ReplicaState::Unhealthy, vec![Effect::Kill]));
        assert_eq!(replica.reason, Some(format!("warm-up request 2 of 3 {what}")));
        assert_eq!(replica.start_failures, 1);
    }
}

#[test]
fn failed_warm_ups_add_up_and_the_wait_grows() {
    let round = |start: f64| {
        vec![
            (start, spawned()),
            (start, Event::Checked(Ok(()))),
            (start, answer()),
            (start, Event::WarmupEnded(Err(WarmupFailure::NoAnswer))),
            (start, Event::GroupGone),
            (start + 5.0, Event::Tick),
        ]
    };
    let [first, second] = [10.0, 20.0].map(round);
    let failed = vec![(4.0, Event::WarmupEnded(Err(WarmupFailure::NoAnswer))), (4.0, Event::GroupGone)];
    let (replica, _) = warming([failed.clone(), vec![(5.0, Event::Tick)], first.clone()].concat());
    assert_eq!((replica.start_failures, replica.restarts), (2, 2));
    let told = Some("warm-up request 2 of 3 had no answer within 30s");
    assert_eq!(replica.reason.as_deref(), told, "each process is counted from the start");
    let (replica, _) = warming([failed, vec![(5.0, Event::Tick)], first, second].concat());
    assert_eq!((replica.start_failures, replica.restarts), (3, 3));
}

#[test]
fn a_warm_up_may_last_longer_than_the_start_and_an_end_within_it_is_a_failed_start() {
    let (replica, effects) = warming(vec![(59.0, answer()), (61.0, Event::Tick), (90.0, Event::Tick)]);
    assert_eq!((replica.state(), effects), (ReplicaState::Loaded, vec![]));
    let (replica, effects) = warming(vec![(4.0, exited())]);
    assert_eq!((replica.state(), effects), (ReplicaState::Unhealthy, vec![Effect::Kill]));
    assert_eq!(replica.reason.as_deref(), Some("exited with status 1 after 4.0 s: checksum mismatch"));
    assert_eq!(replica.start_failures, 1);
}

#[test]
fn a_stop_within_a_warm_up_skips_the_drain() {
    let (replica, effects) = warming(vec![(4.0, answer()), (5.0, stop(30, 5))]);
    assert_eq!(replica.phase, Phase::Terminating { kill_at: at(15.0) });
    assert_eq!(effects, [Effect::Terminate]);
    let late = vec![(5.0, stop(30, 5)), (5.0, answer()), (5.0, Event::Admitted)];
    assert_eq!(warming(late).0.phase, Phase::Terminating { kill_at: at(15.0) }, "what comes late is nothing");
    let answers = || vec![(4.0, answer()), (4.0, answer()), (4.0, answer())];
    let (replica, effects) = warming([answers(), vec![(5.0, stop(30, 5))]].concat());
    assert_eq!((replica.state(), effects), (ReplicaState::Draining, vec![Effect::Terminate]), "warmed");
}

#[test]
fn a_restarted_agent_repeats_the_warm_up_from_the_start() {
    let (replica, _) = warming(vec![(4.0, answer()), (5.0, answer())]);
    let read: Replica = serde_json::from_str(&serde_json::to_string(&replica).unwrap()).unwrap();
    assert_eq!((read.state(), read.warmups_answered), (ReplicaState::Loaded, 0));
    let checks = Checks { health: &health(), warmup: Some(&warmup()) };
    let (read, effects) = read.on(Event::Restored, at(9.0), checks);
    assert_eq!((read.question(), effects), (Some(Question::Warmup), vec![]));
    let answers = vec![(4.0, answer()), (4.0, answer()), (4.0, answer()), (9.0, Event::Restored)];
    assert_eq!(warming(answers).1, [Effect::Admit]);
}

#[test]
fn a_replica_that_was_ready_warms_up_again() {
    let answers = vec![(4.0, answer()), (4.0, answer()), (4.0, answer()), (4.0, Event::Admitted)];
    let again = vec![
        (5.0, exited()),
        (5.0, Event::GroupGone),
        (6.0, Event::Tick),
        (6.0, spawned()),
        (7.0, Event::Checked(Ok(()))),
    ];
    let (replica, _) = warming([answers, again].concat());
    assert_eq!((replica.state(), replica.warmups_answered), (ReplicaState::Loaded, 0));
}
