# A registered model on Google Vertex AI, replaced by rolling deployments.
#
#   gcloud auth application-default login
#   terraform apply
#
# Change the version behind the at sign and apply again: the plan shows each step.

terraform {
  required_version = ">= 1.11"

  required_providers {
    sluice = {
      source = "sluice-rs/sluice"
    }
  }
}

variable "project" {
  type        = string
  description = "Google Cloud project."
}

variable "region" {
  type        = string
  description = "Region of the endpoint."
  default     = "us-central1"
}

variable "model" {
  type        = string
  description = "Registered model and its version."
  default     = "models/chat@2"
}

provider "sluice" {
  cloud  = "vertex_ai"
  ledger = "gs://${var.project}-sluice/ledger"

  vertex_ai = {
    project = var.project
    region  = var.region
  }
}

resource "sluice_deployment_policy" "careful" {
  name            = "careful"
  max_surge       = "25%"
  max_unavailable = 0

  batch = { size = "100%", bake = "10m" }

  gates = [{
    interval = "1m"
    cloud_monitoring = {
      query = "sum(rate(aiplatform_googleapis_com:prediction_online_error_count{endpoint_id=\"$(ENDPOINT)\",deployed_model_id=\"$(VERSION)\"}[5m]))"
      max   = 0.01
    }
  }]
}

resource "sluice_endpoint_version" "chat" {
  endpoint    = "chat"
  comment     = "registered by the training pipeline"
  model       = { source = var.model }
  accelerator = { type = "NVIDIA_L4", count = 1 }
  scaling     = { min_replicas = 4, max_replicas = 8 }

  vertex_ai = {
    machine_type = "g2-standard-12"
    autoscaling = [{
      metric = "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle"
      target = 60
    }]
  }
}

resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number
  policy  = sluice_deployment_policy.careful

  vertex_ai = {
    dedicated = true
  }
}

output "url" {
  value = sluice_endpoint.chat.url
}
