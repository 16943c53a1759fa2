//! A Terraform schema from a Rust type, by way of its JSON schema, so that a type is defined once.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;
use tf_provider::schema::{Attribute, AttributeConstraint, AttributeType, Block, Description, Schema};

use super::{Constraints, Node, ResourceSchema, Rule, SchemaError};
use crate::terraform::value::Value;

/// The extension keyword that carries what JSON schema has no word for.
const EXTENSION: &str = "x-terraform";
/// How deep objects may nest before a type is taken to contain itself.
const DEPTH_MAX: usize = 16;

impl ResourceSchema {
    /// The schema whose attributes are the properties of `T`, for states of this version.
    ///
    /// Properties in `required` are required; those with a `default` are optional and computed with that default;
    /// the others are optional. Doc comments become descriptions in Markdown. More is said by the extension
    /// keyword `x-terraform`, an object with any of `computed` (`true`, or `"optional"`), `requires_replace`,
    /// `sensitive`, `write_only`, `stable`, and `deprecated` (the text that says what to use instead; also of the type
    /// as a whole):
    ///
    /// ```ignore
    /// #[schemars(extend("x-terraform" = { "computed": true, "stable": true }))]
    /// id: Option<String>,
    /// ```
    ///
    /// # Errors
    /// Says which property has no counterpart in Terraform.
    pub fn from_type<T: schemars::JsonSchema>(version: i64) -> Result<Self, SchemaError> {
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        Self::from_json_schema(settings.into_generator().into_root_schema_for::<T>().as_value(), version)
    }

    /// As [`ResourceSchema::from_type`], from a JSON schema without references.
    ///
    /// # Errors
    /// Says which property has no counterpart in Terraform.
    pub fn from_json_schema(json: &Json, version: i64) -> Result<Self, SchemaError> {
        let mut generator = Generator { rules: BTreeMap::new() };
        let attributes = generator.attributes(json, "", 0)?;
        let block = Block {
            version,
            attributes,
            blocks: HashMap::new(),
            description: description(json),
            deprecated: false,
        };
        let made = Self::new(Schema { version, block }, generator.rules)?;
        Ok(match json.get(EXTENSION).and_then(instead) {
            Some(text) => made.deprecated(text),
            None => made,
        })
    }
}

struct Generator {
    rules: BTreeMap<String, Rule>,
}

impl Generator {
    fn attributes(
        &mut self,
        object: &Json,
        at: &str,
        depth: usize,
    ) -> Result<HashMap<String, Attribute>, SchemaError> {
        if depth > DEPTH_MAX {
            return Err(SchemaError::new(at, "nests too deep: does the type contain itself?"));
        }
        let required: Vec<&str> = object
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let properties = object.get("properties").and_then(Json::as_object).into_iter().flatten();
        properties
            .map(|(name, property)| {
                let here = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                let attribute = self.attribute(property, required.contains(&name.as_str()), &here, depth)?;
                Ok((name.clone(), attribute))
            })
            .collect()
    }

    fn attribute(
        &mut self,
        property: &Json,
        required: bool,
        at: &str,
        depth: usize,
    ) -> Result<Attribute, SchemaError> {
        let json = without_null(property);
        let extension = property.get(EXTENSION).or_else(|| json.get(EXTENSION)).cloned().unwrap_or_default();
        let mut attr_type = self.attribute_type(&json, at, depth)?;
        let computed = extension.get("computed");
        let default = property.get("default").or_else(|| json.get("default")).filter(|d| !d.is_null());
        // A computed attribute's default is how Rust fills the gap, not what Terraform is to plan.
        let default = default.filter(|_| computed.is_none() && !flag(&extension, "write_only"));
        let constraint = match computed {
            Some(Json::Bool(true)) => AttributeConstraint::Computed,
            Some(Json::String(word)) if word == "optional" => AttributeConstraint::OptionalComputed,
            _ if default.is_some() => AttributeConstraint::OptionalComputed,
            _ if required => AttributeConstraint::Required,
            _ => AttributeConstraint::Optional,
        };
        if constraint == AttributeConstraint::Computed {
            self.rules.retain(|names, _| !names.starts_with(&format!("{at}.")));
            mark_computed(&mut attr_type);
        }
        let default = default.map(|json| Value::from_json(Node::Type(&attr_type), json)).transpose();
        self.add_rule(
            at,
            Rule {
                write_only: flag(&extension, "write_only"),
                requires_replace: flag(&extension, "requires_replace"),
                stable: flag(&extension, "stable"),
                default: default.map_err(|error| SchemaError::new(at, format!("default: {error}")))?,
                constraints: constraints(&json),
                deprecation: instead(&extension),
            },
        );
        Ok(Attribute {
            attr_type,
            description: description(if property.get("description").is_some() { property } else { &json }),
            constraint,
            sensitive: flag(&extension, "sensitive"),
            deprecated: instead(&extension).is_some(),
        })
    }

    fn attribute_type(&mut self, json: &Json, at: &str, depth: usize) -> Result<AttributeType, SchemaError> {
        match type_word(json) {
            Some("string") => Ok(AttributeType::String),
            Some("integer" | "number") => Ok(AttributeType::Number),
            Some("boolean") => Ok(AttributeType::Bool),
            Some("array") => {
                let items = json.get("items").map(without_null).unwrap_or_default();
                let set = flag(json, "uniqueItems");
                Ok(match self.attribute_type(&items, at, depth)? {
                    AttributeType::AttributeSingle(fields) => AttributeType::AttributeList(fields),
                    element if set => AttributeType::Set(plain(element, at)?),
                    element => AttributeType::List(plain(element, at)?),
                })
            }
            Some("object") => self.object_type(json, at, depth),
            _ => Err(SchemaError::new(at, format!("has no Terraform type: {json}"))),
        }
    }

    fn object_type(&mut self, json: &Json, at: &str, depth: usize) -> Result<AttributeType, SchemaError> {
        let Some(values) = map_values(json) else {
            return self.attributes(json, at, depth + 1).map(AttributeType::AttributeSingle);
        };
        Ok(match self.attribute_type(&without_null(values), at, depth)? {
            AttributeType::AttributeSingle(fields) => AttributeType::AttributeMap(fields),
            element => AttributeType::Map(plain(element, at)?),
        })
    }

    fn add_rule(&mut self, at: &str, rule: Rule) {
        if rule != Rule::default() {
            self.rules.insert(at.into(), rule);
        }
    }
}

/// Collections of collections cannot have nested attributes inside.
fn plain(element: AttributeType, at: &str) -> Result<Box<AttributeType>, SchemaError> {
    match element {
        AttributeType::AttributeSingle(_)
        | AttributeType::AttributeList(_)
        | AttributeType::AttributeSet(_)
        | AttributeType::AttributeMap(_) => {
            Err(SchemaError::new(at, "is a collection of collections of objects"))
        }
        element => Ok(Box::new(element)),
    }
}

/// The schema of what is there when it is not null: `Option<T>` becomes the schema of `T`.
fn without_null(json: &Json) -> Json {
    let mut json = json.clone();
    let Some(object) = json.as_object_mut() else { return json };
    for word in ["anyOf", "oneOf", "allOf"] {
        let variants = object.get(word).and_then(Json::as_array).cloned().unwrap_or_default();
        let mut solid =
            variants.into_iter().filter(|variant| variant.get("type").is_none_or(|t| t != "null"));
        if let (Some(Json::Object(only)), None) = (solid.next(), solid.next()) {
            object.remove(word);
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
            return without_null(&json);
        }
    }
    let solid = object.get("type").and_then(Json::as_array).and_then(|types| {
        let mut solid = types.iter().filter(|word| **word != "null");
        solid.next().filter(|_| solid.next().is_none()).cloned()
    });
    if let Some(word) = solid {
        object.insert("type".into(), word);
    }
    json
}

/// The JSON type; a choice between string constants is a string.
fn type_word(json: &Json) -> Option<&str> {
    if let Some(word) = json.get("type") {
        return word.as_str();
    }
    let all_strings = |list: &[Json], test: &dyn Fn(&Json) -> bool| !list.is_empty() && list.iter().all(test);
    let constant = json.get("const").is_some_and(Json::is_string);
    let choice = json.get("enum").and_then(Json::as_array).is_some_and(|l| all_strings(l, &Json::is_string));
    let variants = json.get("oneOf").and_then(Json::as_array);
    let documented =
        variants.is_some_and(|list| all_strings(list, &|variant| type_word(variant) == Some("string")));
    (constant || choice || documented).then_some("string")
}

/// What a map's values are, if this object is a map and not a struct.
fn map_values(json: &Json) -> Option<&Json> {
    if json.get("properties").is_some() {
        return None;
    }
    let open = json.get("additionalProperties").filter(|values| values.is_object());
    open.or_else(|| json.get("patternProperties")?.as_object()?.values().next())
}

fn constraints(json: &Json) -> Constraints {
    let mut constraints = Constraints::from_json_schema(json);
    if let Some(element) = json.get("items").or_else(|| map_values(json)) {
        let element = Constraints::from_json_schema(&without_null(element));
        constraints.element = (!element.is_empty()).then(|| Box::new(element));
    }
    constraints
}

/// Nobody configures the parts of what is computed.
fn mark_computed(attr_type: &mut AttributeType) {
    let (AttributeType::AttributeSingle(fields)
    | AttributeType::AttributeList(fields)
    | AttributeType::AttributeMap(fields)) = attr_type
    else {
        return;
    };
    for attribute in fields.values_mut() {
        attribute.constraint = AttributeConstraint::Computed;
        mark_computed(&mut attribute.attr_type);
    }
}

/// The text of a doc comment. Its lines are cut for the editor, its paragraphs for the reader.
fn description(json: &Json) -> Description {
    let text = json.get("description").and_then(Json::as_str).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    Description::markdown(paragraphs.collect::<Vec<_>>().join("\n\n"))
}

/// What to use instead of something deprecated.
fn instead(extension: &Json) -> Option<String> {
    extension.get("deprecated").and_then(Json::as_str).map(str::to_owned)
}

fn flag(json: &Json, name: &str) -> bool {
    json.get(name).and_then(Json::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::super::{Fields, Kind};
    use super::*;

    /// A sample.
    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Sample {
        /// The name.
        #[schemars(length(max = 63), regex(pattern = "^[a-z]+$"), extend("x-terraform" = {"requires_replace": true}))]
        name: String,
        #[serde(default = "four")]
        #[schemars(range(min = 1, max = 9))]
        replicas: u32,
        ratio: Option<f64>,
        labels: BTreeMap<String, String>,
        tags: BTreeSet<String>,
        nested: Option<Nested>,
        list: Vec<Nested>,
        named: Option<BTreeMap<String, Nested>>,
        mode: Option<Mode>,
        #[schemars(extend("x-terraform" = {"computed": true, "stable": true}))]
        id: Option<String>,
        #[schemars(extend("x-terraform" = {"computed": "optional", "sensitive": true}))]
        token: Option<String>,
        #[schemars(extend("x-terraform" = {"write_only": true}))]
        password: Option<String>,
        #[serde(default)]
        whole: Whole,
    }

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Nested {
        url: String,
        #[serde(default)]
        retries: u8,
    }

    #[derive(Deserialize, serde::Serialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Whole {
        on: bool,
    }

    impl Default for Whole {
        fn default() -> Self {
            Self { on: true }
        }
    }

    /// How.
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its schema is used")]
    enum Mode {
        /// Slowly.
        Slow,
        /// Fast.
        Fast,
    }

    fn four() -> u32 {
        4
    }

    fn sample() -> ResourceSchema {
        ResourceSchema::from_type::<Sample>(3).unwrap()
    }

    #[test]
    fn constraints_follow_required_default_and_extension() {
        use AttributeConstraint::{Computed, Optional, OptionalComputed, Required};
        let schema = sample();
        assert_eq!(schema.version(), 3);
        for (name, constraint) in [
            ("name", Required),
            ("replicas", OptionalComputed),
            ("ratio", Optional),
            ("labels", Required),
            ("nested", Optional),
            ("id", Computed),
            ("token", OptionalComputed),
            ("password", Optional),
            ("whole", OptionalComputed),
        ] {
            let attribute = &schema.schema().block.attributes[name];
            assert_eq!(attribute.constraint, constraint, "{name}");
        }
        assert_eq!(schema.schema().block.attributes["name"].description, Description::markdown("The name."));
        assert!(schema.schema().block.attributes["token"].sensitive);
    }

    #[test]
    fn types_follow_the_json_schema() {
        let schema = sample();
        let Kind::Object(fields) = schema.root().kind() else { panic!("the root is an object") };
        let attribute = |name: &str| &schema.schema().block.attributes[name].attr_type;
        assert!(matches!(attribute("nested"), AttributeType::AttributeSingle(_)));
        assert!(matches!(attribute("list"), AttributeType::AttributeList(_)));
        assert!(matches!(attribute("named"), AttributeType::AttributeMap(_)));
        assert_eq!(attribute("labels"), &AttributeType::Map(Box::new(AttributeType::String)));
        assert_eq!(attribute("tags"), &AttributeType::Set(Box::new(AttributeType::String)));
        assert_eq!(attribute("mode"), &AttributeType::String);
        assert!(matches!(fields, Fields::Attributes(_)));
    }

    #[test]
    fn rules_hold_what_the_schema_cannot() {
        let schema = sample();
        let rule = |at: &str| schema.rule(at).unwrap().clone();
        assert!(rule("name").requires_replace && rule("password").write_only && rule("id").stable);
        assert_eq!(rule("name").constraints.pattern.as_deref(), Some("^[a-z]+$"));
        assert_eq!(rule("name").constraints.length_max, Some(63));
        assert_eq!(rule("replicas").default, Some(4.into()));
        assert_eq!(rule("replicas").constraints.maximum, Some(9.into()));
        assert_eq!(rule("mode").constraints.allowed, ["slow", "fast"]);
        assert_eq!(rule("list.retries").default, Some(0.into()));
        assert_eq!(rule("whole").default, Some(Value::object([("on", true)])));
    }

    #[test]
    fn a_type_that_contains_itself_is_refused() {
        #[derive(Deserialize, JsonSchema)]
        #[allow(dead_code, reason = "only its schema is used")]
        struct Chain {
            next: Option<Box<Chain>>,
        }
        assert_eq!(ResourceSchema::from_type::<Chain>(0).unwrap_err().at, "next");
    }

    #[test]
    fn paths_get_the_steps_of_the_schema() {
        let typed = sample().typed_path(&"named.a.url".into());
        assert_eq!(typed.to_string(), "named[\"a\"].url");
    }
}
