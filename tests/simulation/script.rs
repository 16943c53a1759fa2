//! What happens in one simulation: drawn from a seed, readable when printed.

use sluice::rollout::{Adjustment, Command};
use sluice::spec::{BatchPause, CountOrPercent, DeploymentPolicy, TimeSpan};

use super::clock::Millis;
use super::random::Random;
use super::world::{Behaviour, External, Knobs, Mood};

/// The policy of the last applies: it can move any number of replicas.
pub const LAST_POLICY: usize = 3;

/// One simulation.
#[derive(Debug)]
pub struct Script {
    /// Behaviour and replicas of each version, v0 first. The last one can be reached in the end.
    pub versions: Vec<(Behaviour, u32)>,
    /// What gates say of each version.
    pub moods: Vec<Mood>,
    pub policies: Vec<DeploymentPolicy>,
    pub acts: Vec<Act>,
    pub externals: Vec<(Millis, External)>,
    pub knobs: Knobs,
    pub cloud_skew_seconds: i64,
    pub poll_millis: Millis,
}

/// One apply, or two at a time.
#[derive(Debug, Clone)]
pub struct Act {
    pub apply: Apply,
    pub ending: Ending,
    /// Somebody else applies as well, so much later.
    pub second: Option<(Millis, Apply)>,
    /// What people ask of the rollout meanwhile, each so long after the one before.
    pub commands: Vec<(Millis, Command)>,
    /// Time until the next act.
    pub pause: Millis,
}

#[derive(Debug, Clone, Copy)]
pub struct Apply {
    pub version: usize,
    pub policy: usize,
    pub machine: u32,
    pub skew_seconds: i64,
}

/// How an apply ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Free,
    /// Its process dies at this call to cloud or ledger.
    DiesAtCall(u64),
    /// Its process dies at this time after its start.
    DiesAfter(Millis),
    /// It is told to stop.
    Stops(Millis),
}

impl Script {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let large = random.permille(50);
        let desired = if large { random.count(9, 24) } else { random.count(1, 8) };
        let versions = versions(&mut random, desired);
        let mut policies: Vec<_> = (0..=LAST_POLICY).map(|_| policy(&mut random, desired)).collect();
        policies[LAST_POLICY].max_surge = Some(CountOrPercent::Count(random.count(1, 3)));
        let faults_end = random.within(100, 1_500) * 1_000;
        let skewed = random.permille(400);
        let acts = acts(&mut random, versions.len(), skewed);
        let externals = externals(&mut random, faults_end);
        let knobs = knobs(&mut random, desired, faults_end);
        let moods = moods(&mut random, versions.len());
        Self {
            versions,
            moods,
            policies,
            acts,
            externals,
            knobs,
            cloud_skew_seconds: skew(&mut random, skewed),
            poll_millis: random.within(500, 5_000),
        }
    }
}

fn versions(random: &mut Random, desired: u32) -> Vec<(Behaviour, u32)> {
    use Behaviour::{Crashing, Flapping, Good, Missing, NeverReady, Refused};
    let mut versions = vec![(Good, desired)];
    for _ in 0..random.within(1, 3) {
        let kinds = [Good, Good, Good, NeverReady, Crashing, Flapping, Missing, Refused];
        let replicas = if random.permille(200) { random.count(1, desired + 3) } else { desired };
        versions.push((random.pick(&kinds), replicas));
    }
    versions.push((Good, desired));
    versions
}

/// The last version is sound, so that it can be reached.
fn moods(random: &mut Random, versions: usize) -> Vec<Mood> {
    let kinds = [Mood::Sound, Mood::Sound, Mood::Sound, Mood::Fickle, Mood::Silent, Mood::Broken];
    let mut moods: Vec<Mood> = (1..versions).map(|_| random.pick(&kinds)).collect();
    moods.push(Mood::Sound);
    moods
}

/// What makes a policy more than rolling.
fn refine(random: &mut Random, policy: &mut serde_json::Value) {
    let bake = format!("{}s", random.within(0, 40));
    let strategies = ["rolling", "rolling", "rolling", "canary", "blue_green", "all_at_once"];
    let strategy = random.pick(&strategies);
    policy["strategy"] = strategy.into();
    if strategy != "rolling" && random.permille(800) {
        policy["max_surge"] = serde_json::Value::Null;
    }
    let promote = random.pick(&["auto", "auto", "manual"]);
    if strategy == "blue_green" {
        policy["canary"] = serde_json::json!({ "bake": bake, "promote": promote });
    } else if strategy == "canary" || strategy == "rolling" && random.permille(300) {
        let first = random.within(0, 60);
        let mut shares = vec![format!("{}%", (first + random.within(1, 39)).min(100))];
        shares.extend(random.permille(300).then(|| "100%".to_owned()));
        let steps = if random.permille(500) { shares } else { Vec::new() };
        let size = random.permille(300).then(|| random.pick(&["1", "2", "50%"]));
        let weight = random.permille(600).then(|| format!("{first}%"));
        policy["canary"] = serde_json::json!({
            "size": size, "weight": weight, "steps": steps, "bake": bake, "promote": promote,
        });
    }
    if random.permille(350) {
        let gate = |random: &mut Random| {
            let interval = format!("{}s", random.within(2, 20));
            serde_json::json!({
                "cloudwatch_alarm": "alarm", "interval": interval, "failures_max": random.within(1, 3),
            })
        };
        let count = random.within(1, 2);
        policy["gates"] = (0..count).map(|_| gate(random)).collect();
    }
    if random.permille(250) {
        policy["keep_warm"] = format!("{}s", random.within(1, 90)).into();
    }
}

fn policy(random: &mut Random, desired: u32) -> DeploymentPolicy {
    let amount = |random: &mut Random| match random.within(0, 2) {
        0 => serde_json::json!(random.within(0, 3)),
        1 => serde_json::json!("0"),
        _ => serde_json::json!(format!("{}%", random.within(1, 100))),
    };
    let batch = random.permille(350).then(|| {
        serde_json::json!({
            "size": random.within(1, u64::from(desired) + 1), "bake": format!("{}s", random.within(0, 30)),
        })
    });
    let mut policy = serde_json::json!({
        "max_surge": amount(random),
        "max_unavailable": amount(random),
        "batch": batch,
        "min_ready": format!("{}s", random.pick(&[0, 0, 1, 5, 10])),
        "progress_deadline": format!("{}s", random.pick(&[150, 200, 300])),
        "max_start_failures": random.within(1, 5),
        "rollback": {
            "auto": random.permille(850),
            "batch_size": random.pick(&["100%", "100%", "1", "2", "50%"]),
            "deadline": format!("{}s", random.pick(&[150, 300])),
        },
        "on_no_capacity": {
            "action": random.pick(&["wait", "degrade", "fail"]),
            "timeout": format!("{}s", random.within(20, 200)),
        },
        "on_interrupt": random.pick(&["hold", "hold", "rollback"]),
        "allow_downtime": random.permille(100),
    });
    if random.permille(600) {
        refine(random, &mut policy);
    }
    let policy: DeploymentPolicy = serde_json::from_value(policy).unwrap();
    if policy.validate().is_empty() {
        policy
    } else {
        DeploymentPolicy { min_ready: policy.min_ready, ..DeploymentPolicy::default() }
    }
}

fn acts(random: &mut Random, versions: usize, skewed: bool) -> Vec<Act> {
    let mut acts = Vec::new();
    let machines: Vec<(u32, i64)> = (0..3).map(|machine| (machine, skew(random, skewed))).collect();
    let apply = |random: &mut Random, version: usize| {
        let (machine, skew_seconds) = random.pick(&machines);
        let policy = usize::try_from(random.within(0, 3)).unwrap();
        Apply { version, policy, machine, skew_seconds }
    };
    let any = |random: &mut Random| usize::try_from(random.next() % versions as u64).unwrap();
    let calm = random.permille(700);
    let count = random.within(1, 5);
    for index in 0..=count {
        let version = if index == 0 { 0 } else { any(random) };
        let ending = match random.within(0, 9) {
            _ if index == 0 && calm => Ending::Free,
            0..=3 => Ending::Free,
            4..=6 => Ending::DiesAtCall(random.within(1, 60)),
            7 => Ending::DiesAfter(random.within(0, 120_000)),
            _ => Ending::Stops(random.within(0, 90_000)),
        };
        let second = (index > 0 && random.permille(150)).then(|| {
            let version = any(random);
            (random.within(0, 60_000), apply(random, version))
        });
        let pause = random.pick(&[0, 0, 1_000, 20_000, 60_000]);
        let commands = if random.permille(200) { commands(random) } else { Vec::new() };
        acts.push(Act { apply: apply(random, version), ending, second, commands, pause });
    }
    acts
}

/// Every pause ends: by a word to go on, or to go back.
fn commands(random: &mut Random) -> Vec<(Millis, Command)> {
    if random.permille(300) {
        let other = if random.permille(500) { Command::Promote } else { Command::Adjust(adjustment(random)) };
        return vec![(random.within(0, 200_000), other)];
    }
    let first = random.pick(&[Command::Pause, Command::Pause, Command::Abort]);
    let last = random.pick(&[Command::Resume, Command::Resume, Command::Abort]);
    vec![(random.within(0, 60_000), first), (random.within(0, 400_000), last)]
}

fn adjustment(random: &mut Random) -> Adjustment {
    Adjustment {
        size: random.permille(700).then(|| CountOrPercent::Count(random.count(0, 5))),
        bake: random.permille(500).then(|| TimeSpan::from_seconds(random.within(0, 30))),
        pause: random.permille(200).then_some(BatchPause::None),
    }
}

fn skew(random: &mut Random, skewed: bool) -> i64 {
    let skew = i64::from(random.count(0, 120)) - 60;
    if skewed { skew } else { 0 }
}

fn externals(random: &mut Random, until: Millis) -> Vec<(Millis, External)> {
    let count = if random.permille(500) { 0 } else { random.within(1, 6) };
    let draw = |_| {
        let kind = random.pick(&[External::Kill, External::Kill, External::Delete, External::Add]);
        (random.within(0, until), kind)
    };
    (0..count).map(draw).collect()
}

fn knobs(random: &mut Random, desired: u32, faults_end: Millis) -> Knobs {
    let noisy = random.permille(600);
    let mut rate = |most: u32| if noisy { random.count(0, most) } else { 0 };
    let (start_failures, before, after, throttled, ledger) =
        (rate(60), rate(80), rate(80), rate(50), rate(4));
    // Enough for what is wanted, what surges, and what a larger version left behind; short for a while.
    let enough = 4 * desired + 12;
    let short = random.count(desired.saturating_sub(1), desired + 2);
    let from = random.within(0, faults_end);
    let to = (from + random.within(0, 400_000)).min(faults_end);
    let capacity =
        if random.permille(300) { vec![(0, enough), (from, short), (to, enough)] } else { vec![(0, enough)] };
    Knobs {
        start_millis: random.within(200, 20_000),
        drain_millis: random.within(0, 15_000),
        release_millis: random.pick(&[0, 0, 5_000, 20_000]),
        stale_millis: random.pick(&[0, 0, 2_000, 5_000]),
        latency_millis: random.pick(&[0, 20, 200, 700]),
        start_failures_permille: start_failures,
        errors_before_permille: before,
        errors_after_permille: after,
        throttled_permille: throttled,
        ledger_errors_permille: ledger,
        ledger_lost_answers_permille: random.pick(&[0, 0, 0, 100]),
        faults_end,
        capacity,
    }
}
