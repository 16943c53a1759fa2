//! Counts, percents and spans of time, checked when they are made.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// A text that is not the quantity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// Not a count or a percent.
    #[error("`{0}` is neither a count such as `2` nor a percent such as `25%`")]
    NotCountOrPercent(String),
    /// Not a percent.
    #[error("`{0}` is not a percent such as `10%`")]
    NotPercent(String),
    /// A percent over one hundred.
    #[error("`{0}` is over 100%")]
    PercentTooLarge(String),
    /// Not a span of time.
    #[error("`{0}` is not a duration such as `90s`, `15m` or `1h30m`")]
    NotTimeSpan(String),
}

/// A whole percent from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100);
    /// Nothing of it.
    pub const NONE: Self = Self(0);

    /// Checks and wraps a percent.
    pub fn new(percent: u8) -> Option<Self> {
        (percent <= 100).then_some(Self(percent))
    }

    /// The percent as a number from 0 to 100.
    pub const fn as_u8(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let shown = || text.chars().take(80).collect::<String>();
        match text.parse()? {
            CountOrPercent::Percent(percent) => Ok(percent),
            CountOrPercent::Count(_) => Err(InvalidQuantity::NotPercent(shown())),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// A finite number that bounds a measurement.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, JsonSchema)]
#[schemars(inline, transparent)]
pub struct Bound(f64);

impl Eq for Bound {}

impl Bound {
    /// Checks and wraps a number.
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number))
    }

    /// The number.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl Serialize for Bound {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| serde::de::Error::custom("the number must be finite"))
    }
}

/// A count of replicas, or a share of the desired number of them.
///
/// Shares of surge round up and shares of unavailability round down, as Kubernetes does, so that `25%` and `25%`
/// of four replicas is one and one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CountOrPercent {
    /// So many replicas.
    Count(u32),
    /// So many of each hundred.
    Percent(Percent),
}

impl CountOrPercent {
    /// The number of replicas out of `desired`, shares rounded up.
    pub fn rounded_up(self, desired: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(desired, percent).div_ceil(100).try_into().unwrap_or(u32::MAX),
        }
    }

    /// The number of replicas out of `desired`, shares rounded down.
    pub fn rounded_down(self, desired: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (share(desired, percent) / 100).try_into().unwrap_or(u32::MAX),
        }
    }

    /// Written as zero, whatever the number of replicas.
    pub fn is_literal_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(Percent(0)))
    }
}

fn share(desired: u32, percent: Percent) -> u64 {
    u64::from(desired) * u64::from(percent.as_u8())
}

impl FromStr for CountOrPercent {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let shown = || text.chars().take(80).collect::<String>();
        let digits = text.strip_suffix('%').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = plain
            .then(|| digits.parse().ok())
            .flatten()
            .ok_or(InvalidQuantity::NotCountOrPercent(shown()))?;
        if digits.len() == text.len() {
            return Ok(Self::Count(number));
        }
        let percent = u8::try_from(number).ok().and_then(Percent::new);
        percent.map(Self::Percent).ok_or(InvalidQuantity::PercentTooLarge(shown()))
    }
}

impl fmt::Display for CountOrPercent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Percent(percent) => write!(formatter, "{}%", percent.0),
        }
    }
}

impl Serialize for CountOrPercent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CountOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a count such as 2 or a percent such as \"25%\"")]
        enum Raw {
            Number(i64),
            Text(String),
        }
        let text = match Raw::deserialize(deserializer)? {
            Raw::Number(number) => number.to_string(),
            Raw::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for CountOrPercent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CountOrPercent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// A span of time, written as `90s`, `15m`, `1h30m` or `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// So many seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Whether it is no time at all.
    pub const fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The span as the standard library's type.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl FromStr for TimeSpan {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        parse_millis(text)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| InvalidQuantity::NotTimeSpan(text.chars().take(80).collect()))
    }
}

/// Sums parts such as `1h` and `30m`; `0` alone needs no unit.
fn parse_millis(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(unit)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return formatter.write_str("0s");
        }
        let parts = [
            (millis / 3_600_000, "h"),
            (millis / 60_000 % 60, "m"),
            (millis / 1_000 % 60, "s"),
            (millis % 1_000, "ms"),
        ];
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(formatter, "{count}{unit}")?;
        }
        Ok(())
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_of_surge_rounds_up_and_of_unavailable_down() {
        let p39: CountOrPercent = "39%".parse().unwrap();
        assert_eq!((p39.rounded_up(10), p39.rounded_down(10)), (4, 3));
        let p25: CountOrPercent = "25%".parse().unwrap();
        assert_eq!((p25.rounded_up(3), p25.rounded_down(3)), (1, 0));
        let two: CountOrPercent = "2".parse().unwrap();
        assert_eq!((two.rounded_up(1), two.rounded_down(1)), (2, 2));
    }

    #[test]
    fn malformed_counts_are_refused() {
        for bad in ["", "%", "-1", "1.5", "101%", "25 %", "x", "99999999999", "+3", "0x1"] {
            assert!(bad.parse::<CountOrPercent>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<CountOrPercent>("-1").is_err());
        assert_eq!(serde_json::from_str::<CountOrPercent>("3").unwrap(), CountOrPercent::Count(3));
    }

    #[test]
    fn time_spans_read_and_write_the_same_words() {
        for (text, shown) in [("90s", "1m30s"), ("1h30m", "1h30m"), ("0", "0s"), ("250ms", "250ms")] {
            assert_eq!(text.parse::<TimeSpan>().unwrap().to_string(), shown);
        }
        for bad in ["", "5", "-1s", "1d", "s", "1.5h", "1h 30m"] {
            assert!(bad.parse::<TimeSpan>().is_err(), "{bad}");
        }
    }
}
