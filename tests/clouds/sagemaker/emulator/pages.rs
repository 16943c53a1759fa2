//! Lists in pages with opaque tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::wire::{Answer, Refusal, text};

/// The page that a request asks for.
pub struct Pages<'a> {
    /// Entries when the request does not say.
    pub default: usize,
    pub size: &'a Value,
    pub token: &'a Value,
}

impl Pages<'_> {
    /// The page, and the token of the next one.
    pub fn cut<'a, T>(&self, items: &'a [T]) -> Result<(&'a [T], Option<String>), Refusal> {
        let size = self.size.as_u64().map_or(self.default, |size| usize::try_from(size).unwrap());
        let start = match self.token.as_str() {
            Some(token) => read(token).filter(|at| *at <= items.len()).ok_or_else(invalid)?,
            None => 0,
        };
        let end = items.len().min(start + size);
        Ok((&items[start..end], (end < items.len()).then(|| URL_SAFE.encode(format!("from {end}")))))
    }
}

fn read(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE.decode(token).ok()?).ok()?;
    text.strip_prefix("from ")?.parse().ok()
}

fn invalid() -> Refusal {
    Refusal::validation("Invalid pagination token")
}

/// A `SageMaker` list: filters, order and page of summaries that have a name and times.
pub fn list(summaries: Vec<Value>, kind: &str, member: &str, body: &Value) -> Answer {
    let (name, time) =
        (format!("{kind}Name"), |one: &Value, member: &str| one[member].as_f64().unwrap_or_default());
    let within = |one: &Value, member: &str| {
        let bound = |side: &str| body[format!("{member}{side}")].as_f64();
        bound("Before").is_none_or(|before| time(one, member) < before)
            && bound("After").is_none_or(|after| time(one, member) > after)
    };
    let wanted = text(body, "NameContains").to_lowercase();
    let mut found: Vec<Value> = summaries
        .into_iter()
        .filter(|one| text(one, &name).to_lowercase().contains(&wanted))
        .filter(|one| body["StatusEquals"].is_null() || one["EndpointStatus"] == body["StatusEquals"])
        .filter(|one| within(one, "CreationTime") && within(one, "LastModifiedTime"))
        .collect();
    found.sort_by(|left, right| match text(body, "SortBy") {
        "Name" => text(left, &name).cmp(text(right, &name)),
        "Status" => text(left, "EndpointStatus").cmp(text(right, "EndpointStatus")),
        _ => time(left, "CreationTime").total_cmp(&time(right, "CreationTime")),
    });
    if text(body, "SortOrder") != "Ascending" {
        found.reverse();
    }
    let (page, next) =
        Pages { default: 10, size: &body["MaxResults"], token: &body["NextToken"] }.cut(&found)?;
    let mut answer = json!({ member: page });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}
