terraform {
  required_version = ">= 1.11"
  required_providers {
    sluice = { source = "sluice-rs/sluice" }
  }
}

# The key comes from FRIENDLI_TOKEN, the project from FRIENDLI_PROJECT_ID.
provider "sluice" {
  cloud  = "friendli"
  ledger = "s3://my-bucket/sluice"
}

resource "sluice_endpoint_version" "chat" {
  endpoint    = "chat"
  comment     = "first weights"
  model       = { source = "hf://meta-llama/Llama-3.1-8B-Instruct@0e9e39f249a16976918f6564b8830bc894c89659" }
  accelerator = { type = "nvidia-h100", count = 1 }
  scaling     = { min_replicas = 2, max_replicas = 4 }
  engine = {
    max_batch_size   = "128"
    queue_timeout_ms = "20000"
  }
  friendli = {
    cooldown = "600s"
  }
}

resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy = {
    # Weights of this size take their time.
    progress_deadline = "45m"
    min_ready         = "60s"
    batch             = { size = "100%", bake = "5m" }
  }
}

# Where clients send requests, and what they give as `model`.
output "base_url" {
  value = split("#", sluice_endpoint.chat.url)[0]
}

output "model" {
  value = split("#", sluice_endpoint.chat.url)[1]
}
