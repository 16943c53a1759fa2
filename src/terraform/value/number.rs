//! A decimal number without loss.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Longest text that is read as a number.
const TEXT_LEN_MAX: usize = 4096;
/// Largest power of ten in either direction that is read.
const EXPONENT_MAX: u64 = 100_000;
/// Numbers with more digits than this before or after the point print with an exponent.
const PLAIN_DIGITS_MAX: i64 = 400;
/// Digits after the point which write any finite 64-bit float exactly.
const EXACT_FRACTION_DIGITS: usize = 1074;

/// An exact decimal number. Terraform's numbers are wider than `f64` and `i64`: 0.1 and 2^64 are both
/// themselves here. Equal numbers are equal however they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// Significant digits without zeros at either end; empty for zero.
    digits: String,
    /// Power of ten of the last digit.
    exponent: i64,
}

/// A text that is not a decimal number, or one beyond all use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a decimal number")]
pub struct ParseNumberError(String);

impl Number {
    /// The number which `float` holds, to its last binary digit. `None` for NaN and the infinities.
    ///
    /// `Number::from_shortest` is for floats that stand for a decimal text.
    pub fn from_exact(float: f64) -> Option<Self> {
        float.is_finite().then(|| format!("{float:.EXACT_FRACTION_DIGITS$}").parse().ok()).flatten()
    }

    /// The shortest decimal that reads back as `float`: 0.1 for the float nearest to 0.1. `None` for NaN and
    /// the infinities.
    pub fn from_shortest(float: f64) -> Option<Self> {
        float.is_finite().then(|| format!("{float:e}").parse().ok()).flatten()
    }

    /// The number as an integer, if it is one in range.
    pub fn as_i64(&self) -> Option<i64> {
        self.integer_text()?.parse().ok()
    }

    /// The number as an unsigned integer, if it is one in range.
    pub fn as_u64(&self) -> Option<u64> {
        self.integer_text()?.parse().ok()
    }

    /// The nearest 64-bit float; infinite when out of range.
    pub fn as_f64(&self) -> f64 {
        self.scientific().parse().unwrap_or(f64::NAN)
    }

    /// The 64-bit float that is exactly this number, if there is one.
    pub fn as_exact_f64(&self) -> Option<f64> {
        let float = self.as_f64();
        (Self::from_exact(float).as_ref() == Some(self)).then_some(float)
    }

    /// Whether there is nothing after the point.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Where the first digit stands, as a power of ten; only for comparing.
    fn magnitude(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_add(self.exponent)
    }

    /// -1, 0 or 1.
    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// Plain digits when the number is an integer of at most 20 digits.
    fn integer_text(&self) -> Option<String> {
        if self.digits.is_empty() {
            return Some("0".into());
        }
        let zeros = usize::try_from(self.exponent).ok()?;
        (self.digits.len().saturating_add(zeros) <= 20)
            .then(|| format!("{}{}{}", if self.negative { "-" } else { "" }, self.digits, "0".repeat(zeros)))
    }

    fn scientific(&self) -> String {
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        format!("{}{digits}e{}", if self.negative { "-" } else { "" }, self.exponent)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // Digits without zeros at the end compare as texts once their first ones stand in the same place.
        let size = self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        self.sign().cmp(&other.sign()).then(if self.negative { size.reverse() } else { size })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Number {
    type Err = ParseNumberError;

    fn from_str(text: &str) -> Result<Self, ParseNumberError> {
        parse(text).ok_or_else(|| ParseNumberError(text.chars().take(40).collect()))
    }
}

fn parse(text: &str) -> Option<Number> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let significant = format!("{whole}{fraction}");
    let without_tail = significant.trim_end_matches('0');
    let trimmed = i64::try_from(significant.len() - without_tail.len()).ok()?;
    let digits = without_tail.trim_start_matches('0');
    if digits.is_empty() {
        return Some(Number { negative: false, digits: String::new(), exponent: 0 });
    }
    let exponent = power.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(trimmed)?;
    (exponent.unsigned_abs() <= EXPONENT_MAX).then(|| Number { negative, digits: digits.into(), exponent })
}

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return out.write_str("0");
        }
        if self.exponent.abs() > PLAIN_DIGITS_MAX {
            return out.write_str(&self.scientific());
        }
        if self.negative {
            out.write_str("-")?;
        }
        if let Ok(zeros) = usize::try_from(self.exponent) {
            return write!(out, "{}{}", self.digits, "0".repeat(zeros));
        }
        let places = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        match self.digits.len().checked_sub(places) {
            Some(split) if split > 0 => {
                let (whole, fraction) = self.digits.split_at(split);
                write!(out, "{whole}.{fraction}")
            }
            _ => write!(out, "0.{:0>places$}", self.digits),
        }
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Number {
            fn from(integer: $integer) -> Self {
                let wide = i128::from(integer);
                let text = wide.unsigned_abs().to_string();
                let digits = text.trim_end_matches('0');
                let exponent = if digits.is_empty() { 0 } else { text.len() - digits.len() };
                Self { negative: wide < 0, digits: digits.into(), exponent: exponent.try_into().unwrap_or(0) }
            }
        }
    )*};
}

from_integers!(i64, u64, i32, u32);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn texts_of_the_same_number_are_equal() {
        for (left, right) in
            [("0.1", "1e-1"), ("100", "1e2"), ("-0", "0"), ("+3.0", "3"), ("007", "7"), (".5", "0.5")]
        {
            assert_eq!(number(left), number(right), "{left} and {right}");
        }
        assert_ne!(number("0.1"), Number::from_exact(0.1).unwrap());
        assert_eq!(number("0.1"), Number::from_shortest(0.1).unwrap());
    }

    #[test]
    fn texts_that_are_no_numbers_are_refused() {
        for text in [
            "",
            "-",
            ".",
            "1e",
            "0x10",
            "1_000",
            " 1",
            "NaN",
            "inf",
            "1e999999999999999999999",
            "1e200000",
            "12.5e-9223372036854775807",
        ] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
    }

    #[test]
    fn prints_plainly() {
        for text in ["0", "0.1", "-12.5", "18446744073709551616", "1000", "0.000001"] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("1e-500").to_string(), "1e-500");
    }

    #[test]
    fn knows_what_it_fits_into() {
        assert_eq!(number("9223372036854775807").as_i64(), Some(i64::MAX));
        assert_eq!(number("-9223372036854775808").as_i64(), Some(i64::MIN));
        assert_eq!(number("9223372036854775808").as_i64(), None);
        assert_eq!(number("18446744073709551615").as_u64(), Some(u64::MAX));
        assert_eq!(number("0.5").as_exact_f64(), Some(0.5));
        assert_eq!(number("0.1").as_exact_f64(), None);
        assert_eq!(number("3e0").as_i64(), Some(3));
    }

    #[test]
    fn order_is_that_of_the_numbers() {
        let ordered =
            ["-1e9", "-12", "-1.5", "-0.1", "0", "1e-9", "0.1", "0.11", "9", "10", "18446744073709551616"];
        for pair in ordered.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(integer: i64) {
            let number = Number::from(integer);
            prop_assert_eq!(number.as_i64(), Some(integer));
            prop_assert_eq!(number.to_string().parse::<Number>().unwrap(), number);
        }

        #[test]
        fn floats_round_trip(float in proptest::num::f64::NORMAL) {
            prop_assert_eq!(Number::from_exact(float).unwrap().as_exact_f64(), Some(float));
            prop_assert_eq!(Number::from_shortest(float).unwrap().as_f64().to_bits(), float.to_bits());
        }
    }
}
