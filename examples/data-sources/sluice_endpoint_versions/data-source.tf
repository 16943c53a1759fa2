data "sluice_endpoint_versions" "chat" {
  endpoint = "chat"
}

# The version before the live one, to go back to.
output "before" {
  value = one([
    for version in data.sluice_endpoint_versions.chat.versions : version.number
    if version.number == one([for live in data.sluice_endpoint_versions.chat.versions : live.number - 1 if live.live])
  ])
}
