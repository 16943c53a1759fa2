# What the demo applies: one policy, one version, one endpoint. From release to release only the
# two variables of a release change; the demo writes them to release.auto.tfvars.

terraform {
  required_version = ">= 1.11"

  required_providers {
    sluice = {
      source = "sluice-rs/sluice"
    }
  }
}

variable "model" {
  description = "The model to serve."
  type        = string
}

variable "comment" {
  description = "What is new in this version, for its history."
  type        = string
}

variable "server" {
  description = "The program that serves the model."
  type        = string
}

variable "data_dir" {
  description = "Folder of the local cloud's agent."
  type        = string
}

provider "sluice" {
  local = {
    data_dir     = var.data_dir
    device_slots = 8
    device_type  = "cpu"
  }
}

# One new replica more than wanted, never one less: start, wait until ready, drain an old one.
resource "sluice_deployment_policy" "careful" {
  name            = "careful"
  max_surge       = 1
  max_unavailable = 0
  min_ready       = "1s"

  drain = {
    unroute_delay = "500ms"
    timeout       = "20s"
  }
}

resource "sluice_endpoint_version" "chat" {
  endpoint = "chat"
  comment  = var.comment

  model       = { source = var.model }
  container   = { command = [var.server, "serve", "--load-delay", "1s"] }
  accelerator = { type = "cpu", count = 1 }
  scaling     = { min_replicas = 4 }
  health      = { path = "/health", interval = "200ms" }
}

resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy  = sluice_deployment_policy.careful
}

output "url" {
  description = "Where the endpoint answers."
  value       = sluice_endpoint.chat.url
}
