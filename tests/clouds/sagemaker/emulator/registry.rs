//! Models and endpoint configurations: created, read, listed, deleted, never changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fleet::single;
use super::pages;
use super::tags::allowed;
use super::wire::{Answer, Millis, Refusal, arn, count, list, text, timestamp};
use super::world::World;

/// One of them.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub body: Value,
    created: Millis,
    /// How many more times it cannot be found.
    unseen: u32,
}

/// The words for models or for configurations.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    member: &'static str,
    in_arn: &'static str,
    in_text: &'static str,
}

pub const MODEL: Kind = Kind { member: "Model", in_arn: "model", in_text: "model" };
pub const CONFIG: Kind =
    Kind { member: "EndpointConfig", in_arn: "endpoint-config", in_text: "endpoint configuration" };

/// All entries of one kind, by name in lower case.
pub type Entries = BTreeMap<String, Entry>;

impl Kind {
    pub fn missing(self, name: &str) -> Refusal {
        Refusal::validation(format!("Could not find {} \"{}\".", self.in_text, arn(self.in_arn, name)))
    }

    fn name(self) -> String {
        format!("{}Name", self.member)
    }

    fn arn_member(self) -> String {
        format!("{}Arn", self.member)
    }
}

/// Finds an entry by its name, unless it is too new to be seen.
pub fn find<'a>(entries: &'a mut Entries, kind: Kind, name: &str) -> Result<&'a Entry, Refusal> {
    let entry = entries.get_mut(&name.to_lowercase()).ok_or_else(|| kind.missing(name))?;
    if entry.unseen > 0 {
        entry.unseen -= 1;
        return Err(kind.missing(name));
    }
    Ok(entry)
}

/// `DescribeModel`, `DescribeEndpointConfig`.
pub fn describe(entries: &mut Entries, kind: Kind, body: &Value) -> Answer {
    let entry = find(entries, kind, text(body, &kind.name()))?;
    let mut told = entry.body.clone();
    told[kind.name()] = json!(entry.name);
    told[kind.arn_member()] = json!(arn(kind.in_arn, &entry.name));
    told["CreationTime"] = timestamp(entry.created);
    Ok(told)
}

/// `DeleteModel`, `DeleteEndpointConfig`. Nobody asks whether it is in use.
pub fn delete(entries: &mut Entries, kind: Kind, body: &Value) -> Answer {
    let name = text(body, &kind.name());
    entries.remove(&name.to_lowercase()).map(|_| Value::Null).ok_or_else(|| kind.missing(name))
}

/// `ListModels`, `ListEndpointConfigs`.
pub fn list_all(entries: &Entries, kind: Kind, body: &Value) -> Answer {
    let summaries = entries.values().map(|entry| {
        json!({
            kind.name(): entry.name,
            kind.arn_member(): arn(kind.in_arn, &entry.name),
            "CreationTime": timestamp(entry.created),
        })
    });
    pages::list(summaries.collect(), kind.member, &format!("{}s", kind.member), body)
}

/// `CreateModel`.
pub fn create_model(world: &mut World, body: &Value) -> Answer {
    let containers = list(&body["Containers"]).iter().chain(body.get("PrimaryContainer"));
    for container in containers.clone() {
        if container["Image"].is_null() && container["ModelPackageName"].is_null() {
            return Err(Refusal::validation(
                "Either Image or ModelPackageName must be given for each container.",
            ));
        }
    }
    if containers.count() == 0
        || (!body["PrimaryContainer"].is_null() && !list(&body["Containers"]).is_empty())
    {
        return Err(Refusal::validation("Give either PrimaryContainer or Containers."));
    }
    if body["ExecutionRoleArn"].is_null() {
        return Err(Refusal::validation("ExecutionRoleArn must be given."));
    }
    create(world, MODEL, body)
}

/// `CreateEndpointConfig`.
pub fn create_config(world: &mut World, body: &Value) -> Answer {
    let variants = list(&body["ProductionVariants"]);
    let names: BTreeSet<&str> = variants.iter().map(|variant| text(variant, "VariantName")).collect();
    if names.len() < variants.len() {
        return Err(Refusal::validation(
            "Production variant names must be unique within an endpoint configuration.",
        ));
    }
    if !list(&body["ShadowProductionVariants"]).is_empty() && variants.len() != 1 {
        return Err(Refusal::validation("Shadow variants need exactly one production variant."));
    }
    for variant in variants {
        check_variant(world, variant)?;
    }
    create(world, CONFIG, body)
}

fn check_variant(world: &World, variant: &Value) -> Result<(), Refusal> {
    let given = |member: &str| !variant[member].is_null();
    if let Some(model) = variant["ModelName"].as_str() {
        if !world.models.contains_key(&model.to_lowercase()) {
            return Err(MODEL.missing(model));
        }
        if given("ManagedInstanceScaling") {
            let text = "ManagedInstanceScaling is only supported for inference component endpoints.";
            return Err(Refusal::validation(text));
        }
    }
    let has_instances = given("InstanceType") || given("InstancePools");
    if given("ServerlessConfig") == has_instances {
        return Err(Refusal::validation("Give a variant either instances or a ServerlessConfig."));
    }
    if has_instances && !given("InitialInstanceCount") {
        return Err(Refusal::validation("InitialInstanceCount must be given for a variant with instances."));
    }
    let (kind, asked) = (text(variant, "InstanceType"), count(&variant["InitialInstanceCount"]).unwrap_or(0));
    world.within_quota(kind, asked)
}

fn create(world: &mut World, kind: Kind, body: &Value) -> Answer {
    allowed(list(&body["Tags"]))?;
    let name = text(body, &kind.name()).to_owned();
    let is_config = kind.in_arn == CONFIG.in_arn;
    let unseen = if is_config { world.knobs.config_lag } else { 0 };
    let address = arn(kind.in_arn, &name);
    let entries = if is_config { &mut world.configs } else { &mut world.models };
    if entries.contains_key(&name.to_lowercase()) {
        let text = format!("Cannot create already existing {} \"{address}\".", kind.in_text);
        return Err(Refusal::validation(text));
    }
    let mut body = body.clone();
    let members = body.as_object_mut().unwrap();
    members.retain(|_, value| !value.is_null());
    let tags = members.remove("Tags");
    for variant in members.get_mut("ProductionVariants").and_then(Value::as_array_mut).into_iter().flatten() {
        let weight = single(&variant["InitialVariantWeight"]).unwrap_or(1.0);
        variant["InitialVariantWeight"] = json!(f64::from(weight));
    }
    entries.insert(name.to_lowercase(), Entry { name, body, created: world.clock.now, unseen });
    world.tags.set(&address, tags.as_ref());
    Ok(json!({ kind.arn_member(): address }))
}
