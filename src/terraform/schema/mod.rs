//! What a resource looks like in configuration: `tf_provider`'s schema types, and beside them what these cannot
//! say (defaults, write-only, replacement, limits on values).
//!
//! In: a Rust type with `schemars::JsonSchema`, or a hand-written [`Schema`]. Out: a [`ResourceSchema`] that the
//! decoder, the planner and the validator walk, and its form on the wire. Every schema is a tree of attributes;
//! blocks, sets of objects and dynamically typed attributes are refused where one is made.

mod constraints;
mod generate;
mod on_wire;

use std::collections::{BTreeMap, HashMap};

pub use constraints::Constraints;
pub use tf_provider::schema::{
    Attribute, AttributeConstraint, AttributeType, Block, Description, Schema, StringKind,
};

use super::value::{Path, PathStep, Value};

/// Names that Terraform keeps for itself in a resource.
const RESERVED: [&str; 7] =
    ["count", "for_each", "depends_on", "lifecycle", "provider", "provisioner", "connection"];

/// The schema of a resource or of the provider itself.
#[derive(Debug, Clone)]
pub struct ResourceSchema {
    schema: Schema,
    rules: BTreeMap<String, Rule>,
    deprecation: Option<String>,
}

/// What `tf_provider`'s schema cannot say of an attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Never stored: read from the configuration only.
    pub write_only: bool,
    /// A change needs a new object.
    pub requires_replace: bool,
    /// Computed once: an update keeps it, so that the plan shows the value instead of "known after apply".
    pub stable: bool,
    /// What the attribute is when the configuration does not say.
    pub default: Option<Value>,
    /// Limits on the value.
    pub constraints: Constraints,
    /// What to use instead, if the attribute is deprecated.
    pub deprecation: Option<String>,
}

/// Why something cannot be a schema. Always a mistake in the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schema attribute {at:?}: {problem}")]
pub struct SchemaError {
    /// Dotted names of the attributes down to the wrong one.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

impl SchemaError {
    fn new(at: &str, problem: impl Into<String>) -> Self {
        Self { at: at.into(), problem: problem.into() }
    }
}

impl ResourceSchema {
    /// A schema from its parts. The key of a rule is the attribute's names joined by dots, without list
    /// positions or map keys: `gates.prometheus.url`.
    ///
    /// # Errors
    /// Says which attribute Terraform would not accept, or which rule is about no attribute.
    pub fn new(schema: Schema, rules: BTreeMap<String, Rule>) -> Result<Self, SchemaError> {
        if let Some(name) = schema.block.blocks.keys().min() {
            return Err(SchemaError::new(name, "is a block: use a nested attribute"));
        }
        let made = Self { schema, rules, deprecation: None };
        check_fields(&made, made.root(), "")?;
        match made.rules.keys().find(|at| !made.has_attribute(at)) {
            Some(at) => Err(SchemaError::new(at, "has a rule and does not exist")),
            None => Ok(made),
        }
    }

    /// A schema without attributes: for a provider that needs no configuration.
    pub fn empty() -> Self {
        let block = Block { version: 0, description: Description::plain(""), ..Block::default() };
        Self { schema: Schema { version: 0, block }, rules: BTreeMap::new(), deprecation: None }
    }

    /// The same schema, deprecated as a whole. The text says what to use instead.
    #[must_use]
    pub fn deprecated(mut self, instead: impl Into<String>) -> Self {
        self.schema.block.deprecated = true;
        self.deprecation = Some(instead.into());
        self
    }

    /// What to use instead, if this is deprecated as a whole.
    pub fn deprecation(&self) -> Option<&str> {
        self.deprecation.as_deref()
    }

    /// The same schema with another description.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        self.schema.block.description = Description::markdown(description.to_owned());
        self
    }

    /// The version of stored states. From 0; raised when the stored shape changes.
    pub fn version(&self) -> i64 {
        self.schema.version
    }

    /// The authoring form.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The type of the whole value: an object of the top attributes.
    pub fn root(&self) -> Node<'_> {
        Node::Nested(&self.schema.block.attributes)
    }

    /// The rule for the attribute with these names joined by dots.
    pub fn rule(&self, names: &str) -> Option<&Rule> {
        self.rules.get(names)
    }

    /// All rules, by the dotted names of their attributes.
    pub fn rules(&self) -> &BTreeMap<String, Rule> {
        &self.rules
    }

    /// A value with every top attribute null.
    pub fn null_object(&self) -> Value {
        Value::Map(self.schema.block.attributes.keys().map(|name| (name.clone(), Value::Null)).collect())
    }

    /// `path` with the steps that this schema calls for: an attribute step into a map becomes a key step and the
    /// other way round. Steps below anything the schema does not know stay as they are.
    #[must_use]
    pub fn typed_path(&self, path: &Path) -> Path {
        let mut node = Some(self.root());
        let steps = path.steps().iter().map(|step| {
            let (typed, below) = typed_step(node, step);
            node = below;
            typed
        });
        Path(steps.collect())
    }

    fn has_attribute(&self, names: &str) -> bool {
        let found = names.split('.').try_fold(self.root(), |node, name| node.innermost_fields()?.get(name));
        found.is_some()
    }
}

fn typed_step<'a>(node: Option<Node<'a>>, step: &PathStep) -> (PathStep, Option<Node<'a>>) {
    match (node.map(Node::kind), step) {
        (Some(Kind::Map(element)), PathStep::Attribute(key) | PathStep::Key(key)) => {
            (PathStep::Key(key.clone()), Some(element))
        }
        (Some(Kind::Object(fields)), PathStep::Attribute(name) | PathStep::Key(name)) => {
            (PathStep::Attribute(name.clone()), fields.get(name))
        }
        (Some(Kind::List(element) | Kind::Set(element)), PathStep::Index(_)) => (step.clone(), Some(element)),
        _ => (step.clone(), None),
    }
}

fn check_fields(schema: &ResourceSchema, node: Node<'_>, at: &str) -> Result<(), SchemaError> {
    let Node::Nested(attributes) = node else { return Ok(()) };
    for (name, attribute) in attributes {
        let here = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !starts_well || !name.chars().all(allowed) {
            return Err(SchemaError::new(&here, "is not a name in lower case, digits and underscores"));
        }
        if at.is_empty() && RESERVED.contains(&name.as_str()) {
            return Err(SchemaError::new(&here, "is a name that Terraform reserves"));
        }
        check_attribute(schema, attribute, &here)?;
    }
    Ok(())
}

fn check_attribute(schema: &ResourceSchema, attribute: &Attribute, at: &str) -> Result<(), SchemaError> {
    use AttributeConstraint::{Computed, OptionalComputed};
    check_type(&attribute.attr_type, at)?;
    let instead = schema.rule(at).and_then(|rule| rule.deprecation.as_deref());
    if attribute.deprecated != instead.is_some_and(|text| !text.is_empty()) {
        return Err(SchemaError::new(at, "is deprecated and does not say what to use instead"));
    }
    if let Some(rule) = schema.rule(at) {
        if rule.write_only && matches!(attribute.constraint, Computed | OptionalComputed) {
            return Err(SchemaError::new(at, "is write-only and computed"));
        }
        if rule.default.is_some() && attribute.constraint != OptionalComputed {
            return Err(SchemaError::new(at, "has a default and is not optional and computed"));
        }
        if rule.constraints.pattern.as_ref().is_some_and(|pattern| regex_lite::Regex::new(pattern).is_err()) {
            return Err(SchemaError::new(at, "has a pattern that is not a regular expression"));
        }
    }
    match Node::Type(&attribute.attr_type).innermost_fields() {
        Some(Fields::Attributes(nested)) => check_fields(schema, Node::Nested(nested), at),
        _ => Ok(()),
    }
}

fn check_type(attribute_type: &AttributeType, at: &str) -> Result<(), SchemaError> {
    match attribute_type {
        AttributeType::Any => Err(SchemaError::new(at, "is dynamically typed")),
        AttributeType::Tuple(_) => Err(SchemaError::new(at, "is a tuple")),
        AttributeType::AttributeSet(_) => {
            Err(SchemaError::new(at, "is a set of objects: use a list or a map"))
        }
        AttributeType::List(element) | AttributeType::Set(element) | AttributeType::Map(element) => {
            check_type(element, at)
        }
        AttributeType::Object(fields) => fields.values().try_for_each(|field| check_type(field, at)),
        _ => Ok(()),
    }
}

/// A type inside a schema.
#[derive(Debug, Clone, Copy)]
pub enum Node<'a> {
    /// A type that stands alone.
    Type(&'a AttributeType),
    /// An object of attributes with rules of their own.
    Nested(&'a HashMap<String, Attribute>),
}

/// The shape of the values of a type.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// Strings.
    String,
    /// Numbers.
    Number,
    /// Booleans.
    Bool,
    /// Lists of this element.
    List(Node<'a>),
    /// Sets of this element.
    Set(Node<'a>),
    /// Maps from strings to this element.
    Map(Node<'a>),
    /// Objects with exactly these fields.
    Object(Fields<'a>),
}

/// The fields of an object type.
#[derive(Debug, Clone, Copy)]
pub enum Fields<'a> {
    /// Plain fields.
    Types(&'a HashMap<String, AttributeType>),
    /// Nested attributes.
    Attributes(&'a HashMap<String, Attribute>),
}

impl<'a> Node<'a> {
    /// The shape of this type's values.
    pub fn kind(self) -> Kind<'a> {
        let attribute_type = match self {
            Self::Nested(attributes) => return Kind::Object(Fields::Attributes(attributes)),
            Self::Type(attribute_type) => attribute_type,
        };
        match attribute_type {
            // A schema with a dynamic type or a tuple cannot be made, see `check_type`.
            AttributeType::String | AttributeType::Any | AttributeType::Tuple(_) => Kind::String,
            AttributeType::Number => Kind::Number,
            AttributeType::Bool => Kind::Bool,
            AttributeType::List(element) => Kind::List(Self::Type(element)),
            AttributeType::Set(element) => Kind::Set(Self::Type(element)),
            AttributeType::Map(element) => Kind::Map(Self::Type(element)),
            AttributeType::Object(fields) => Kind::Object(Fields::Types(fields)),
            AttributeType::AttributeSingle(fields) => Kind::Object(Fields::Attributes(fields)),
            AttributeType::AttributeList(fields) => Kind::List(Self::Nested(fields)),
            AttributeType::AttributeSet(fields) => Kind::Set(Self::Nested(fields)),
            AttributeType::AttributeMap(fields) => Kind::Map(Self::Nested(fields)),
        }
    }

    /// The fields of this type, or of the elements of this list, set or map of objects.
    fn innermost_fields(self) -> Option<Fields<'a>> {
        match self.kind() {
            Kind::Object(fields) => Some(fields),
            Kind::List(element) | Kind::Set(element) | Kind::Map(element) => element.innermost_fields(),
            _ => None,
        }
    }
}

impl<'a> Fields<'a> {
    /// The type of the field `name`.
    pub fn get(self, name: &str) -> Option<Node<'a>> {
        match self {
            Self::Types(types) => types.get(name).map(Node::Type),
            Self::Attributes(attributes) => attributes.get(name).map(|a| Node::Type(&a.attr_type)),
        }
    }

    /// All fields by name, so that what is made of them is always the same.
    pub fn sorted(self) -> BTreeMap<&'a str, Node<'a>> {
        match self {
            Self::Types(types) => types.iter().map(|(k, t)| (k.as_str(), Node::Type(t))).collect(),
            Self::Attributes(attributes) => {
                attributes.iter().map(|(k, a)| (k.as_str(), Node::Type(&a.attr_type))).collect()
            }
        }
    }
}
