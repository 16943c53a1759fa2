# The version that serves; with `number`, any other one.
data "sluice_endpoint_version" "live" {
  endpoint = "chat"
}

output "model" {
  value = data.sluice_endpoint_version.live.model.source
}
