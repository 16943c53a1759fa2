//! Whether a request has the shape that its operation accepts, in the words of the services when it has not.
//!
//! `shapes.txt` says what is accepted. Members that it does not name are refused: the real services ignore them, and
//! that is how mistakes in names go unseen.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

use super::wire::Refusal;

/// Instance types that this account could get.
const INSTANCE_TYPES: [&str; 10] = [
    "ml.g5.2xlarge",
    "ml.g5.xlarge",
    "ml.g6.12xlarge",
    "ml.g6.48xlarge",
    "ml.g6.xlarge",
    "ml.m5.large",
    "ml.m5.xlarge",
    "ml.p4d.24xlarge",
    "ml.p5.48xlarge",
    "ml.t2.medium",
];

static SHAPES: LazyLock<BTreeMap<&str, Vec<Member>>> = LazyLock::new(|| read(include_str!("shapes.txt")));

/// Fails unless the body is what the operation accepts. All problems at once, as the services tell them.
pub fn check(operation: &str, body: &Value) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    if !body.is_object() {
        return Err(Refusal::new(400, "SerializationException", "Start of structure or map expected."));
    }
    check_struct(operation, "", body, &mut problems);
    if problems.is_empty() {
        return Ok(());
    }
    let (count, noun) = (problems.len(), if problems.len() == 1 { "error" } else { "errors" });
    Err(Refusal::validation(format!("{count} validation {noun} detected: {}", problems.join("; "))))
}

/// Whether the emulator knows an operation.
pub fn is_known(operation: &str) -> bool {
    SHAPES.contains_key(operation)
}

struct Member {
    name: &'static str,
    required: bool,
    kind: Kind,
}

enum Kind {
    Text(Bounds, Option<&'static str>),
    Int(Bounds),
    Real(Bounds),
    Bool,
    Time,
    One(Vec<&'static str>),
    List(Bounds, Box<Kind>),
    Map(Bounds),
    Struct(&'static str),
}

#[derive(Clone, Copy, Default)]
struct Bounds {
    min: Option<u32>,
    max: Option<u32>,
}

fn read(text: &'static str) -> BTreeMap<&'static str, Vec<Member>> {
    let mut shapes: BTreeMap<&str, Vec<Member>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["struct", name] = words[..] {
            current = name;
            assert!(shapes.insert(name, Vec::new()).is_none(), "{name} twice");
        } else {
            let (name, required) = words[0].strip_suffix('*').map_or((words[0], false), |name| (name, true));
            let member = Member { name, required, kind: read_kind(&words[1..]) };
            shapes.get_mut(current).unwrap().push(member);
        }
    }
    shapes
}

fn read_kind(words: &[&'static str]) -> Kind {
    match words {
        ["text", bounds, pattern @ ..] => Kind::Text(read_bounds(bounds), pattern.first().copied()),
        ["int"] => Kind::Int(Bounds::default()),
        ["int", bounds] => Kind::Int(read_bounds(bounds)),
        ["real"] => Kind::Real(Bounds::default()),
        ["real", bounds] => Kind::Real(read_bounds(bounds)),
        ["bool"] => Kind::Bool,
        ["time"] => Kind::Time,
        ["one", values] => Kind::One(values.split('|').collect()),
        ["list", bounds, element @ ..] => Kind::List(read_bounds(bounds), Box::new(read_kind(element))),
        ["map", bounds] => Kind::Map(read_bounds(bounds)),
        ["InstanceType"] => Kind::One(INSTANCE_TYPES.to_vec()),
        [name] => Kind::Struct(name),
        other => panic!("no shape: {other:?}"),
    }
}

fn read_bounds(text: &str) -> Bounds {
    let (min, max) = text.split_once("..").unwrap();
    Bounds { min: min.parse().ok(), max: max.parse().ok() }
}

fn check_struct(shape: &str, at: &str, value: &Value, problems: &mut Vec<String>) {
    let Some(members) = value.as_object() else {
        return problem(at, value, "Member must be a structure", problems);
    };
    let shape = SHAPES.get(shape).unwrap_or_else(|| panic!("no shape {shape}"));
    for name in members.keys().filter(|name| !shape.iter().any(|member| member.name == *name)) {
        problems.push(format!("Unknown member '{name}' at '{at}'"));
    }
    for member in shape {
        let place = join(at, &lower_first(member.name));
        match members.get(member.name) {
            None | Some(Value::Null) if member.required => {
                problem(&place, &Value::Null, "Member must not be null", problems);
            }
            None | Some(Value::Null) => {}
            Some(value) => check_kind(&member.kind, &place, value, problems),
        }
    }
}

fn check_kind(kind: &Kind, at: &str, value: &Value, problems: &mut Vec<String>) {
    match kind {
        Kind::Text(bounds, pattern) => check_text(*bounds, *pattern, at, value, problems),
        Kind::Int(bounds) => match value.as_i64() {
            Some(number) => check_number(*bounds, number, at, value, problems),
            None => problem(at, value, "Member must be an integer", problems),
        },
        Kind::Real(bounds) => match value.as_f64() {
            Some(number) if bounds.min.is_some_and(|min| number < f64::from(min)) => {
                problem(at, value, "Member must have value greater than or equal to 0", problems);
            }
            Some(_) => {}
            None => problem(at, value, "Member must be a number", problems),
        },
        Kind::Bool if !value.is_boolean() => problem(at, value, "Member must be a boolean", problems),
        Kind::Time if !value.is_number() => problem(at, value, "Member must be a timestamp", problems),
        Kind::One(allowed) if !value.as_str().is_some_and(|text| allowed.contains(&text)) => {
            let rule = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
            problem(at, value, &rule, problems);
        }
        Kind::Bool | Kind::Time | Kind::One(_) => {}
        Kind::List(bounds, element) => check_list(*bounds, element, at, value, problems),
        Kind::Map(bounds) => check_map(*bounds, at, value, problems),
        Kind::Struct(name) => check_struct(name, at, value, problems),
    }
}

fn check_text(bounds: Bounds, pattern: Option<&str>, at: &str, value: &Value, problems: &mut Vec<String>) {
    let Some(text) = value.as_str() else { return problem(at, value, "Member must be a string", problems) };
    check_length(bounds, text.chars().count(), at, value, problems);
    let Some((rule, holds)) = pattern.map(|name| pattern_named(name, text)) else { return };
    if !holds {
        problem(at, value, &format!("Member must satisfy regular expression pattern: {rule}"), problems);
    }
}

fn check_list(bounds: Bounds, element: &Kind, at: &str, value: &Value, problems: &mut Vec<String>) {
    let Some(items) = value.as_array() else { return problem(at, value, "Member must be a list", problems) };
    check_length(bounds, items.len(), at, value, problems);
    for (index, item) in items.iter().enumerate() {
        check_kind(element, &format!("{at}.{}.member", index + 1), item, problems);
    }
}

fn check_map(bounds: Bounds, at: &str, value: &Value, problems: &mut Vec<String>) {
    let Some(entries) = value.as_object() else {
        return problem(at, value, "Member must be a map", problems);
    };
    check_length(bounds, entries.len(), at, value, problems);
    for (key, entry) in entries {
        let name = Value::String(key.clone());
        let key_bounds = Bounds { min: Some(0), max: Some(1024) };
        check_text(key_bounds, Some("variable"), &format!("{at}.key"), &name, problems);
        check_text(key_bounds, None, &format!("{at}.{key}.member"), entry, problems);
    }
}

fn check_number(bounds: Bounds, number: i64, at: &str, value: &Value, problems: &mut Vec<String>) {
    if let Some(min) = bounds.min.filter(|min| number < i64::from(*min)) {
        problem(at, value, &format!("Member must have value greater than or equal to {min}"), problems);
    }
    if let Some(max) = bounds.max.filter(|max| number > i64::from(*max)) {
        problem(at, value, &format!("Member must have value less than or equal to {max}"), problems);
    }
}

fn check_length(bounds: Bounds, length: usize, at: &str, value: &Value, problems: &mut Vec<String>) {
    let length = u32::try_from(length).unwrap();
    if let Some(min) = bounds.min.filter(|min| length < *min) {
        problem(at, value, &format!("Member must have length greater than or equal to {min}"), problems);
    }
    if let Some(max) = bounds.max.filter(|max| length > *max) {
        problem(at, value, &format!("Member must have length less than or equal to {max}"), problems);
    }
}

fn problem(at: &str, value: &Value, rule: &str, problems: &mut Vec<String>) {
    let shown = match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("'{text}'"),
        other => format!("'{other}'"),
    };
    problems.push(format!("Value {shown} at '{at}' failed to satisfy constraint: {rule}"));
}

/// The pattern as the services print it, and whether the whole text matches.
fn pattern_named(name: &str, text: &str) -> (&'static str, bool) {
    let pattern = match name {
        "name" => r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        "model-name" => r"^[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?",
        "contains" => "[a-zA-Z0-9-]+",
        "word" => r"[\S]+",
        "url" => "^(https|s3)://([^/]+)/?(.*)$",
        "role" => r"^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
        "arn" => "arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:.+",
        "id" => "[-0-9a-zA-Z]+",
        "key" => "^[a-zA-Z0-9:/_-]*$",
        "channel" => r"[A-Za-z0-9\.\-_]+",
        "variable" => "[a-zA-Z_][a-zA-Z0-9_]*",
        "not-blank" => return (r"^(?!\s*$).+", !text.trim().is_empty()),
        "tag" => {
            return (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", text.chars().all(fits_in_tag));
        }
        other => panic!("no pattern {other}"),
    };
    let whole = format!("^(?:{})$", pattern.trim_start_matches('^').trim_end_matches('$'));
    (pattern, Regex::new(&whole).unwrap().is_match(text))
}

/// Letters, numbers and separators of Unicode. Marks and enclosed letters are alphabetic as well, and none of these: the
/// blocks that have such are refused as a whole, which is more than the service does.
fn fits_in_tag(sign: char) -> bool {
    const MARKED: [(u32, u32); 9] = [
        (0x0300, 0x036f),
        (0x0483, 0x0489),
        (0x0591, 0x1cff),
        (0x1dc0, 0x1dff),
        (0x2460, 0x24ff),
        (0x302a, 0x302f),
        (0x3099, 0x309a),
        (0xa66f, 0xabff),
        (0xfb1e, u32::MAX),
    ];
    let is_marked = |sign: char| MARKED.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(sign)));
    (sign.is_alphanumeric() && !is_marked(sign))
        || (sign.is_whitespace() && !sign.is_control())
        || "_.:/=+-@".contains(sign)
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
