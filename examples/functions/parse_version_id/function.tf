# { cloud = "local", endpoint = "chat", number = 4 }
output "version" {
  value = provider::sluice::parse_version_id("local/chat/v4")
}
