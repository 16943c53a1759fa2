//! Colours on a terminal, and how wide it is.

use std::io::IsTerminal as _;

use clap::ValueEnum;

use crate::spec::spelled_out;

/// What follows the escape character in the codes that `Paint` writes.
const CODES: [&str; 6] = ["[0m", "[1m", "[2m", "[31m", "[32m", "[33m"];

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is a dumb one
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What a text says about a thing, which a colour repeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// It is the head of others.
    Strong,
    /// It is as it should be, or new.
    Good,
    /// It is on its way.
    Busy,
    /// It is not as it should be, or goes.
    Bad,
    /// It matters less.
    Faint,
}

/// How to write for whoever reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Paint {
    /// Whether to colour at all.
    pub colors: bool,
    /// Columns of the terminal; nothing where there is none.
    pub width: Option<usize>,
}

impl Paint {
    /// For standard output as it is.
    pub fn new(color: Color) -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let colors = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && wants_colors(),
        };
        let size = is_terminal.then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
        let width = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Self { colors, width }
    }

    /// The text in the colour of its tone.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colors || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The text with every code that a terminal would obey written out, but for the colours of this program: whatever a
/// replica, a cloud or a ledger said is only read.
pub(super) fn without_strange_codes(text: &str) -> String {
    let pieces = text.split('\u{1b}').enumerate().map(|(place, piece)| {
        let code = CODES.iter().find(|code| place > 0 && piece.starts_with(**code));
        match code {
            Some(code) => format!("\u{1b}{code}{}", spelled_out(piece.get(code.len()..).unwrap_or_default())),
            None if place == 0 => spelled_out(piece).into_owned(),
            None => format!("\\u001b{}", spelled_out(piece)),
        }
    });
    pieces.collect()
}

/// What the environment says: the variable of <https://no-color.org>, and terminals that know no colours.
fn wants_colors() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_other_codes_are_written_out() {
        let paint = Paint { colors: true, width: None };
        let text = format!("{}\u{1b}[2J\u{1b}]0;x\u{7}\nend", paint.tone(Tone::Good, "ok"));
        assert_eq!(without_strange_codes(&text), "\u{1b}[32mok\u{1b}[0m\\u001b[2J\\u001b]0;x\\u0007\nend");
        for tone in [Tone::Strong, Tone::Good, Tone::Busy, Tone::Bad, Tone::Faint] {
            let painted = paint.tone(tone, "x");
            assert_eq!(without_strange_codes(&painted), painted);
        }
    }
}
