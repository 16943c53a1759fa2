# A chat model on Alibaba Cloud PAI-EAS, replaced in batches that follow each other by the service's own clock.
# Keys: ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or the profile of the command line `aliyun`.

terraform {
  required_providers {
    sluice = { source = "sluice-rs/sluice" }
  }
}

provider "sluice" {
  cloud  = "eas"
  ledger = "s3://example-bucket/sluice"
  eas    = { region = "cn-hangzhou" }
}

resource "sluice_endpoint_version" "chat" {
  endpoint    = "chat"
  comment     = "longer context"
  model       = { source = "oss://example-bucket/chat/" }
  accelerator = { type = "ecs.gn7i-c16g1.4xlarge", count = 1 }
  scaling     = { min_replicas = 4, max_replicas = 8 }

  container = {
    image   = "eas-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai-eas/vllm:0.14.0-gpu"
    command = ["vllm", "serve", "$(MODEL_PATH)", "--port", "$(PORT)"]
  }

  health = { path = "/health", interval = "10s", timeout = "5s", start_timeout = "15m" }

  eas = {
    shm_size_gb = 64
    autoscaling = { metric = "qps", threshold = 10 }
  }
}

resource "sluice_endpoint" "chat" {
  name    = sluice_endpoint_version.chat.endpoint
  version = sluice_endpoint_version.chat.number

  policy = {
    max_surge         = 1
    max_unavailable   = 0
    batch             = { size = "25%", bake = "5m" }
    progress_deadline = "20m"
    drain             = { timeout = "2m" }
  }
}
