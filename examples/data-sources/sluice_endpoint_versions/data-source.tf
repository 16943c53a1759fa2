# The history of an endpoint.
data "sluice_endpoint_versions" "chat" {
  endpoint = "chat"
}

output "history" {
  value = [
    for version in data.sluice_endpoint_versions.chat.versions :
    "v${version.number} by ${version.created_by}: ${coalesce(version.comment, "no comment")}"
  ]
}
