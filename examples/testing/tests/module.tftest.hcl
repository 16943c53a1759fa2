# Nothing is started: what the provider would compute is made up in `mocks`.
mock_provider "sluice" {
  source = "./tests/mocks"
}

variables {
  name  = "chat"
  model = "models/chat.bin"
}

run "serves_the_version_that_was_minted" {
  assert {
    condition     = sluice_endpoint.this.version == 4
    error_message = "The endpoint serves v${sluice_endpoint.this.version}."
  }

  assert {
    condition     = sluice_endpoint.this.name == "chat" && output.url == "http://127.0.0.1:8080"
    error_message = "The endpoint is not the one that was asked for."
  }
}

run "keeps_every_replica_while_it_rolls" {
  command = plan

  assert {
    condition     = sluice_deployment_policy.careful.max_unavailable == "0"
    error_message = "A rollout may leave replicas missing."
  }

  assert {
    condition     = sluice_deployment_policy.careful.total_timeout == "1h"
    error_message = "A rollout may take any time."
  }
}

run "refuses_a_single_replica" {
  command = plan

  variables {
    replicas = 1
  }

  expect_failures = [var.replicas]
}
