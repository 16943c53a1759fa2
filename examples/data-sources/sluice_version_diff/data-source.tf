# What version 1 changed.
data "sluice_version_diff" "latest" {
  endpoint = "chat"
  from     = 0
  to       = 1
}

output "settings" {
  value = data.sluice_version_diff.latest.changes[*].path
}
