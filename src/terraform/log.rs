//! Log lines as Terraform reads them: one JSON object per line on stderr.
//!
//! Nothing is written unless the user asked for it. Never values: only names, counts and durations.

use std::env;
use std::io::Write;
use std::sync::OnceLock;

use serde_json::{Map, Value as Json};

use crate::clock::{Clock, SystemClock};

/// How much the user wants to read; each level includes those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every call.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// Changes of state.
    Info,
    /// What may go wrong.
    Warn,
    /// What went wrong.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A named detail of a log line.
pub type Field<'a> = (&'a str, Json);

/// Writes a line that tells of every call.
pub fn trace(message: &str, fields: &[Field<'_>]) {
    write(Level::Trace, message, fields);
}

/// Writes a line that helps to find a mistake.
pub fn debug(message: &str, fields: &[Field<'_>]) {
    write(Level::Debug, message, fields);
}

/// Writes a line about a change of state.
pub fn info(message: &str, fields: &[Field<'_>]) {
    write(Level::Info, message, fields);
}

/// Writes a line about what may go wrong.
pub fn warn(message: &str, fields: &[Field<'_>]) {
    write(Level::Warn, message, fields);
}

/// Writes a line about what went wrong.
pub fn error(message: &str, fields: &[Field<'_>]) {
    write(Level::Error, message, fields);
}

fn write(level: Level, message: &str, fields: &[Field<'_>]) {
    static LEAST: OnceLock<Option<Level>> = OnceLock::new();
    let least = LEAST.get_or_init(|| least_level(|name| env::var(name).ok()));
    if least.is_some_and(|least| level >= least) {
        let time = SystemClock.now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        // Nobody is left to tell when stderr is closed.
        let _ = std::io::stderr().write_all(line(level, &time, message, fields).as_bytes());
    }
}

/// The level by the most specific variable that is set.
fn least_level(variable: impl Fn(&str) -> Option<String>) -> Option<Level> {
    let names = ["TF_LOG_PROVIDER_SLUICE", "TF_LOG_PROVIDER", "TF_LOG"];
    let word = names.into_iter().filter_map(variable).find(|word| !word.is_empty())?;
    match word.to_ascii_lowercase().as_str() {
        "off" => None,
        "error" => Some(Level::Error),
        "warn" => Some(Level::Warn),
        "info" => Some(Level::Info),
        "debug" => Some(Level::Debug),
        // Terraform takes `json` and every word it does not know for the most talkative level.
        _ => Some(Level::Trace),
    }
}

/// Terraform crashes when the level or the message is not a string, and shows the raw line when the time has not
/// exactly six digits after the point.
fn line(level: Level, time: &str, message: &str, fields: &[Field<'_>]) -> String {
    let mut object: Map<String, Json> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    object.insert("@level".into(), level.word().into());
    object.insert("@message".into(), message.into());
    object.insert("@module".into(), "sluice".into());
    object.insert("@timestamp".into(), time.into());
    format!("{}\n", Json::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object_with_the_words_that_terraform_knows() {
        let line =
            line(Level::Warn, "2025-01-02T03:04:05.123456Z", "a\nb", &[("tf_rpc", "ReadResource".into())]);
        assert_eq!(line.matches('\n').count(), 1);
        let json: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(json["@level"], "warn");
        assert_eq!(json["@message"], "a\nb");
        assert_eq!(json["tf_rpc"], "ReadResource");
    }

    #[test]
    fn the_most_specific_variable_decides() {
        let levels = |pairs: &'static [(&str, &str)]| {
            least_level(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(levels(&[]), None);
        assert_eq!(levels(&[("TF_LOG", "warn")]), Some(Level::Warn));
        assert_eq!(levels(&[("TF_LOG", "trace"), ("TF_LOG_PROVIDER", "off")]), None);
        assert_eq!(levels(&[("TF_LOG", "json")]), Some(Level::Trace));
        assert_eq!(levels(&[("TF_LOG_PROVIDER_SLUICE", "INFO"), ("TF_LOG", "error")]), Some(Level::Info));
    }
}
