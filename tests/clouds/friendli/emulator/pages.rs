//! Lists in pages, with a cursor that means nothing to clients.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::validation::fault;

const DEFAULT_LIMIT: usize = 20;

/// Which page a client asks for.
#[derive(Debug, Clone)]
pub struct Page {
    limit: usize,
    start: usize,
}

impl Page {
    /// From the query. Official clients send the cursor as Python prints bytes: `b'…'`.
    pub fn of(query: &[(String, String)]) -> Result<Self, Refusal> {
        let find =
            |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let limit = match find("limit").map(str::parse) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit @ 1..=100)) => limit,
            Some(_) => {
                let message = "Input should be a valid integer between 1 and 100";
                return Err(Refusal::unprocessable(&[fault(&["query", "limit"], "int_range", message)]));
            }
        };
        let start = match find("cursor").filter(|cursor| !cursor.is_empty()) {
            None => 0,
            Some(cursor) => start_of(cursor).ok_or_else(|| {
                Refusal::unprocessable(&[fault(&["query", "cursor"], "value_error", "Invalid cursor")])
            })?,
        };
        Ok(Self { limit, start })
    }

    /// The page of all there is.
    pub fn cut(&self, all: Vec<(String, Value)>) -> Value {
        let end = self.start + self.limit;
        let next = (all.len() > end).then(|| STANDARD.encode(format!("position {end}?")));
        let data: Map<String, Value> = all.into_iter().skip(self.start).take(self.limit).collect();
        json!({ "data": data, "nextCursor": next })
    }
}

fn start_of(cursor: &str) -> Option<usize> {
    let cursor = cursor.strip_prefix("b'").and_then(|rest| rest.strip_suffix('\'')).unwrap_or(cursor);
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("position ")?.strip_suffix('?')?.parse().ok()
}
