# The version that serves.
data "sluice_endpoint_version" "live" {
  endpoint = "chat"
}

data "sluice_endpoint_version" "third" {
  endpoint = "chat"
  number   = 3
}

output "live_model" {
  value = data.sluice_endpoint_version.live.model.source
}
