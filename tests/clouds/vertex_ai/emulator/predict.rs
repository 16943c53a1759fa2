//! Predictions: each goes to a deployed model by the split, and inside a rolling deployment in proportion to the ready
//! replicas. Who is furthest behind its share is next, so that shares are exact and runs repeat themselves.

use serde_json::{Value, json};

use super::call::Call;
use super::endpoints::Endpoint;
use super::messages::PREDICT;
use super::refusal::{Code, Refusal};
use super::routes::Place;
use super::shape::read;
use super::world::World;

/// Stands for requests that no replica can answer.
const NOBODY: &str = "";

impl World {
    pub(super) fn predict(&mut self, call: &Call, place: &Place, body: &Value) -> Result<Value, Refusal> {
        let endpoint = self.endpoint_at(place)?;
        let host = call.headers.get("host").map_or("", String::as_str);
        if endpoint.dns().is_some_and(|dns| dns != host) {
            return Err(Refusal::precondition(
                "This endpoint is a dedicated endpoint and cannot be accessed through the shared domain. Use its \
                 dedicated domain instead.",
            ));
        }
        let instances = if place.method == "endpoints.predict" {
            read(body, &PREDICT, place.version)?.get("instances").cloned().unwrap_or(json!([]))
        } else {
            json!([null])
        };
        let shares = self.shares(endpoint);
        let endpoint = self.endpoint_at_mut(place)?;
        let chosen = choose(endpoint, &shares);
        let Some(deployed) = chosen.as_deref().and_then(|id| endpoint.find(id)) else {
            endpoint.lost += 1;
            return Err(Refusal::new(Code::Unavailable, "No replica is ready to answer the request."));
        };
        let predictions: Vec<Value> = instances
            .as_array()
            .into_iter()
            .flatten()
            .map(|instance| json!({ "version": deployed.version, "instance": instance }))
            .collect();
        let answer = json!({
            "predictions": predictions,
            "deployedModelId": deployed.id,
            "model": deployed.model,
            "modelVersionId": deployed.version,
        });
        *endpoint.answered.entry(chosen.unwrap_or_default()).or_default() += 1;
        Ok(answer)
    }

    /// The share of each deployed model, in parts that mean nothing but their proportions.
    fn shares(&self, endpoint: &Endpoint) -> Vec<(String, i64)> {
        let mut shares = Vec::new();
        for (owner, percent) in endpoint.split.iter().filter(|(_, percent)| **percent > 0) {
            let members = endpoint.deployed.iter().filter(|deployed| {
                deployed.id == *owner
                    || (deployed.is_hidden() && endpoint.chain(&deployed.id).contains(owner))
            });
            let ready: Vec<(String, i64)> = members
                .map(|member| (member.id.clone(), member.ready(&self.script, self.now)))
                .map(|(id, ready)| (id, i64::try_from(ready).unwrap_or(0)))
                .collect();
            let all: i64 = ready.iter().map(|(_, ready)| ready).sum();
            if all == 0 {
                shares.push((NOBODY.to_owned(), percent * 1000));
            } else {
                shares.extend(ready.into_iter().map(|(id, ready)| (id, percent * 1000 * ready / all)));
            }
        }
        shares
    }
}

fn choose(endpoint: &mut Endpoint, shares: &[(String, i64)]) -> Option<String> {
    let all: i64 = shares.iter().map(|(_, share)| share).sum();
    for (id, share) in shares {
        *endpoint.owed.entry(id.clone()).or_default() += share;
    }
    endpoint.owed.retain(|id, _| shares.iter().any(|(known, _)| known == id));
    let next = endpoint.owed.iter().max_by_key(|(_, owed)| **owed).map(|(id, _)| id.clone())?;
    *endpoint.owed.get_mut(&next)? -= all;
    (next != NOBODY).then_some(next)
}
