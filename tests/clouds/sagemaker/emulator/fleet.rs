//! What an endpoint configuration asks for, as an endpoint runs it. The configuration itself may be deleted meanwhile.

use serde_json::{Map, Value, json};

use super::signature::hash;
use super::wire::{Millis, count, list, text, timestamp};

/// The variants of one endpoint configuration.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub config: String,
    pub variants: Vec<Variant>,
}

/// One variant.
#[derive(Debug, Clone)]
pub struct Variant {
    pub name: String,
    pub instance_type: Option<String>,
    pub image: Option<String>,
    pub image_resolved: Millis,
    pub serverless: Option<Value>,
    pub weight: f32,
    pub desired: u32,
    routing: Option<Value>,
}

impl Fleet {
    /// What a configuration asks for. `image_of` finds the image of a model.
    pub fn of(config: &str, body: &Value, now: Millis, image_of: impl Fn(&str) -> Option<String>) -> Self {
        let variant = |asked: &Value| Variant {
            name: text(asked, "VariantName").to_owned(),
            instance_type: asked["InstanceType"].as_str().map(str::to_owned),
            image: asked["ModelName"].as_str().and_then(&image_of),
            image_resolved: now,
            serverless: asked.get("ServerlessConfig").cloned(),
            weight: single(&asked["InitialVariantWeight"]).unwrap_or(1.0),
            desired: count(&asked["InitialInstanceCount"]).unwrap_or(0),
            routing: asked.get("RoutingConfig").cloned(),
        };
        Self {
            config: config.to_owned(),
            variants: list(&body["ProductionVariants"]).iter().map(variant).collect(),
        }
    }

    /// Instances of the first variant: what batches are parts of.
    pub fn size(&self) -> u32 {
        self.variants.first().map_or(0, |variant| variant.desired)
    }

    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// Takes over counts and weights of variants with the same name.
    pub fn retain(&mut self, from: &Self, counts: bool, weights: bool) {
        for variant in &mut self.variants {
            let Some(old) = from.variant(&variant.name) else { continue };
            if counts {
                variant.desired = old.desired;
            }
            if weights {
                variant.weight = old.weight;
            }
        }
    }
}

/// A number in single precision, as the service keeps it.
pub fn single(value: &Value) -> Option<f32> {
    // Through text: the nearest single is meant, and casts are not for tests either.
    value.as_f64()?.to_string().parse().ok()
}

/// How far a variant has come: this share of it has traffic.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub part: u32,
    pub whole: u32,
}

impl Share {
    pub const ALL: Self = Self { part: 1, whole: 1 };

    fn of(self, number: u32) -> u32 {
        if self.whole == 0 { number } else { (number * self.part).div_ceil(self.whole).min(number) }
    }

    /// The share that this one leaves.
    pub fn rest(self) -> Self {
        Self { part: self.whole - self.part, whole: self.whole }
    }
}

impl Variant {
    /// The variant as `DescribeEndpoint` tells it. Members that are not set are left out.
    pub fn summary(&self, share: Share, status: Option<&(&str, String, Millis)>, pending: bool) -> Value {
        let mut told = Map::new();
        let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
        tell("VariantName", json!(self.name));
        if let Some(image) = &self.image {
            let repository = image.rsplit_once(':').map_or(image.as_str(), |(repository, _)| repository);
            let resolved = format!("{repository}@sha256:{}", hash(image.as_bytes()));
            let time = timestamp(self.image_resolved);
            tell(
                "DeployedImages",
                json!([{ "SpecifiedImage": image, "ResolvedImage": resolved, "ResolutionTime": time }]),
            );
        }
        // Weights are kept in single precision, and told in double.
        let weight = f64::from(self.weight);
        tell("CurrentWeight", json!(weight));
        tell("DesiredWeight", json!(weight));
        if let Some(serverless) = &self.serverless {
            tell("CurrentServerlessConfig", serverless.clone());
            tell("DesiredServerlessConfig", serverless.clone());
        } else {
            tell("CurrentInstanceCount", json!(share.of(self.desired)));
            tell("DesiredInstanceCount", json!(self.desired));
        }
        if let Some(routing) = &self.routing {
            tell("RoutingConfig", routing.clone());
        }
        if let Some(kind) = self.instance_type.as_deref().filter(|_| pending) {
            // The real service prints pending types without their prefix.
            tell("InstanceType", json!(kind.trim_start_matches("ml.")));
        }
        if let Some((status, message, since)) = status {
            tell(
                "VariantStatus",
                json!([{ "Status": status, "StatusMessage": message, "StartTime": timestamp(*since) }]),
            );
        }
        Value::Object(told)
    }
}
