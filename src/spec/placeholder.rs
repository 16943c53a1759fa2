//! `$(NAME)` in the texts of gates: what stands for the endpoint and the version that is measured.

use std::fmt::Write as _;

use super::{EndpointName, VersionNumber};

/// What placeholders stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholders {
    /// `$(ENDPOINT)`.
    pub endpoint: EndpointName,
    /// `$(VERSION)`, as `v4`.
    pub version: VersionNumber,
    /// `$(URL)`: the address of the endpoint.
    pub url: String,
}

const NAMES: [&str; 3] = ["ENDPOINT", "VERSION", "URL"];

impl Placeholders {
    /// Fills in an address. `$(URL)` at its beginning is the address itself; everywhere else values are escaped.
    pub fn in_url(&self, text: &str) -> String {
        let (head, rest) = match text.strip_prefix("$(URL)") {
            Some(rest) => (self.url.trim_end_matches('/'), rest),
            None => ("", text),
        };
        format!("{head}{}", self.fill(rest, percent_encoded))
    }

    /// Fills in a query in `PromQL`, where placeholders stand in quoted strings.
    pub fn in_query(&self, text: &str) -> String {
        self.fill(text, backslashed)
    }

    fn fill(&self, text: &str, escape: fn(&str) -> String) -> String {
        let value = |name: &str| match name {
            "ENDPOINT" => Some(escape(self.endpoint.as_str())),
            "VERSION" => Some(escape(&self.version.to_string())),
            "URL" => Some(escape(&self.url)),
            _ => None,
        };
        pieces(text).fold(String::new(), |mut filled, (plain, name)| {
            filled.push_str(plain);
            filled.push_str(&name.and_then(value).unwrap_or_default());
            filled
        })
    }
}

/// The placeholders in a text that stand for nothing.
pub fn unknown_placeholders(text: &str) -> Vec<String> {
    let unknown = pieces(text).filter_map(|(_, name)| name).filter(|name| !NAMES.contains(name));
    unknown.map(|name| format!("$({name})")).collect()
}

/// Plain text, each with the name of the placeholder that follows it.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let found = text.split_once("$(").and_then(|(plain, tail)| {
            let (name, after) = tail.split_once(')')?;
            Some((plain, name, after))
        });
        if let Some((plain, name, after)) = found {
            rest = Some(after);
            return Some((plain, Some(name)));
        }
        rest = None;
        Some((text, None))
    })
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn backslashed(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '\\' => escaped.push_str("\\\\"),
            // The same in single and in double quotes, where the other quote must not follow a backslash.
            '"' => escaped.push_str("\\x22"),
            '\'' => escaped.push_str("\\x27"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders(url: &str) -> Placeholders {
        Placeholders {
            endpoint: EndpointName::new("chat").unwrap(),
            version: VersionNumber(4),
            url: url.to_owned(),
        }
    }

    #[test]
    fn an_address_begins_with_the_endpoints_own_and_carries_the_rest_escaped() {
        let filled = placeholders("http://127.0.0.1:80/");
        assert_eq!(filled.in_url("$(URL)/health?v=$(VERSION)"), "http://127.0.0.1:80/health?v=v4");
        assert_eq!(
            filled.in_url("https://x/$(ENDPOINT)?of=$(URL)"),
            "https://x/chat?of=http%3A%2F%2F127.0.0.1%3A80%2F"
        );
    }

    #[test]
    fn a_query_carries_values_as_parts_of_strings() {
        let filled = placeholders("http://x/\"}or\\{");
        assert_eq!(
            filled.in_query(r#"up{e="$(ENDPOINT)",v="$(VERSION)",u="$(URL)"}"#),
            r#"up{e="chat",v="v4",u="http://x/\x22}or\\{"}"#
        );
        assert_eq!(filled.in_query("rate(x[$__interval]) $(VERSION"), "rate(x[$__interval]) $(VERSION");
    }

    #[test]
    fn names_that_stand_for_nothing_are_found() {
        assert_eq!(unknown_placeholders("$(ENDPOINT) $(NAME) $(version)"), ["$(NAME)", "$(version)"]);
        assert_eq!(unknown_placeholders("sum(x) $(VERSION)"), Vec::<String>::new());
    }
}
