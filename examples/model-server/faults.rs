//! Misbehaviour on demand, so that tests can show what a rollout does about it.

use std::time::Duration;

/// The fault flags of `serve`. None of them is set in ordinary use.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Faults, for tests")]
pub struct Faults {
    /// Answer `/health` with 503; with a duration, only from that long after the start
    #[arg(long, value_name = "AFTER", num_args = 0..=1, require_equals = true,
          default_missing_value = "0s", value_parser = duration)]
    pub fail_health: Option<Duration>,

    /// Answer every completion with 500, however well `/health` is
    #[arg(long)]
    pub fail_completions: bool,

    /// Answer this share of the completions with 500, spread evenly
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0")]
    pub fail_share: f64,

    /// Run without ever binding the port
    #[arg(long)]
    pub never_listen: bool,

    /// Exit abruptly with code 70 this long after the start, whatever is in flight
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub crash_after: Option<Duration>,

    /// Take this long for every answer of `/health`
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub health_delay: Duration,

    /// Take this long before the first byte of every completion
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s")]
    pub slow_first_byte: Duration,

    /// Begin no completion from SIGUSR1 until SIGUSR2, however well `/health` is
    #[arg(long)]
    pub hang_on_signal: bool,
}

/// Reads `2ms`, `1.5s`, `3m 20s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Reads a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".to_owned()) }
}

impl Faults {
    /// Whether the completion that comes after `before` others is to fail.
    #[expect(clippy::cast_precision_loss, reason = "nobody asks for 2^52 completions")]
    pub fn fails(&self, before: u64) -> bool {
        let failed_after = |count: u64| (count as f64 * self.fail_share).floor();
        self.fail_completions || failed_after(before + 1) > failed_after(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_spread_evenly_and_make_up_their_share() {
        let fails = |fail_share: f64| {
            let faults = Faults { fail_share, ..Faults::default() };
            (0..10).map(|before| faults.fails(before)).collect::<Vec<_>>()
        };
        assert_eq!(fails(0.0), [false; 10]);
        assert_eq!(fails(1.0), [true; 10]);
        assert_eq!(fails(0.5), [false, true].repeat(5));
    }

    #[test]
    fn durations_have_units_and_no_sign() {
        assert_eq!(duration("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("5").is_err());
        assert!(duration("-1s").is_err());
    }
}
