# A small module around an endpoint, and tests of it that need neither a cloud nor a model: `terraform test` with a
# provider whose answers are made up. The tests are in `tests`.

terraform {
  required_version = ">= 1.11"

  required_providers {
    sluice = {
      source = "sluice-rs/sluice"
    }
  }
}

variable "name" {
  description = "Name of the endpoint."
  type        = string
}

variable "model" {
  description = "The model to serve."
  type        = string
}

variable "replicas" {
  description = "How many copies of the model run at the same time."
  type        = number
  default     = 2

  validation {
    condition     = var.replicas >= 2
    error_message = "An endpoint of production has at least 2 replicas."
  }
}

resource "sluice_deployment_policy" "careful" {
  name            = "${var.name}-careful"
  max_surge       = "25%"
  max_unavailable = 0
  total_timeout   = "1h"
}

resource "sluice_endpoint_version" "this" {
  endpoint    = var.name
  model       = { source = var.model }
  container   = { command = ["llama-server", "--model", "$(MODEL_PATH)", "--port", "$(PORT)"] }
  accelerator = { type = "nvidia", count = 1 }
  scaling     = { min_replicas = var.replicas }
}

resource "sluice_endpoint" "this" {
  name    = sluice_endpoint_version.this.endpoint
  version = sluice_endpoint_version.this.number
  policy  = sluice_deployment_policy.careful
}

output "url" {
  description = "Where the endpoint answers."
  value       = sluice_endpoint.this.url
}
