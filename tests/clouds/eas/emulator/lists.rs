//! Lists, page by page.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::server::Call;
use super::state::State;

const PAGE_SIZE: usize = 100;

/// One page of a list.
pub fn page(call: &Call, name: &str, items: Vec<Value>) -> Result<Value, Refusal> {
    let number = |parameter: &str, usual: usize| match call.parameter(parameter) {
        None => Ok(usual),
        Some(text) => text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Refusal::new(400, "InvalidParameter", format!("The parameter {parameter} is invalid: {text}"))
        }),
    };
    let (number, size) = (number("PageNumber", 1)?, number("PageSize", PAGE_SIZE)?);
    let total = items.len();
    let items: Vec<Value> = items.into_iter().skip((number - 1) * size).take(size).collect();
    Ok(json!({ name: items, "PageNumber": number, "PageSize": size, "TotalCount": total }))
}

impl State {
    pub fn list_services(&self, call: &Call) -> Result<Value, Refusal> {
        let asked = |parameter: &str, fits: &dyn Fn(&str) -> bool| call.parameter(parameter).is_none_or(fits);
        let labels = call.parameter("Label").map_or(Ok(json!({})), serde_json::from_str);
        let labels: Value =
            labels.map_err(|_| Refusal::new(400, "InvalidParameter", "Label is not JSON."))?;
        let services = self.services.values().filter(|service| {
            let has_labels = labels.as_object().is_none_or(|labels| {
                labels.iter().all(|(key, value)| service.labels.get(key).is_some_and(|found| value == found))
            });
            has_labels
                && asked("ServiceName", &|name| service.name == name)
                && asked("Filter", &|part| service.name.contains(part))
                && asked("GroupName", &|group| service.group.as_deref() == Some(group))
                && asked("WorkspaceId", &|id| service.workspace == id)
        });
        let without_address = |mut told: Value| {
            for key in ["InternetEndpoint", "IntranetEndpoint"] {
                told.as_object_mut().map(|told| told.remove(key));
            }
            told
        };
        page(call, "Services", services.map(|service| without_address(self.service_told(service))).collect())
    }

    pub fn list_groups(&self, call: &Call) -> Result<Value, Refusal> {
        let part = call.parameter("Filter").unwrap_or_default();
        let names = self.groups.keys().filter(|name| name.contains(part));
        let groups: Result<Vec<Value>, Refusal> = names.map(|name| self.group_told(name)).collect();
        page(call, "Groups", groups?)
    }
}
