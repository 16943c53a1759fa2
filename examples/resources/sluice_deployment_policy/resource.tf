# A quarter more replicas than wanted, never fewer; three minutes of service before each next batch.
resource "sluice_deployment_policy" "careful" {
  name            = "careful"
  max_surge       = "25%"
  max_unavailable = 0
  min_ready       = "30s"

  batch = {
    size = "25%"
    bake = "3m"
  }

  drain = {
    timeout = "5m"
  }
}

# Where no accelerator is spare: first stop one, then start one.
resource "sluice_deployment_policy" "in_place" {
  name            = "in-place"
  max_surge       = 0
  max_unavailable = 1
}
