//! From what the agent knows to the gateway's routing table. Pure.

use std::net::{Ipv4Addr, SocketAddr};

use super::desired::{Desired, Endpoint};
use super::gateway::table::{EndpointRoutes, RoutedReplica, RoutingTable};
use super::token::TokenKeys;

/// The whole table: every endpoint that should have an address, with the replicas that may get requests.
///
/// An endpoint that is being deleted keeps its address until its last replica is gone.
pub fn table(desired: &Desired, tokens: &TokenKeys, epoch: u64, generation: u64) -> RoutingTable {
    let endpoints = desired
        .endpoints
        .iter()
        .filter(|(_, endpoint)| !endpoint.record.deleting || !endpoint.replicas.is_empty())
        .map(|(name, endpoint)| (name.to_string(), routes(name.as_str(), endpoint, tokens)))
        .collect();
    RoutingTable { epoch, generation, endpoints }
}

fn routes(name: &str, endpoint: &Endpoint, tokens: &TokenKeys) -> EndpointRoutes {
    let replicas = endpoint
        .replicas
        .values()
        .filter(|replica| replica.is_routable())
        .filter_map(|replica| {
            Some(RoutedReplica {
                id: replica.id.to_string(),
                version: replica.version.0,
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, replica.port?)),
            })
        })
        .collect();
    let weights = endpoint.record.weights.as_ref();
    EndpointRoutes {
        port: endpoint.record.port.unwrap_or(0),
        weights: weights
            .map(|weights| weights.iter().map(|(version, weight)| (version.0, *weight)).collect()),
        replicas,
        token_key: endpoint.record.token_required.then(|| tokens.of(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::agent::desired::EndpointRecord;
    use crate::agent::replica::{Checks, Phase, Replica, STOP_AT_ONCE};
    use crate::spec::{ReplicaId, VersionNumber};

    fn table(desired: &Desired, epoch: u64, generation: u64) -> RoutingTable {
        super::table(desired, &TokenKeys::of_bytes([7; 32]), epoch, generation)
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn replica(id: &str, phase: Phase) -> Replica {
        let mut replica = Replica::requested(ReplicaId(id.to_owned()), VersionNumber(3), NOW);
        replica.port = Some(20_001);
        replica.phase = phase;
        replica
    }

    fn desired(deleting: bool, replicas: Vec<Replica>) -> Desired {
        let record = EndpointRecord {
            port: Some(8080),
            weights: Some(BTreeMap::from([(VersionNumber(3), 5)])),
            deleting,
            ..EndpointRecord::default()
        };
        let replicas = replicas.into_iter().map(|replica| (replica.id.clone(), replica)).collect();
        let endpoint = Endpoint { record, replicas, ..Endpoint::default() };
        Desired { endpoints: BTreeMap::from([("chat".parse().unwrap(), endpoint)]) }
    }

    #[test]
    fn only_ready_replicas_that_are_not_stopping_are_routed() {
        let ready = replica("a", Phase::Ready { since: NOW });
        let (stopping, _) = replica("b", Phase::Ready { since: NOW }).on(
            crate::agent::replica::Event::Stop(STOP_AT_ONCE),
            NOW,
            Checks { health: &crate::spec::HealthCheck::default(), warmup: None },
        );
        let climbing = [Phase::Starting, Phase::Loaded, Phase::Warmed];
        let [starting, loaded, warmed] = climbing.map(|phase| replica(&format!("c-{phase:?}"), phase));
        let table = table(&desired(false, vec![ready, stopping, starting, loaded, warmed]), 7, 2);
        let routes = &table.endpoints["chat"];
        assert_eq!((table.epoch, table.generation, routes.port), (7, 2, 8080));
        assert_eq!(routes.weights, Some(BTreeMap::from([(3, 5)])));
        assert_eq!(routes.replicas.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(routes.replicas[0].address.to_string(), "127.0.0.1:20001");
    }

    #[test]
    fn a_deleted_endpoint_loses_its_address_with_its_last_replica() {
        assert!(
            table(&desired(true, vec![replica("a", Phase::Killed)]), 1, 1).endpoints.contains_key("chat")
        );
        assert!(table(&desired(true, vec![]), 1, 1).endpoints.is_empty());
    }
}
