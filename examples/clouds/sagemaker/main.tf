terraform {
  required_version = ">= 1.11"
  required_providers {
    sluice = {
      source = "sluice-rs/sluice"
    }
  }
}

variable "execution_role_arn" {
  type        = string
  description = "Role that pulls images, reads models and watches alarms."
}

variable "image" {
  type        = string
  description = "Image that serves the model and answers GET /ping."
}

provider "sluice" {
  cloud  = "sagemaker"
  ledger = "s3://example-ledger/sluice"
  sagemaker = {
    region = "eu-west-1"
  }
}

resource "sluice_deployment_policy" "careful" {
  name          = "careful"
  batch         = { size = "25%", bake = "5m" }
  gates         = [{ cloudwatch_alarm = "chat-errors" }]
  rollback      = { batch_size = "50%" }
  total_timeout = "2h"
}

resource "sluice_endpoint_version" "chat" {
  endpoint  = "chat"
  model     = { source = "s3://example-models/chat/2026-11/" }
  container = { image = var.image }
  scaling   = { min_replicas = 4, max_replicas = 12 }
  health    = { start_timeout = "20m" }
  env       = { LOG_LEVEL = "info" }

  sagemaker = {
    instance_type      = "ml.g5.2xlarge"
    execution_role_arn = var.execution_role_arn
    routing            = "least_outstanding_requests"
    autoscaling        = { metric = "concurrent_requests_per_model", target = 8, scale_in_cooldown = "10m" }
  }
}

resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy  = sluice_deployment_policy.careful
}

output "url" {
  value = sluice_endpoint.chat.url
}
