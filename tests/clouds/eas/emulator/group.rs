//! Service groups: one address for several services, and how requests are split among them.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::service::{Life, Service};
use super::state::State;

/// One group. It comes with its first service and goes with its last.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: String,
    pub mode: String,
    pub created: u64,
    pub updated: u64,
}

impl Group {
    pub fn new(name: &str, now: u64) -> Self {
        Self { name: name.into(), mode: "auto".into(), created: now, updated: now }
    }
}

impl State {
    /// Makes and removes groups, as services name them.
    pub fn tend_groups(&mut self) {
        let now = self.now;
        let named: Vec<String> = self.services.values().filter_map(|service| service.group.clone()).collect();
        self.groups.retain(|name, _| named.contains(name));
        for name in named {
            self.groups.entry(name.clone()).or_insert_with(|| Group::new(&name, now));
        }
    }

    pub fn group_told(&self, name: &str) -> Result<Value, Refusal> {
        let no_group =
            || Refusal::new(404, "InvalidGroup.NotFound", format!("The group {name} is not found."));
        let group = self.groups.get(name).ok_or_else(no_group)?;
        Ok(json!({
            "Name": group.name,
            "ClusterId": super::REGION,
            "TrafficMode": group.mode,
            "AccessToken": Self::token(),
            "InternetEndpoint": self.address_of(name),
            "IntranetEndpoint": self.address_of(name),
            "CreateTime": self.time(group.created),
            "UpdateTime": self.time(group.updated),
        }))
    }

    /// The share of each service in the requests to a group: its weight, or its ready replicas.
    pub fn shares(&self, group: &str) -> Vec<(String, u64)> {
        let customized = self.groups.get(group).is_some_and(|group| group.mode == "customized");
        let members = self.services.values().filter(|service| service.group.as_deref() == Some(group));
        let routed = members.filter(|service| service.life == Life::On && service.traffic == "grouping");
        let share = |service: &Service| match u64::try_from(service.weight) {
            Ok(weight) if customized => weight,
            _ => u64::from(service.ready()),
        };
        routed.map(|service| (service.name.clone(), share(service))).filter(|(_, share)| *share > 0).collect()
    }

    /// Answers an inference request, and counts those that nobody could answer.
    pub fn infer(&mut self, name: &str, token: &str) -> (u16, Value) {
        if token != Self::token() {
            return (401, json!({ "error": "Invalid Authorization token" }));
        }
        self.asked += 1;
        let chosen = if self.groups.contains_key(name) { self.choose(name) } else { Some(name.to_owned()) };
        let service = chosen.and_then(|name| self.services.get(&name));
        let ready: Vec<u32> = service
            .into_iter()
            .flat_map(|service| &service.replicas)
            .filter(|replica| replica.is_ready())
            .map(|replica| replica.version)
            .collect();
        let turn = usize::try_from(self.asked).unwrap();
        if let (Some(service), false) = (service, ready.is_empty()) {
            let version = ready[turn % ready.len()];
            let image = service.document_of(version).map_or("", super::document::image);
            return (200, json!({ "service": service.name, "version": version, "image": image }));
        }
        self.lost += 1;
        (503, json!({ "error": "no available upstream" }))
    }

    fn choose(&self, group: &str) -> Option<String> {
        let shares = self.shares(group);
        let total: u64 = shares.iter().map(|(_, share)| share).sum();
        let mut point = self.asked % total.max(1);
        for (name, share) in shares {
            if point < share {
                return Some(name);
            }
            point -= share;
        }
        None
    }
}
