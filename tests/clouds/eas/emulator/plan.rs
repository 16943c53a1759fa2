//! Update plans: replicas that keep the old version, by number or batch by batch.

use serde_json::{Map, Value, json};

use super::document;
use super::knobs::Partition;
use super::refusal::Refusal;

/// How a plan moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// So many replicas keep the old version.
    Keep(String),
    /// So many replicas at a time, with a rest of so many seconds between.
    Batches { size: String, interval: String },
}

/// The plan of one service.
#[derive(Debug, Clone)]
pub struct Plan {
    pub strategy: Strategy,
    pub paused: bool,
    /// Batches begun since the service was last updated.
    pub batches: u32,
    /// When the next one begins.
    pub next_batch: Option<u64>,
    /// An update has come since it was made.
    pub armed: bool,
}

impl Plan {
    pub fn create(body: &Value, wanted: u32, meaning: Partition) -> Result<Self, Refusal> {
        let (strategy, paused) = read(body)?;
        let strategy =
            strategy.ok_or_else(|| Refusal::bad_request("One of Partition and Batch is required."))?;
        let strategy = match strategy {
            Strategy::Keep(value) if meaning == Partition::Update => {
                Strategy::Keep(complement(&value, wanted))
            }
            strategy => strategy,
        };
        Ok(Self { strategy, paused: paused.unwrap_or(false), batches: 1, next_batch: None, armed: false })
    }

    pub fn update(&mut self, body: &Value) -> Result<(), Refusal> {
        let (strategy, paused) = read(body)?;
        if strategy.is_none() && paused.is_none() {
            return Err(Refusal::bad_request("At least one of Partition, Batch and Paused is required."));
        }
        self.strategy = strategy.unwrap_or_else(|| self.strategy.clone());
        self.paused = paused.unwrap_or(self.paused);
        Ok(())
    }

    /// A new document begins the plan anew.
    pub fn rearm(&mut self) {
        self.batches = 1;
        self.next_batch = None;
        self.armed = true;
    }

    /// Replicas that keep the old version now.
    pub fn keep(&self, wanted: u32) -> u32 {
        match &self.strategy {
            Strategy::Keep(value) => size(value, wanted).unwrap_or(0).min(wanted),
            Strategy::Batches { size: batch, .. } => {
                let batch = size(batch, wanted).unwrap_or(1).max(1);
                wanted.saturating_sub(batch.saturating_mul(self.batches))
            }
        }
    }

    /// Takes note that the batch is done, and begins the next one when it is time.
    pub fn batch_is_done(&mut self, now: u64) {
        let Strategy::Batches { interval, .. } = &self.strategy else { return };
        let at = *self.next_batch.get_or_insert(now + seconds(interval).unwrap_or(0));
        if now >= at {
            self.batches += 1;
            self.next_batch = None;
        }
    }

    pub fn told(&self) -> Value {
        match &self.strategy {
            Strategy::Keep(value) => json!({ "Partition": { "Partition": value } }),
            Strategy::Batches { size, interval } => {
                json!({ "Batch": { "BatchSize": size, "Interval": interval } })
            }
        }
    }
}

fn read(body: &Value) -> Result<(Option<Strategy>, Option<bool>), Refusal> {
    let body = body.as_object().ok_or_else(|| Refusal::bad_request("The body is not an object."))?;
    only(body, &["Partition", "Batch", "Paused"])?;
    let paused = match body.get("Paused") {
        None => None,
        Some(Value::Bool(paused)) => Some(*paused),
        Some(_) => return Err(Refusal::bad_request("Paused is not a boolean.")),
    };
    let strategy = match (body.get("Partition"), body.get("Batch")) {
        (Some(_), Some(_)) => return Err(Refusal::bad_request("Partition and Batch exclude each other.")),
        (Some(partition), None) => {
            only(object(partition)?, &["Partition"])?;
            let value = partition["Partition"].as_str().filter(|value| size(value, 100).is_some());
            Some(Strategy::Keep(value.ok_or_else(|| Refusal::bad_request("Invalid Partition."))?.into()))
        }
        (None, Some(batch)) => {
            only(object(batch)?, &["BatchSize", "Interval"])?;
            let size_of = batch.get("BatchSize").map_or(Some("25%"), Value::as_str);
            let size_of = size_of.filter(|text| size(text, 100).is_some_and(|count| count > 0));
            let interval = batch["Interval"].as_str().filter(|text| seconds(text).is_some());
            let invalid = || Refusal::bad_request("Invalid Batch.");
            Some(Strategy::Batches {
                size: size_of.ok_or_else(invalid)?.into(),
                interval: interval.ok_or_else(invalid)?.into(),
            })
        }
        (None, None) => None,
    };
    Ok((strategy, paused))
}

fn object(value: &Value) -> Result<&Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| Refusal::bad_request("The strategy is not an object."))
}

fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(Refusal::bad_request(format!("Unknown field {key}"))),
        None => Ok(()),
    }
}

fn size(text: &str, wanted: u32) -> Option<u32> {
    document::share(&text.into(), wanted, true)
}

fn complement(value: &str, wanted: u32) -> String {
    match value.strip_suffix('%').and_then(|percent| percent.parse::<u32>().ok()) {
        Some(percent) => format!("{}%", 100_u32.saturating_sub(percent)),
        None => wanted.saturating_sub(value.parse().unwrap_or(0)).to_string(),
    }
}

fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok().map(|count| count * unit)
}
