//! The proof that a replica can answer: warm-up requests between the first good check and the first routed request.

use jiff::Timestamp;

use super::{Effect, Phase, Replica, WarmupFailure};
use crate::spec::{Warmup, in_one_line};

/// Characters of an answer that are told.
const TOLD_MAX: usize = 200;

impl Replica {
    pub(super) fn admitted(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.phase == Phase::Warmed { self.become_ready(now) } else { Vec::new() }
    }

    pub(super) fn warmup_ended(
        &mut self,
        result: Result<(), WarmupFailure>,
        warmup: Option<&Warmup>,
    ) -> Vec<Effect> {
        let (Phase::Loaded, Some(warmup)) = (&self.phase, warmup) else { return Vec::new() };
        match result {
            Ok(()) => {
                self.warmups_answered = self.warmups_answered.saturating_add(1);
                if self.warmups_answered < warmup.requests {
                    return Vec::new();
                }
                self.phase = Phase::Warmed;
                vec![Effect::Admit]
            }
            Err(failure) => {
                let number = self.warmups_answered.saturating_add(1);
                let what = tell(&failure, warmup);
                self.start_failures = self.start_failures.saturating_add(1);
                self.fail(format!("warm-up request {number} of {} {what}", warmup.requests));
                vec![Effect::Kill]
            }
        }
    }
}

fn tell(failure: &WarmupFailure, warmup: &Warmup) -> String {
    let path = warmup.path.escape_debug();
    match failure {
        WarmupFailure::NoAnswer => format!("had no answer within {}", warmup.timeout),
        WarmupFailure::Broken(why) => format!("had no complete answer by POST {path}: {why}"),
        WarmupFailure::Status { status, body } => {
            let told = printable(body.trim());
            let colon = if told.is_empty() { "" } else { ": " };
            format!("was answered with status {status} by POST {path}{colon}{told}")
        }
    }
}

/// The beginning of a text, in one line.
fn printable(text: &str) -> String {
    in_one_line(&text.chars().take(TOLD_MAX).collect::<String>()).into_owned()
}
