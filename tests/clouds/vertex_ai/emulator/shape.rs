//! The shape of messages: what proto3 JSON accepts and what it prints.
//!
//! Reading accepts camel and snake case, quoted integers, enums by name and by number, and refuses unknown fields with
//! the front end's words. Printing leaves out defaults, and what the version of the API does not have.

use serde_json::{Map, Value, json};

use super::call::Version;
use super::refusal::Refusal;

/// A message.
#[derive(Debug)]
pub struct Message {
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    on: Option<Version>,
    output_only: bool,
    keeps_zero: bool,
}

/// What a field holds.
#[derive(Debug)]
pub enum Kind {
    Text,
    Bool,
    /// A 32-bit integer: a number in JSON.
    Int,
    /// A 64-bit integer: a string in JSON.
    Long,
    Double,
    /// Names with their numbers. Unknown names pass, because the lists grow.
    Enum(&'static [(&'static str, i64)]),
    One(&'static Message),
    Many(&'static Self),
    Map(&'static Self),
    /// Anything: a part of the API that the emulator keeps and gives back.
    Open,
}

pub const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, on: None, output_only: false, keeps_zero: false }
}

impl Field {
    /// Only one version of the API has it.
    pub const fn only(mut self, version: Version) -> Self {
        self.on = Some(version);
        self
    }

    /// The service sets it and ignores what is sent.
    pub const fn output(mut self) -> Self {
        self.output_only = true;
        self
    }

    /// A member of a oneof: an explicit zero is kept.
    pub const fn keeps_zero(mut self) -> Self {
        self.keeps_zero = true;
        self
    }

    fn is_on(&self, version: Version) -> bool {
        self.on.is_none_or(|on| on == version)
    }
}

/// Reads a message as it came in. The result has camel case, names of enums, and no field that only the service sets.
pub fn read(given: &Value, message: &Message, version: Version) -> Result<Map<String, Value>, Refusal> {
    read_at(given, message, version, "")
}

fn read_at(
    given: &Value,
    message: &Message,
    version: Version,
    at: &str,
) -> Result<Map<String, Value>, Refusal> {
    let Some(given) = given.as_object() else {
        return Err(Refusal::payload(
            at,
            format!("Invalid JSON payload received. Message expected at '{at}'."),
        ));
    };
    let mut kept = Map::new();
    for (name, value) in given {
        let known = message
            .fields
            .iter()
            .find(|field| field.is_on(version) && (field.name == name || snake(field.name) == *name));
        let Some(field) = known else {
            let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
            let text =
                format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
            return Err(Refusal::payload(at, text));
        };
        if value.is_null() {
            continue;
        }
        let read = read_kind(value, &field.kind, version, &join(at, &snake(field.name)))?;
        if !field.output_only {
            kept.insert(field.name.to_owned(), read);
        }
    }
    Ok(kept)
}

fn read_kind(value: &Value, kind: &Kind, version: Version, at: &str) -> Result<Value, Refusal> {
    let wrong = |kind: &str| Refusal::payload(at, format!("Invalid value at '{at}' ({kind}), {value}"));
    Ok(match kind {
        Kind::Text => json!(value.as_str().ok_or_else(|| wrong("TYPE_STRING"))?),
        Kind::Bool => json!(value.as_bool().ok_or_else(|| wrong("TYPE_BOOL"))?),
        Kind::Int => {
            let number = integer(value).and_then(|number| i32::try_from(number).ok());
            json!(number.ok_or_else(|| wrong("TYPE_INT32"))?)
        }
        Kind::Long => json!(integer(value).ok_or_else(|| wrong("TYPE_INT64"))?.to_string()),
        Kind::Double => json!(value.as_f64().ok_or_else(|| wrong("TYPE_DOUBLE"))?),
        Kind::Enum(names) => match value {
            Value::String(name) => json!(name),
            number => {
                let known = names.iter().find(|(_, known)| Some(*known) == number.as_i64());
                json!(known.ok_or_else(|| wrong("TYPE_ENUM"))?.0)
            }
        },
        Kind::One(message) => Value::Object(read_at(value, message, version, at)?),
        Kind::Many(kind) => {
            let items = value.as_array().ok_or_else(|| wrong("TYPE_MESSAGE"))?.iter().enumerate();
            items
                .map(|(index, item)| read_kind(item, kind, version, &format!("{at}[{index}]")))
                .collect::<Result<_, _>>()?
        }
        Kind::Map(kind) => {
            let entries = value.as_object().ok_or_else(|| wrong("TYPE_MESSAGE"))?.iter();
            Value::Object(
                entries
                    .map(|(key, value)| {
                        let at = format!("{at}[{key}]");
                        read_kind(value, kind, version, &at).map(|value| (key.clone(), value))
                    })
                    .collect::<Result<_, _>>()?,
            )
        }
        Kind::Open => value.clone(),
    })
}

/// Prints a message as one version of the API shows it.
pub fn show(kept: &Value, message: &Message, version: Version) -> Value {
    let mut shown = Map::new();
    for field in message.fields.iter().filter(|field| field.is_on(version)) {
        let Some(value) = kept.get(field.name) else { continue };
        let value = show_kind(value, &field.kind, version);
        if field.keeps_zero || !is_default(&value) {
            shown.insert(field.name.to_owned(), value);
        }
    }
    Value::Object(shown)
}

fn show_kind(value: &Value, kind: &Kind, version: Version) -> Value {
    match (kind, value) {
        (Kind::One(message), value) => show(value, message, version),
        (Kind::Many(kind), Value::Array(items)) => {
            items.iter().map(|item| show_kind(item, kind, version)).collect()
        }
        (_, value) => value.clone(),
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        // A message that is there is told, however empty. A map without entries is not.
        Value::Object(_) => false,
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// `maxSurgeReplicas` as `max_surge_replicas`.
pub fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// `max_surge_replicas` as `maxSurgeReplicas`.
pub fn camel(snake: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    for letter in snake.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                camel.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}
