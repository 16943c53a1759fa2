ephemeral "sluice_endpoint_token" "chat" {
  endpoint  = "chat"
  valid_for = "24h"
}

# A nightly job that calls the endpoint. The token reaches its process, and no state and no plan.
resource "sluice_endpoint_version" "digest" {
  endpoint           = "digest"
  model              = { source = "models/digest.bin" }
  container          = { command = ["digest-server", "--port", "$(PORT)"] }
  scaling            = { min_replicas = 1 }
  secret_env         = { CHAT_TOKEN = ephemeral.sluice_endpoint_token.chat.token }
  secret_env_version = "2026-01-31"
}
