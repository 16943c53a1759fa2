//! The decisions about a rollout that the cloud paces itself: when to ask for it, when it has ended, when to turn back.
//!
//! What a cloud says is not trusted further than it goes: an update has succeeded when the target is read back as what
//! serves, and an update that settled on the prior version was rolled back, whatever else is said about it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::census::Census;
use super::failure::{self, fail};
use super::pace::add;
use super::pending::VISIBILITY_MAX;
use super::record::{Failure, FailureClass, Record};
use super::step::Accounting;
use super::{Phase, canary, gates, pace};
use crate::fleet::{Fleet, GateReading, Pacing, UpdateReport, UpdateState};
use crate::spec::{Batch, BatchPause, Canary, Percent, TimeSpan};

/// How often a cloud is asked for the same thing before it is taken to refuse it.
const ASKED_MAX: u32 = 5;
/// Beyond its own longest time, for an update that cannot be turned back.
const GRACE: Duration = Duration::from_hours(1);
/// The longest time of an update that has no other bound.
const LONGEST: TimeSpan = crate::spec::TOTAL_TIMEOUT_MAX;

/// What a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// What is remembered.
    pub record: &'a Record,
    /// What runs and serves.
    pub fleet: &'a Fleet,
    /// How the update stands.
    pub update: &'a UpdateReport,
    /// What the cloud does by itself.
    pub pacing: Pacing,
    /// What gates have said since the last look.
    pub readings: &'a [GateReading],
    /// The time, by the engine's clock.
    pub now: Timestamp,
}

/// One request to the cloud. Asking for the same thing again changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Replace the prior version by the target.
    Begin,
    /// Go back to the prior version.
    Reverse,
    /// Give the target a share of the traffic.
    Shift {
        /// The share.
        share: Percent,
    },
    /// Stand still.
    Hold,
    /// Go on.
    GoOn,
    /// Take up the changed policy.
    Adjust,
}

/// What to ask for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervision {
    /// The requests to make now.
    pub orders: Vec<Order>,
    /// When to look again although nothing was seen to change.
    pub wake_after: Option<Duration>,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// What to remember.
    pub record: Record,
    /// The engine can do nothing more: the update stays with the cloud, for a later apply to look at.
    pub leaves: bool,
}

/// What is remembered of an update that the cloud paces, in the direction that it has now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Supervised {
    /// When it was first asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// How often.
    pub asked: u32,
    /// The share asked for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// It was told to stand still.
    pub held: bool,
    /// When it was told to go on, until that shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_on_at: Option<Timestamp>,
    /// The batches that the cloud was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How it stood at the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<UpdateState>,
}

impl Supervised {
    /// Nothing has been asked for or seen.
    pub fn is_untouched(&self) -> bool {
        *self == Self::default()
    }

    /// The cloud would not take the request now: it counts as not made.
    pub fn take_back(&mut self) {
        self.asked_at = None;
        self.asked = 0;
        self.share = None;
    }
}

/// Decides. The same input gives the same answer; a terminal record is returned as it is.
pub fn supervise(watch: &Watch<'_>) -> Supervision {
    let mut made = Supervision {
        orders: Vec::new(),
        wake_after: None,
        reasons: Vec::new(),
        record: watch.record.clone(),
        leaves: false,
    };
    if made.record.phase.is_terminal() {
        return made;
    }
    note_progress(watch, &mut made.record);
    if made.record.paused_since.is_some() {
        stand_still(watch, &mut made);
        return made;
    }
    if std::mem::take(&mut made.record.supervised.held) {
        made.record.supervised.told_on_at = Some(watch.now);
        made.orders.push(Order::GoOn);
        made.reasons.push("going on after the pause".to_owned());
        return made;
    }
    if made.record.is_rolling_back() {
        go_back(watch, &mut made);
    } else {
        go_forward(watch, &mut made);
    }
    if made.record.phase.is_terminal() {
        made.record.ended_at = Some(watch.now);
        made.orders.clear();
    } else {
        made.wake_after = wake_after(watch, &made.record);
    }
    made
}

fn note_progress(watch: &Watch<'_>, record: &mut Record) {
    let census = Census::take(watch.fleet, record, Accounting::Devices);
    failure::note_progress(record, &census, watch.now);
    gates::note(record, watch.readings);
    if watch.update.state != UpdateState::Waiting {
        record.supervised.told_on_at = None;
    }
    if record.supervised.state != Some(watch.update.state) {
        record.supervised.state = Some(watch.update.state);
        record.progress.at = watch.now;
    }
}

fn stand_still(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    record.phase = Phase::Paused;
    record.progress.at = record.progress.at.max(watch.record.progress.at);
    if watch.pacing.pauses && watch.update.state == UpdateState::Running && !record.supervised.held {
        record.supervised.held = true;
        made.orders.push(Order::Hold);
    }
    made.reasons.push("paused: resume or abort it".to_owned());
}

fn go_forward(watch: &Watch<'_>, made: &mut Supervision) {
    if overtime(watch, made) {
        return;
    }
    let to = made.record.to.version;
    match watch.update.state {
        // Before anything was asked for, what settled is the past.
        UpdateState::Settled
            if made.record.supervised.asked_at.is_none() && watch.update.serving != Some(to) =>
        {
            ask(watch, made);
        }
        UpdateState::Absent => ask(watch, made),
        UpdateState::Busy => wait_for_others(made),
        UpdateState::Running => keep_watching(watch, made),
        UpdateState::Waiting => after_batch(watch, made),
        UpdateState::Reverting => {
            let why = because(watch, format!("the cloud is taking {to} back"));
            note_failure(watch, made, why);
            made.record.phase = Phase::RollingBack;
            made.record.supervised.asked_at = Some(watch.now);
        }
        UpdateState::Settled => settled(watch, made),
        UpdateState::Failed => {
            let why = because(watch, format!("the cloud gave up on {to}"));
            fail(&mut made.record, FailureClass::Refused, why, watch.now, &mut made.reasons);
        }
    }
}

/// Asks for the next thing on the way forward: a share for the canary, or the whole update.
fn ask(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    if record.supervised.asked >= ASKED_MAX {
        let why = because(watch, format!("asked {ASKED_MAX} times, the cloud knows nothing of the update"));
        fail(record, FailureClass::Refused, why, watch.now, &mut made.reasons);
        return;
    }
    let share = next_share(watch, record);
    record.phase = Phase::Starting;
    record.supervised.asked_at.get_or_insert(watch.now);
    record.supervised.asked = record.supervised.asked.saturating_add(1);
    record.supervised.share = share;
    let to = record.to.version;
    if let Some(share) = share {
        made.orders.push(Order::Shift { share });
        made.reasons.push(format!("give {to} {share} of the traffic"));
    } else {
        record.supervised.batch.clone_from(&record.policy.batch);
        made.orders.push(Order::Begin);
        made.reasons.push(format!("ask the cloud to replace the prior version by {to}"));
    }
}

/// The share of traffic that the canary gets next; nothing when the cloud runs it, or when all have baked.
fn next_share(watch: &Watch<'_>, record: &Record) -> Option<Percent> {
    let canary = own_canary(watch, record)?;
    (record.canary.done < canary.stages()).then(|| share(record, &canary))
}

/// The canary that the engine runs and that is not promoted yet.
fn own_canary(watch: &Watch<'_>, record: &Record) -> Option<Canary> {
    canary::open(record).filter(|_| !watch.pacing.canary)
}

/// The share of the stage that the canary has reached: as given, else what its replicas are of all.
fn share(record: &Record, canary: &Canary) -> Percent {
    let desired = record.to.replicas.max(1);
    let by_replicas =
        || (u64::from(canary.replicas(record.canary.done, desired)) * 100).div_ceil(desired.into());
    let given = canary.share(record.canary.done);
    given.unwrap_or_else(|| u8::try_from(by_replicas()).ok().and_then(Percent::new).unwrap_or(Percent::ALL))
}

fn wait_for_others(made: &mut Supervision) {
    made.record.phase = Phase::Planned;
    made.reasons.push("another update of the endpoint is under way: waiting for its end".to_owned());
}

fn keep_watching(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    record.phase = Phase::Starting;
    if watch.pacing.pauses
        && record.supervised.asked_at.is_some()
        && record.supervised.share.is_none()
        && record.supervised.batch != record.policy.batch
    {
        record.supervised.batch.clone_from(&record.policy.batch);
        made.orders.push(Order::Adjust);
        made.reasons.push("tell the cloud the changed batches".to_owned());
        return;
    }
    made.reasons.push(because(watch, "the cloud is at it".to_owned()));
}

/// The cloud stands still after a batch: so does the rollout where the policy wants a word, else it goes on.
fn after_batch(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    let told_on_at = record.supervised.told_on_at;
    if told_on_at.is_some_and(|told| watch.now < add(told, VISIBILITY_MAX.as_duration())) {
        made.reasons.push("the cloud was told to go on".to_owned());
        return;
    }
    let pause = record.policy.batch.as_ref().map(|batch| batch.pause).unwrap_or_default();
    let waits = match pause {
        BatchPause::Each => true,
        BatchPause::First => record.batch.done == 0,
        BatchPause::None => false,
    };
    record.batch.done += 1;
    record.progress.at = watch.now;
    made.reasons.push(format!("batch {} is done", record.batch.done));
    if waits {
        record.paused_since = Some(watch.now);
        record.phase = Phase::Paused;
        record.supervised.held = true;
        made.reasons.push("paused: the next batch waits for a word".to_owned());
    } else {
        record.supervised.told_on_at = Some(watch.now);
        made.orders.push(Order::GoOn);
    }
}

/// Nothing is under way any more.
fn settled(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    let (to, from) = (record.to.version, record.from.map(|from| from.version));
    if record.supervised.share.is_some() && watch.update.canary == record.supervised.share {
        bake_share(watch, made);
    } else if watch.update.serving == Some(to) {
        finish(watch, made);
    } else if from.is_some() && watch.update.serving == from && record.supervised.share.is_none() {
        let why = because(watch, format!("the cloud went back to {} by itself", serving(watch)));
        note_failure(watch, made, why);
        made.record.phase = Phase::RolledBack;
    } else {
        let why = because(watch, format!("the update of {to} ended with {} serving", serving(watch)));
        fail(&mut made.record, FailureClass::Refused, why, watch.now, &mut made.reasons);
    }
}

/// A share of the traffic has arrived: it bakes, and the next thing follows.
fn bake_share(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    if let Some(canary) = own_canary(watch, record) {
        if record.canary.awaiting_since.is_some() {
            record.phase = Phase::AwaitingPromotion;
            made.reasons.push("the rest waits for a promotion".to_owned());
            return;
        }
        if !pace::bakes_out(record, true, watch.now, &mut made.reasons) {
            record.phase = Phase::Baking;
            return;
        }
        canary::count_share(record, &canary, watch.now, &mut made.reasons);
        if record.canary.awaiting_since.is_some() {
            record.phase = Phase::AwaitingPromotion;
            return;
        }
    }
    record.supervised = Supervised::default();
    ask(watch, made);
}

/// The target serves: it has succeeded once it has baked.
fn finish(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    // Whoever ran the canary, it is over.
    record.canary.promoted = true;
    let bakes = !watch.pacing.bakes && record.from.is_some();
    if bakes && !pace::bakes_out(record, true, watch.now, &mut made.reasons) {
        record.phase = Phase::Baking;
        made.reasons.push(format!("{} serves and bakes", record.to.version));
        return;
    }
    record.phase = Phase::Succeeded;
    made.reasons.push(format!("{} serves", record.to.version));
}

fn go_back(watch: &Watch<'_>, made: &mut Supervision) {
    let record = &mut made.record;
    record.phase = Phase::RollingBack;
    let from = record.from.map(|from| from.version);
    let is_back = watch.update.serving == from && watch.update.canary.is_none();
    let asked = record.supervised.asked_at.is_some();
    let may_ask = !asked || watch.update.state == UpdateState::Absent;
    match watch.update.state {
        UpdateState::Settled if is_back => {
            record.phase = Phase::RolledBack;
            made.reasons.push(format!("{} serves again", serving(watch)));
            return;
        }
        UpdateState::Reverting => {}
        UpdateState::Waiting if asked => {
            let told_on_at = record.supervised.told_on_at;
            if told_on_at.is_none_or(|told| watch.now >= add(told, VISIBILITY_MAX.as_duration())) {
                record.supervised.told_on_at = Some(watch.now);
                made.orders.push(Order::GoOn);
            }
        }
        UpdateState::Failed if asked => {
            let why = because(watch, "the cloud could not go back".to_owned());
            fail(record, FailureClass::Refused, why, watch.now, &mut made.reasons);
            return;
        }
        UpdateState::Settled if asked => {
            let why = because(watch, "going back ended elsewhere".to_owned());
            fail(record, FailureClass::Refused, why, watch.now, &mut made.reasons);
            return;
        }
        _ if may_ask && record.supervised.asked < ASKED_MAX => {
            record.supervised.asked_at.get_or_insert(watch.now);
            record.supervised.asked = record.supervised.asked.saturating_add(1);
            made.orders.push(Order::Reverse);
            made.reasons.push("ask the cloud to go back".to_owned());
        }
        _ => {}
    }
    if failure::deadline(record).is_some_and(|deadline| watch.now >= deadline) {
        let span = record.policy.rollback.deadline;
        let why = because(watch, format!("no progress on the way back for {span}"));
        fail(record, FailureClass::Stalled, why, watch.now, &mut made.reasons);
    }
}

/// Whether a deadline has passed; fails the rollout then, or leaves it where it cannot be turned back.
fn overtime(watch: &Watch<'_>, made: &mut Supervision) -> bool {
    let record = &mut made.record;
    let under_way = matches!(watch.update.state, UpdateState::Running | UpdateState::Reverting);
    if under_way && !watch.pacing.turns_back {
        let longest = record.policy.total_timeout.unwrap_or(LONGEST).as_duration().saturating_add(GRACE);
        let asked_at = record.supervised.asked_at.unwrap_or(record.started_at);
        made.leaves = watch.now >= add(asked_at, longest);
        if made.leaves {
            made.reasons.push("the cloud does not come to an end, and cannot be turned back".to_owned());
        }
        return made.leaves;
    }
    if let Some((class, why)) = gates::failed(record).or_else(|| gates::undecided(record, watch.now)) {
        fail(record, class, why, watch.now, &mut made.reasons);
        return true;
    }
    if record.canary.awaiting_since.is_some() {
        return false;
    }
    let total = failure::ends_by(record).filter(|ends| watch.now >= *ends).and(record.policy.total_timeout);
    let stalled = record.bakes_since().is_none()
        && failure::deadline(record).is_some_and(|deadline| watch.now >= deadline);
    let (class, why) = match total {
        Some(total) => (FailureClass::Timeout, format!("the rollout was not done within {total}")),
        None if stalled => {
            (FailureClass::Stalled, format!("no progress for {}", record.policy.progress_deadline))
        }
        None => return false,
    };
    let why = because(watch, why);
    fail(record, class, why, watch.now, &mut made.reasons);
    true
}

fn note_failure(watch: &Watch<'_>, made: &mut Supervision, reason: String) {
    made.reasons.push(reason.clone());
    made.record.failure = Some(Failure { class: FailureClass::Refused, reason, at: watch.now });
}

fn because(watch: &Watch<'_>, what: String) -> String {
    match &watch.update.reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what,
    }
}

fn wake_after(watch: &Watch<'_>, record: &Record) -> Option<Duration> {
    let next = pace::bake_ends(record).into_iter().chain(gates::next_due(record)).min()?;
    (next > watch.now).then(|| next.duration_since(watch.now).unsigned_abs())
}

fn serving(watch: &Watch<'_>) -> String {
    watch.update.serving.map_or_else(|| "something else".to_owned(), |version| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Side;
    use crate::spec::{Canary, DeploymentPolicy, RolloutRevision, VersionNumber};

    const PACING: Pacing = Pacing { bakes: false, canary: false, pauses: true, turns_back: true };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn record(policy: DeploymentPolicy) -> Record {
        let side = |version| Side { version: VersionNumber(version), replicas: 4 };
        Record::new(RolloutRevision(1), Some(side(0)), side(1), policy, at(0))
    }

    fn report(state: UpdateState, serving: Option<u32>) -> UpdateReport {
        UpdateReport { state, serving: serving.map(VersionNumber), canary: None, reason: None }
    }

    /// Plays what the cloud says, one look a second, and returns what is asked for and how it ends.
    fn play(policy: DeploymentPolicy, pacing: Pacing, looks: &[UpdateReport]) -> (Vec<Order>, Record) {
        let mut record = record(policy);
        let mut orders = Vec::new();
        for (second, update) in (1..).zip(looks) {
            let fleet = Fleet::empty(at(second));
            let watch =
                Watch { record: &record, fleet: &fleet, update, pacing, readings: &[], now: at(second) };
            let made = supervise(&watch);
            assert_eq!(made, supervise(&watch), "the same input gives the same answer");
            orders.extend(made.orders);
            record = made.record;
        }
        (orders, record)
    }

    #[test]
    fn an_update_succeeds_only_when_the_target_is_read_back() {
        use UpdateState::{Absent, Running, Settled};
        let policy = DeploymentPolicy::default;
        let looks = [report(Absent, Some(0)), report(Running, Some(0)), report(Settled, Some(1))];
        let (orders, done) = play(policy(), PACING, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin], Phase::Succeeded));
        let looks = [report(Absent, Some(0)), report(Running, None), report(Settled, Some(0))];
        let (orders, done) = play(policy(), PACING, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin], Phase::RolledBack));
        assert!(done.failure.unwrap().reason.contains("went back to v0"));
        let looks = [report(Absent, Some(0)), report(Settled, None), report(Settled, Some(0))];
        let (orders, done) = play(policy(), PACING, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin], Phase::RolledBack));
        assert!(done.failure.unwrap().reason.contains("something else"));
    }

    #[test]
    fn a_lost_request_is_made_again_a_few_times() {
        let looks = vec![report(UpdateState::Absent, Some(0)); 10];
        let (orders, done) = play(DeploymentPolicy::default(), PACING, &looks);
        let begins = orders.iter().filter(|order| **order == Order::Begin).count();
        assert_eq!(begins, ASKED_MAX as usize);
        assert!(done.is_rolling_back());
    }

    #[test]
    fn a_failed_update_is_turned_back_and_a_failed_way_back_is_the_end() {
        use UpdateState::{Absent, Failed, Running};
        let looks =
            [report(Absent, Some(0)), report(Failed, None), report(Failed, None), report(Running, None)];
        let (orders, done) = play(DeploymentPolicy::default(), PACING, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin, Order::Reverse], Phase::RollingBack));
        let looks =
            [report(Absent, Some(0)), report(Failed, None), report(Failed, None), report(Failed, None)];
        let (_, done) = play(DeploymentPolicy::default(), PACING, &looks);
        assert_eq!(done.phase, Phase::RollbackFailed);
    }

    #[test]
    fn no_progress_turns_an_update_back_where_that_is_possible() {
        let policy = || DeploymentPolicy {
            progress_deadline: TimeSpan::from_seconds(5),
            min_ready: TimeSpan::ZERO,
            ..DeploymentPolicy::default()
        };
        let mut looks = vec![report(UpdateState::Absent, Some(0))];
        looks.extend(vec![report(UpdateState::Running, Some(0)); 8]);
        let (orders, done) = play(policy(), PACING, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin, Order::Reverse], Phase::RollingBack));
        let (orders, done) = play(policy(), Pacing { turns_back: false, ..PACING }, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin], Phase::Starting));
    }

    #[test]
    fn a_canary_bakes_each_share_before_the_rest_follows() {
        let canary =
            |share| UpdateReport { canary: Percent::new(share), ..report(UpdateState::Settled, Some(0)) };
        let policy = DeploymentPolicy {
            canary: Some(Canary {
                weight: Percent::new(10),
                steps: vec![Percent::new(50).unwrap()],
                bake: TimeSpan::from_seconds(2),
                ..Canary::default()
            }),
            ..DeploymentPolicy::default()
        };
        let looks = [
            report(UpdateState::Settled, Some(0)),
            canary(10),
            canary(10),
            canary(10),
            canary(50),
            canary(50),
            canary(50),
            report(UpdateState::Running, None),
            report(UpdateState::Settled, Some(1)),
        ];
        let (orders, done) = play(policy, PACING, &looks);
        let share = |share| Order::Shift { share: Percent::new(share).unwrap() };
        assert_eq!((orders, done.phase), (vec![share(10), share(50), Order::Begin], Phase::Succeeded));
    }

    #[test]
    fn a_batch_waits_for_a_word_where_the_policy_wants_one() {
        use UpdateState::{Absent, Waiting};
        let batch = |pause| DeploymentPolicy {
            batch: Some(Batch { size: "1".parse().unwrap(), bake: TimeSpan::ZERO, pause }),
            ..DeploymentPolicy::default()
        };
        let looks = [report(Absent, Some(0)), report(Waiting, None), report(Waiting, None)];
        let (orders, done) = play(batch(BatchPause::Each), PACING, &looks);
        assert_eq!((orders, done.phase), (vec![Order::Begin], Phase::Paused));
        let (orders, _) = play(batch(BatchPause::None), PACING, &looks);
        assert_eq!(orders, [Order::Begin, Order::GoOn], "told once, until it shows");
    }
}
