# One endpoint on this machine: a policy, a version, an address. Train a model first
# (see ../model-server), then change `model` and apply again to watch the new version roll in.

terraform {
  required_version = ">= 1.11"

  required_providers {
    sluice = {
      source = "sluice-rs/sluice"
    }
  }
}

variable "server" {
  description = "The program that serves the model."
  type        = string
  default     = "../../target/release/examples/model-server"
}

variable "model" {
  description = "The model to serve."
  type        = string
  default     = "models/plain.bin"
}

variable "replicas" {
  description = "How many copies of the model run at the same time."
  type        = number
  default     = 4

  validation {
    condition     = var.replicas >= 1 && var.replicas <= 7
    error_message = "The machine has 8 device slots, and an update needs one of them to be free: choose 1 to 7 replicas."
  }
}

variable "comment" {
  description = "What is new in this version, for its history."
  type        = string
  default     = "first version"
}

provider "sluice" {
  local = {
    device_slots = 8
  }
}

# Start one new replica, wait until it is ready, then stop an old one; never less than all.
resource "sluice_deployment_policy" "careful" {
  name            = "careful"
  max_surge       = 1
  max_unavailable = 0
}

# Each change here makes the next version; the ones before stay in the history.
resource "sluice_endpoint_version" "chat" {
  endpoint = "chat"
  comment  = var.comment

  model = {
    source = var.model
  }

  # The server learns the model's path from MODEL_PATH and its port from PORT.
  container = {
    command = [var.server, "serve"]
  }

  accelerator = {
    type  = "cpu"
    count = 1
  }

  scaling = {
    min_replicas = var.replicas
    max_replicas = var.replicas
  }

  health = {
    path = "/health"
  }
}

# The address stays; what answers behind it changes by the policy.
resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy  = sluice_deployment_policy.careful
}

output "url" {
  description = "Where the endpoint answers."
  value       = sluice_endpoint.chat.url
}

output "live_version" {
  description = "The version that serves now."
  value       = sluice_endpoint.chat.live_version
}

output "rollout_plan" {
  description = "The steps of the last rollout."
  value       = sluice_endpoint.chat.rollout_plan
}
