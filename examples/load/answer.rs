//! What a complete answer is, whole or streamed.

use serde::Deserialize;

/// What the load needs of an answer, or of one event of it.
#[derive(Debug, Deserialize)]
struct Completion {
    model: String,
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    text: String,
    finish_reason: Option<String>,
}

/// Checks a plain answer and gives the name of the model that made it.
pub fn check_plain(body: &[u8]) -> Result<String, String> {
    let (model, choice) = parse(body)?;
    if choice.text.is_empty() {
        return Err("the text is empty".to_owned());
    }
    if choice.finish_reason.is_none() {
        return Err("the answer does not say why it ends".to_owned());
    }
    Ok(model)
}

/// Follows a stream of events as its bytes arrive.
#[derive(Debug, Default)]
pub struct StreamCheck {
    unfinished_line: Vec<u8>,
    model: Option<String>,
    has_text: bool,
    has_finish_reason: bool,
    is_done: bool,
}

impl StreamCheck {
    /// Takes the next bytes, which may end anywhere in a line.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.unfinished_line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.unfinished_line);
                self.take_line(line.trim_ascii_end())?;
            }
        }
        Ok(())
    }

    /// The body has ended: gives the name of the model if the stream was complete.
    pub fn finish(self) -> Result<String, String> {
        if !self.is_done {
            return Err("the stream ended without [DONE]".to_owned());
        }
        if !self.has_text || !self.has_finish_reason {
            return Err("the stream has [DONE] but no complete text".to_owned());
        }
        self.model.ok_or_else(|| "the stream has no event".to_owned())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        let Some(data) = line.strip_prefix(b"data: ") else {
            return Err(format!("an unexpected line in the stream: {}", excerpt(line)));
        };
        if self.is_done {
            return Err("the stream goes on after [DONE]".to_owned());
        }
        if data == b"[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        self.take_event(data)
    }

    fn take_event(&mut self, data: &[u8]) -> Result<(), String> {
        let (model, choice) = parse(data)?;
        self.has_text |= !choice.text.is_empty();
        self.has_finish_reason |= choice.finish_reason.is_some();
        match &self.model {
            Some(first) if *first != model => {
                Err(format!("the model changed within one stream, from {first} to {model}"))
            }
            _ => {
                self.model = Some(model);
                Ok(())
            }
        }
    }
}

/// The start of a body, as text for a failure description.
pub fn excerpt(body: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 200;
    String::from_utf8_lossy(body).trim().chars().take(CHARACTERS_MAX).collect()
}

fn parse(json: &[u8]) -> Result<(String, Choice), String> {
    let completion: Completion = serde_json::from_slice(json)
        .map_err(|error| format!("not a completion ({error}): {}", excerpt(json)))?;
    let choice = completion.choices.into_iter().next().ok_or("the answer has no choice")?;
    Ok((completion.model, choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"data: {"model":"a","choices":[{"text":"x","finish_reason":null}]}"#;
    const LAST: &str = r#"data: {"model":"a","choices":[{"text":"y","finish_reason":"length"}]}"#;
    const OTHER: &str = r#"data: {"model":"b","choices":[{"text":"y","finish_reason":"length"}]}"#;
    const DONE: &str = "data: [DONE]";

    fn check_stream(events: &[&str]) -> Result<String, String> {
        let text: String = events.iter().flat_map(|event| [event, "\n\n"]).collect();
        let mut check = StreamCheck::default();
        for byte in text.as_bytes() {
            check.feed(std::slice::from_ref(byte))?;
        }
        check.finish()
    }

    #[test]
    fn a_stream_is_complete_with_text_reason_and_end_mark() {
        assert_eq!(check_stream(&[FIRST, LAST, DONE]), Ok("a".to_owned()));
    }

    #[test]
    fn anything_less_or_more_is_a_failure() {
        let cases: [(&[&str], &str); 6] = [
            (&[], "the stream ended without [DONE]"),
            (&[FIRST, LAST], "the stream ended without [DONE]"),
            (&[FIRST, DONE], "the stream has [DONE] but no complete text"),
            (&[LAST, DONE, LAST], "the stream goes on after [DONE]"),
            (&[FIRST, OTHER, DONE], "the model changed within one stream, from a to b"),
            (&["event: x"], "an unexpected line in the stream: event: x"),
        ];
        for (events, expected) in cases {
            assert_eq!(check_stream(events), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_plain_answer_must_be_whole() {
        let whole = LAST.strip_prefix("data: ").unwrap();
        assert_eq!(check_plain(whole.as_bytes()), Ok("a".to_owned()));
        assert!(check_plain(&whole.as_bytes()[..20]).is_err());
        assert!(check_plain(br#"{"model":"a","choices":[]}"#).is_err());
        assert!(check_plain(br#"{"model":"a","choices":[{"text":"","finish_reason":"length"}]}"#).is_err());
    }
}
