//! What happens in a run, decided by its seed alone: a sequence of strikes and, beside it, one of rollouts.

use std::time::Duration;

use crate::random::Random;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    KillAgent,
    KillGateway,
    KillProvider,
    KillReplica,
    /// Politely.
    EndAgent,
    /// Politely.
    EndGateway,
    KillAgentAndGateway,
    KillAgentAndReplica,
    StopAgent,
    StopGateway,
    /// For so long that the agent gives it up.
    StopGatewayForLong,
    StopReplica,
    /// Until its health checks have failed.
    StopReplicaForLong,
    /// It is well by its health check, and answers nothing.
    HangReplica,
    FillDisk,
    JumpClock,
    TakePorts,
    IdleConnections,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    pub harm: Harm,
    /// Quiet time before it.
    pub rest: Duration,
    /// How long it lasts, where it lasts.
    pub lasts: Duration,
    /// Chooses whom it hits.
    pub pick: u64,
}

/// A version to roll to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// One replica after the other.
    OneByOne,
    /// Two more, one less.
    Wide,
    /// In batches that bake.
    Batches,
    /// Behind a canary.
    Canary,
    /// Whose answers begin late.
    Slow,
    /// Whose model is damaged: it never starts.
    Damaged,
    /// Which never listens.
    Mute,
    /// Which dies before it is available.
    Dying,
}

impl Course {
    /// Whether the version can serve at all.
    pub const fn is_sound(self) -> bool {
        !matches!(self, Self::Damaged | Self::Mute | Self::Dying)
    }

    /// `max_surge` and `max_unavailable` of its policy.
    pub const fn limits(self) -> (usize, usize) {
        match self {
            Self::Wide => (2, 1),
            _ => (1, 0),
        }
    }
}

/// Everything that can go wrong, once.
const ROUND: [Harm; 18] = [
    Harm::EndAgent,
    Harm::EndGateway,
    Harm::KillAgent,
    Harm::KillGateway,
    Harm::KillProvider,
    Harm::KillReplica,
    Harm::KillAgentAndGateway,
    Harm::KillAgentAndReplica,
    Harm::StopAgent,
    Harm::StopGateway,
    Harm::StopGatewayForLong,
    Harm::StopReplica,
    Harm::StopReplicaForLong,
    Harm::HangReplica,
    Harm::FillDisk,
    Harm::JumpClock,
    Harm::TakePorts,
    Harm::IdleConnections,
];

/// Strikes that never end: each round has everything once, in an order of its own. Only the first round has what
/// takes long and shows nothing new the second time.
pub fn strikes(seed: u64) -> impl Iterator<Item = Strike> {
    let mut random = Random::new(seed, 1);
    (0_u32..).flat_map(move |round| {
        let harms = ROUND.into_iter().filter(|harm| round == 0 || *harm != Harm::StopGatewayForLong);
        let harms = random.shuffled(harms.collect());
        let strikes: Vec<Strike> = harms.into_iter().map(|harm| strike(harm, &mut random)).collect();
        strikes
    })
}

/// Versions that never end: of each round most can serve.
pub fn courses(seed: u64) -> impl Iterator<Item = Course> {
    let mut random = Random::new(seed, 2);
    (0_u32..).flat_map(move |_| {
        let sound = [Course::OneByOne, Course::Wide, Course::Batches, Course::Canary, Course::Slow];
        let unsound = [Course::Damaged, Course::Mute, Course::Dying];
        random.shuffled([&sound[..], &sound[..2], &unsound[..]].concat())
    })
}

fn strike(harm: Harm, random: &mut Random) -> Strike {
    let seconds = Duration::from_secs;
    let (shortest, longest) = match harm {
        Harm::StopGatewayForLong | Harm::StopReplicaForLong => (seconds(20), seconds(21)),
        Harm::StopReplica => (Duration::from_millis(300), Duration::from_millis(1500)),
        Harm::HangReplica | Harm::StopGateway | Harm::StopAgent => (seconds(1), seconds(5)),
        _ => (seconds(3), seconds(7)),
    };
    Strike {
        harm,
        rest: random.between(Duration::from_millis(200), seconds(3)),
        lasts: random.between(shortest, longest),
        pick: random.next(),
    }
}
