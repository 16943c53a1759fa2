//! Tags on models, endpoint configurations and endpoints.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pages::Pages;
use super::wire::{Answer, Refusal, list, text};

/// Tags by the address of their resource.
#[derive(Debug, Default)]
pub struct Tags(BTreeMap<String, BTreeMap<String, String>>);

impl Tags {
    /// Tags that came with a resource when it was created.
    pub fn set(&mut self, address: &str, tags: Option<&Value>) {
        let tags = tags.map(list).unwrap_or_default();
        let pairs = tags.iter().map(|tag| (text(tag, "Key").to_owned(), text(tag, "Value").to_owned()));
        self.0.insert(address.to_lowercase(), pairs.collect());
    }

    /// The tags of a resource.
    pub fn of(&self, address: &str) -> BTreeMap<String, String> {
        self.0.get(&address.to_lowercase()).cloned().unwrap_or_default()
    }

    /// `AddTags`.
    pub fn add(&mut self, body: &Value) -> Answer {
        allowed(list(&body["Tags"]))?;
        let tags = self.find(body)?;
        for tag in list(&body["Tags"]) {
            tags.insert(text(tag, "Key").to_owned(), text(tag, "Value").to_owned());
        }
        if tags.len() > 50 {
            return Err(Refusal::validation("A resource has at most 50 tags."));
        }
        Ok(json!({ "Tags": told(tags) }))
    }

    /// `DeleteTags`.
    pub fn delete(&mut self, body: &Value) -> Answer {
        let tags = self.find(body)?;
        for key in list(&body["TagKeys"]).iter().filter_map(Value::as_str) {
            tags.remove(key);
        }
        Ok(json!({}))
    }

    /// `ListTags`.
    pub fn list(&mut self, body: &Value) -> Answer {
        let all = told(self.find(body)?);
        let (page, next) =
            Pages { default: 50, size: &body["MaxResults"], token: &body["NextToken"] }.cut(&all)?;
        let mut answer = json!({ "Tags": page });
        if let Some(next) = next {
            answer["NextToken"] = json!(next);
        }
        Ok(answer)
    }

    fn find(&mut self, body: &Value) -> Result<&mut BTreeMap<String, String>, Refusal> {
        let address = text(body, "ResourceArn");
        let missing = || Refusal::validation(format!("Could not find resource \"{address}\"."));
        self.0.get_mut(&address.to_lowercase()).ok_or_else(missing)
    }
}

/// Fails where keys come twice or belong to the service. The words are ours: no capture of these cases exists.
pub fn allowed(tags: &[Value]) -> Result<(), Refusal> {
    let keys: Vec<&str> = tags.iter().map(|tag| text(tag, "Key")).collect();
    if let Some(key) = keys.iter().find(|key| key.to_lowercase().starts_with("aws:")) {
        return Err(Refusal::validation(format!("Tag keys may not start with aws: \"{key}\".")));
    }
    match keys.iter().enumerate().find(|(index, key)| keys[..*index].contains(key)) {
        Some((_, key)) => Err(Refusal::validation(format!("Tag key \"{key}\" is given twice."))),
        None => Ok(()),
    }
}

fn told(tags: &BTreeMap<String, String>) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}
