resource "sluice_endpoint_version" "chat" {
  endpoint = "chat"
  comment  = "longer context"

  model       = { source = "models/chat.bin" }
  container   = { command = ["llama-server", "--model", "$(MODEL_PATH)", "--port", "$(PORT)"] }
  accelerator = { type = "nvidia", count = 1 }
  scaling     = { min_replicas = 4 }

  health = {
    path          = "/health"
    start_timeout = "15m"
  }

  warmup = {
    requests = 2
    body     = jsonencode({ prompt = "Hello", max_tokens = 8 })
  }

  env = {
    LLAMA_ARG_CTX_SIZE = "8192"
  }
}

# The settings of an earlier version, as the next number.
resource "sluice_endpoint_version" "search" {
  endpoint    = "search"
  comment     = "back to what worked"
  rollback_to = 3
}
