//! Text to tokens and back: a token is a word or one mark of punctuation.

/// Marks that become tokens of their own at the edge of a word; inside a word (`10.5`, `on/off`) they stay.
const OPENING: &[char] = &['(', '“'];
const CLOSING: &[char] = &['.', ',', ';', ':', '!', '?', ')', '”'];

/// Splits a text into tokens.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(split_word)
}

/// What stands between two tokens when they are written as text.
pub fn separator(previous: &str, next: &str) -> &'static str {
    if previous.ends_with(OPENING) || next.starts_with(CLOSING) { "" } else { " " }
}

fn split_word(word: &str) -> impl Iterator<Item = &str> {
    let core_and_tail = word.trim_start_matches(is_mark);
    let (head, _) = word.split_at(word.len() - core_and_tail.len());
    let (core, tail) = core_and_tail.split_at(core_and_tail.trim_end_matches(is_mark).len());
    let core = (!core.is_empty()).then_some(core);
    head.split_inclusive(is_mark).chain(core).chain(tail.split_inclusive(is_mark))
}

fn is_mark(character: char) -> bool {
    OPENING.contains(&character) || CLOSING.contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_at_the_edges_are_tokens_and_marks_inside_are_not() {
        let tokens: Vec<_> = split("The (old) pump,\nrated 10.5 bar, stopped...").collect();
        let expected =
            ["The", "(", "old", ")", "pump", ",", "rated", "10.5", "bar", ",", "stopped", ".", ".", "."];
        assert_eq!(tokens, expected);
    }

    #[test]
    fn joining_restores_ordinary_spacing() {
        let text = "Yes (he said), it rains; “stay”, then.";
        let mut joined = String::new();
        let mut previous = None;
        for token in split(text) {
            if let Some(previous) = previous {
                joined.push_str(separator(previous, token));
            }
            joined.push_str(token);
            previous = Some(token);
        }
        assert_eq!(joined, text);
    }
}
