resource "sluice_deployment_policy" "careful" {
  name            = "careful"
  max_surge       = 1
  max_unavailable = 0
}

resource "sluice_endpoint_version" "chat" {
  endpoint  = "chat"
  model     = { source = "models/chat.bin" }
  container = { command = ["llama-server", "--model", "$(MODEL_PATH)", "--port", "$(PORT)"] }
  scaling   = { min_replicas = 4 }
}

resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy  = sluice_deployment_policy.careful
}

# The policy can also be written in place, and the port chosen.
resource "sluice_endpoint" "search" {
  name    = "search"
  version = 3
  policy  = { max_surge = "25%", min_ready = "10s" }
  local   = { port = 8080 }
}
