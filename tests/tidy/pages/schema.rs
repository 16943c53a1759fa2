//! The Schema section of a page, as the registry's own generator writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sluice::terraform::schema::{Attribute, AttributeConstraint, AttributeType, ResourceSchema};
use sluice::terraform::value::Value;

pub fn section(schema: &ResourceSchema) -> String {
    let attributes = &schema.schema().block.attributes;
    if attributes.is_empty() {
        return "\nThere is nothing to set.\n".to_owned();
    }
    let mut text = String::new();
    groups(&mut text, schema, &sorted(attributes), "", "### ");
    nested(&mut text, schema, &sorted(attributes), "");
    text
}

type Attributes<'a> = BTreeMap<&'a String, &'a Attribute>;

fn sorted<'a>(attributes: impl IntoIterator<Item = (&'a String, &'a Attribute)>) -> Attributes<'a> {
    attributes.into_iter().collect()
}

fn groups(text: &mut String, schema: &ResourceSchema, attributes: &Attributes<'_>, at: &str, level: &str) {
    use AttributeConstraint::{Computed, Optional, OptionalComputed, Required};
    let kinds: [(&str, &[AttributeConstraint]); 3] =
        [("Required", &[Required]), ("Optional", &[Optional, OptionalComputed]), ("Read-Only", &[Computed])];
    for (title, constraints) in kinds {
        let group: Vec<_> =
            attributes.iter().filter(|(_, attribute)| constraints.contains(&attribute.constraint)).collect();
        if group.is_empty() {
            continue;
        }
        let heading = if level.is_empty() { format!("{title}:") } else { format!("{level}{title}") };
        let _ = writeln!(text, "\n{heading}\n");
        for (name, attribute) in group {
            let _ = writeln!(text, "{}", line(schema, name, attribute, &join(at, name)));
        }
    }
}

fn nested(text: &mut String, schema: &ResourceSchema, attributes: &Attributes<'_>, at: &str) {
    for (name, attribute) in attributes {
        let Some(fields) = fields(&attribute.attr_type) else { continue };
        let path = join(at, name);
        let _ = writeln!(text, "\n<a id=\"nestedatt--{}\"></a>", path.replace('.', "--"));
        let _ = writeln!(text, "### Nested Schema for `{path}`");
        groups(text, schema, &fields, &path, "");
        nested(text, schema, &fields, &path);
    }
}

fn line(schema: &ResourceSchema, name: &str, attribute: &Attribute, path: &str) -> String {
    let rule = schema.rule(path);
    let sensitive = if attribute.sensitive { ", Sensitive" } else { "" };
    let deprecated = if attribute.deprecated { ", Deprecated" } else { "" };
    let mut line = format!(
        "- `{name}` ({}{sensitive}{deprecated}) {}",
        kind(&attribute.attr_type),
        attribute.description.content
    );
    if let Some(instead) = rule.and_then(|rule| rule.deprecation.as_ref()) {
        let _ = write!(line, " {instead}");
    }
    if let Some(default) = rule.and_then(|rule| rule.default.as_ref()).and_then(scalar) {
        let _ = write!(line, " Default: `{default}`.");
    }
    if rule.is_some_and(|rule| rule.requires_replace) {
        line.push_str(" Changing it replaces the resource.");
    }
    if fields(&attribute.attr_type).is_some() {
        let _ = write!(line, " (see [below for nested schema](#nestedatt--{}))", path.replace('.', "--"));
    }
    line
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub fn kind(attribute_type: &AttributeType) -> String {
    match attribute_type {
        AttributeType::String => "String".to_owned(),
        AttributeType::Number => "Number".to_owned(),
        AttributeType::Bool => "Boolean".to_owned(),
        AttributeType::List(element) => format!("List of {}", kind(element)),
        AttributeType::Set(element) => format!("Set of {}", kind(element)),
        AttributeType::Map(element) => format!("Map of {}", kind(element)),
        AttributeType::AttributeSingle(_) => "Attributes".to_owned(),
        AttributeType::AttributeList(_) => "Attributes List".to_owned(),
        AttributeType::AttributeMap(_) => "Attributes Map".to_owned(),
        AttributeType::Any => "Dynamic".to_owned(),
        other => panic!("no page has shown {other} before"),
    }
}

fn fields(attribute_type: &AttributeType) -> Option<Attributes<'_>> {
    match attribute_type {
        AttributeType::AttributeSingle(fields)
        | AttributeType::AttributeList(fields)
        | AttributeType::AttributeMap(fields) => Some(sorted(fields)),
        _ => None,
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
