//! The agent's own log: one plain line per event on standard error.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use crate::clock::Clock;
use crate::spec::steers;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A change of state.
    Info,
    /// Something that heals by itself, or that someone should look at.
    Warn,
    /// Something that does not heal by itself.
    Error,
}

/// Writes lines such as `2026-01-01T00:00:00Z info replica is ready endpoint=chat replica=chat-r1-0`.
#[derive(Debug, Clone)]
pub struct Logbook {
    clock: Arc<dyn Clock>,
}

impl Logbook {
    /// A log that is dated by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// Writes a line about a change of state.
    pub fn info(&self, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.write(Level::Info, message, fields);
    }

    /// Writes a line about something that heals by itself, or that someone should look at.
    pub fn warn(&self, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.write(Level::Warn, message, fields);
    }

    /// Writes a line about something that does not heal by itself.
    pub fn error(&self, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        self.write(Level::Error, message, fields);
    }

    fn write(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        let line = line(&self.clock.now().to_string(), level, message, fields);
        // There is nowhere to complain when the log itself cannot be written.
        let _unwritten = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line(time: &str, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) -> String {
    let word = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = format!("{time} {word} {message}");
    for (name, value) in fields {
        let value = value.to_string();
        let plain =
            !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || steers(c) || c == '"');
        let shown = if plain { value } else { format!("{value:?}") };
        line.extend([" ", name, "=", &shown]);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_blanks_are_quoted_so_that_a_line_stays_one_line() {
        assert_eq!(
            line("T", Level::Warn, "it failed", &[("pid", &7), ("why", &"two\nlines")]),
            "T warn it failed pid=7 why=\"two\\nlines\"\n"
        );
    }
}
