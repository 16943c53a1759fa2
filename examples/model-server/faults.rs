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
}

/// Reads `2ms`, `1.5s`, `3m 20s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_no_sign() {
        assert_eq!(duration("2ms"), Ok(Duration::from_millis(2)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("5").is_err());
        assert!(duration("-1s").is_err());
    }
}
