//! What a body may hold. Faults are told all at once, in the form that `FastAPI` gives them.

use serde_json::{Map, Value, json};

/// A field of a body.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub nullable: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    Flag,
    Whole { least: i64, most: i64 },
    Number,
    OneOf(&'static [&'static str]),
    Object(&'static [Field]),
}

/// A field that has to be there.
pub const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true, nullable: false }
}

/// A field that may be missing or null.
pub const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, nullable: true }
}

/// A field that may be missing, but is not null.
pub const fn defaulted(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, nullable: false }
}

/// Every fault of a body.
pub fn faults(body: &Value, fields: &[Field]) -> Vec<Value> {
    let mut faults = Vec::new();
    check_object(body, fields, &["body".to_owned()], &mut faults);
    faults
}

/// One fault.
pub fn fault(at: &[&str], kind: &str, message: &str) -> Value {
    json!({ "loc": at, "msg": message, "type": kind })
}

fn told(at: &[String], kind: &str, message: &str) -> Value {
    json!({ "loc": at, "msg": message, "type": kind })
}

fn check_object(value: &Value, fields: &[Field], at: &[String], faults: &mut Vec<Value>) {
    let Some(object) = value.as_object() else {
        faults.push(told(at, "dict_type", "Input should be a valid dictionary"));
        return;
    };
    for field in fields {
        check_field(object, *field, at, faults);
    }
    for name in object.keys().filter(|name| !fields.iter().any(|field| field.name == **name)) {
        faults.push(told(&below(at, name), "extra_forbidden", "Extra inputs are not permitted"));
    }
}

fn check_field(object: &Map<String, Value>, field: Field, at: &[String], faults: &mut Vec<Value>) {
    let at = below(at, field.name);
    match object.get(field.name) {
        None if field.required => faults.push(told(&at, "missing", "Field required")),
        None => {}
        Some(Value::Null) if field.nullable => {}
        Some(value) => check_kind(value, field.kind, &at, faults),
    }
}

fn check_kind(value: &Value, kind: Kind, at: &[String], faults: &mut Vec<Value>) {
    let fault = match kind {
        Kind::Text => match value.as_str() {
            None => Some(("string_type", "Input should be a valid string".to_owned())),
            Some("") => Some(("string_too_short", "String should have at least 1 character".to_owned())),
            Some(_) => None,
        },
        Kind::Flag => wrong(value.is_boolean(), "bool_type", "Input should be a valid boolean"),
        Kind::Number => wrong(value.is_number(), "float_type", "Input should be a valid number"),
        Kind::Whole { least, most } => whole(value, least, most),
        Kind::OneOf(words) => {
            let known = value.as_str().is_some_and(|word| words.contains(&word));
            let expected = words.join("', '");
            (!known).then(|| ("enum", format!("Input should be '{expected}'")))
        }
        Kind::Object(fields) => {
            check_object(value, fields, at, faults);
            None
        }
    };
    if let Some((kind, message)) = fault {
        faults.push(told(at, kind, &message));
    }
}

fn wrong(right: bool, kind: &'static str, message: &str) -> Option<(&'static str, String)> {
    (!right).then(|| (kind, message.to_owned()))
}

fn whole(value: &Value, least: i64, most: i64) -> Option<(&'static str, String)> {
    let Some(number) = value.as_i64() else {
        return Some(("int_type", "Input should be a valid integer".into()));
    };
    if number < least {
        return Some(("greater_than_equal", format!("Input should be greater than or equal to {least}")));
    }
    (number > most).then(|| ("less_than_equal", format!("Input should be less than or equal to {most}")))
}

fn below(at: &[String], name: &str) -> Vec<String> {
    let mut path = at.to_vec();
    path.push(name.to_owned());
    path
}
