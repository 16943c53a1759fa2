//! Agents that are started by need and end by themselves.

use std::collections::BTreeSet;

use sluice::cloud::Cloud;
use sluice::spec::EndpointSpec;

use super::machine::{Machine, chat, cloud, drain, eventually, is_alive};

#[tokio::test]
async fn an_agent_without_work_ends_with_its_gateway_and_leaves_no_socket() {
    let mut machine = Machine::without_agent();
    machine.start_agent(&["--exit-when-idle", "300ms"]);
    machine.cloud = cloud(&machine.data_dir(), false);
    let gateway = eventually("the agent has a gateway", || async {
        machine.cloud.agent().await.ok().and_then(|agent| agent.gateway_pid)
    })
    .await;
    assert!(machine.until_agent_ends().await.success());
    assert!(!is_alive(gateway));
    for socket in ["agent.sock", "gateway.sock"] {
        assert!(!machine.data_dir().join(socket).exists(), "{socket}");
    }
}

#[tokio::test]
async fn an_agent_with_an_endpoint_does_not_end() {
    let mut machine = Machine::without_agent();
    machine.start_agent(&["--exit-when-idle", "1s"]);
    eventually("the agent answers", || async { machine.cloud.agent().await.ok() }).await;
    machine.cloud.put_endpoint(&EndpointSpec::named(chat())).await.unwrap();
    let pid = machine.cloud.agent().await.unwrap().pid;
    let asked = tokio::time::Instant::now();
    eventually("more than the idle time has passed without a call", || async {
        (asked.elapsed() > std::time::Duration::from_millis(1500)).then_some(())
    })
    .await;
    assert_eq!(machine.cloud.agent().await.unwrap().pid, pid);
    machine.cloud.delete_endpoint(&chat(), &drain(1)).await.unwrap();
    assert!(machine.until_agent_ends().await.success());
}

#[tokio::test]
async fn many_callers_at_once_start_one_agent() {
    let machine = Machine::without_agent();
    let calls = (0..8).map(|_| {
        let cloud = cloud(&machine.data_dir(), true);
        tokio::spawn(async move { cloud.agent().await.unwrap().pid })
    });
    let mut pids = BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        pids.insert(call.await.unwrap());
    }
    assert_eq!(pids.len(), 1, "{pids:?}");
    machine.cloud.shut_down_agent(true).await.unwrap();
    assert!(!is_alive(*pids.first().unwrap()));
}

#[tokio::test]
async fn a_gateway_ends_with_its_agent_even_if_their_folder_is_gone() {
    let machine = Machine::without_agent();
    let cloud = cloud(&machine.data_dir(), true);
    let gateway =
        eventually("the agent has a gateway", || async { cloud.agent().await.ok()?.gateway_pid }).await;
    for file in ["gateway.sock", "gateway.pid"] {
        std::fs::remove_file(machine.data_dir().join(file)).unwrap();
    }
    machine.cloud.shut_down_agent(true).await.unwrap();
    eventually("a killed gateway is gone", || async { (!is_alive(gateway)).then_some(()) }).await;
}

#[tokio::test]
async fn a_call_to_an_agent_that_is_ending_is_answered_by_the_next_one() {
    let machine = Machine::without_agent();
    let cloud = cloud(&machine.data_dir(), true);
    let mut pids = BTreeSet::new();
    for _ in 0..5 {
        pids.insert(cloud.agent().await.unwrap().pid);
        let endpoint = EndpointSpec::named(chat());
        // The call comes while the agent is on its way out.
        let (ended, put) = tokio::join!(machine.cloud.shut_down_agent(true), cloud.put_endpoint(&endpoint));
        ended.and(put).unwrap();
        cloud.put_endpoint(&endpoint).await.unwrap();
        cloud.delete_endpoint(&chat(), &drain(1)).await.unwrap();
    }
    assert!(pids.len() > 1, "{pids:?}");
    cloud.shut_down_agent(true).await.unwrap();
    eventually("the socket is gone", || async {
        (!machine.data_dir().join("agent.sock").exists()).then_some(())
    })
    .await;
}
