data "sluice_version_diff" "last" {
  endpoint = "chat"
  from     = 3
  to       = 4
}

output "changed_settings" {
  value = data.sluice_version_diff.last.changes[*].path
}
