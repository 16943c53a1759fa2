//! A schema as Terraform reads it.

use std::collections::HashMap;

use tf_provider::schema::{Attribute, AttributeConstraint, AttributeType, Description, StringKind};

use super::{ResourceSchema, Rule};
use crate::terraform::wire;

impl ResourceSchema {
    /// The form on the wire; attributes are ordered by name, so that the bytes are always the same.
    pub fn to_wire(&self) -> wire::Schema {
        let block = &self.schema.block;
        wire::Schema {
            version: self.schema.version,
            block: Some(wire::Block {
                version: self.schema.version,
                attributes: self.attributes_to_wire(&block.attributes, ""),
                description: block.description.content.clone(),
                description_kind: kind(&block.description),
                deprecated: block.deprecated,
                deprecation_message: self.deprecation().unwrap_or_default().to_owned(),
            }),
        }
    }

    fn attributes_to_wire(&self, attributes: &HashMap<String, Attribute>, at: &str) -> Vec<wire::Attribute> {
        let mut sorted: Vec<_> = attributes.iter().collect();
        sorted.sort_by_key(|(name, _)| name.as_str());
        let convert = |(name, attribute): (&String, &Attribute)| {
            let here = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            self.attribute_to_wire(name, attribute, &here)
        };
        sorted.into_iter().map(convert).collect()
    }

    fn attribute_to_wire(&self, name: &str, attribute: &Attribute, at: &str) -> wire::Attribute {
        use AttributeConstraint::{Computed, Optional, OptionalComputed, Required};
        let nested = match &attribute.attr_type {
            AttributeType::AttributeSingle(fields) => Some((wire::Nesting::Single, fields)),
            AttributeType::AttributeList(fields) => Some((wire::Nesting::List, fields)),
            AttributeType::AttributeSet(fields) => Some((wire::Nesting::Set, fields)),
            AttributeType::AttributeMap(fields) => Some((wire::Nesting::Map, fields)),
            _ => None,
        };
        let rule = self.rule(at);
        let plain = nested.is_none().then(|| type_to_json(&attribute.attr_type).to_string().into_bytes());
        wire::Attribute {
            name: name.into(),
            r#type: plain.unwrap_or_default(),
            description: attribute.description.content.clone(),
            required: attribute.constraint == Required,
            optional: matches!(attribute.constraint, Optional | OptionalComputed),
            computed: matches!(attribute.constraint, Computed | OptionalComputed),
            sensitive: attribute.sensitive,
            description_kind: kind(&attribute.description),
            deprecated: attribute.deprecated,
            nested_type: nested.map(|(nesting, fields)| wire::Object {
                attributes: self.attributes_to_wire(fields, at),
                nesting: nesting.into(),
            }),
            write_only: rule.is_some_and(|rule: &Rule| rule.write_only),
            deprecation_message: rule.and_then(|rule| rule.deprecation.clone()).unwrap_or_default(),
        }
    }
}

fn kind(description: &Description) -> i32 {
    match description.kind {
        StringKind::Plain => wire::StringKind::Plain,
        StringKind::Markdown => wire::StringKind::Markdown,
    }
    .into()
}

/// The type's JSON; `serde_json` orders the names of objects.
fn type_to_json(attribute_type: &AttributeType) -> serde_json::Value {
    serde_json::to_value(attribute_type).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attribute_has_a_type_or_a_nested_type() {
        let schema = ResourceSchema::from_json_schema(
            &json!({"properties": {
                "b": {"type": "array", "items": {"type": "string"}},
                "a": {"type": "object", "properties": {"z": {"type": "number"}, "y": {"type": "boolean"}}},
            }, "required": ["b"]}),
            7,
        )
        .unwrap()
        .to_wire();
        assert_eq!(schema.version, 7);
        let attributes = schema.block.unwrap().attributes;
        assert_eq!(attributes[0].name, "a");
        assert!(attributes[0].r#type.is_empty());
        let nested = attributes[0].nested_type.as_ref().unwrap();
        assert_eq!(nested.attributes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["y", "z"]);
        assert_eq!(attributes[1].r#type, br#"["list","string"]"#);
        assert!(attributes[1].nested_type.is_none() && attributes[1].required && !attributes[1].optional);
    }
}
