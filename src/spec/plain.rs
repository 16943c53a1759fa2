//! Text of others where people read it: what replicas, clouds, servers and ledgers say must not drive a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Control characters, those that change the direction of what follows, and those that nobody sees.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The text with such characters written out, as in `\u001b`, which is how JSON writes them too. Lines stay lines.
pub fn spelled_out(text: &str) -> Cow<'_, str> {
    spell(text, |c| matches!(c, '\n' | '\t'))
}

/// The same in one line.
pub fn in_one_line(text: &str) -> Cow<'_, str> {
    spell(text, |_| false)
}

fn spell(text: &str, stays: fn(char) -> bool) -> Cow<'_, str> {
    let is_odd = |c: char| steers(c) && !stays(c);
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if is_odd(c) => spelled.push_str("\\n"),
            '\r' => spelled.push_str("\\r"),
            '\t' if is_odd(c) => spelled.push_str("\\t"),
            c if is_odd(c) => {
                let _ = write!(spelled, "\\u{:04x}", u32::from(c));
            }
            c => spelled.push(c),
        }
    }
    Cow::Owned(spelled)
}

/// So many of something, as in `1 replica` and `4 replicas`.
pub fn counted(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_written_out() {
        for (text, shown) in [
            ("plain é 漢\n\tx", "plain é 漢\n\tx"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007"),
            ("\u{9b}2J", "\\u009b2J"),
            ("a\rb\u{7f}", "a\\rb\\u007f"),
            ("\u{202e}gnp.exe", "\\u202egnp.exe"),
        ] {
            assert_eq!(spelled_out(text), shown);
        }
        assert_eq!(in_one_line("a\n\tb"), "a\\n\\tb");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [0_u32, 1, 2].map(|count| counted(count, "replica")),
            ["0 replicas", "1 replica", "2 replicas"]
        );
    }

    #[test]
    fn json_stays_the_same_json() {
        let json = serde_json::json!({ "reason": "\u{9b}2J\u{7f}\u{202e}\u{1b}\n" });
        let shown = spelled_out(&serde_json::to_string_pretty(&json).unwrap()).into_owned();
        assert!(!shown.contains(|c| steers(c) && c != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
    }
}
