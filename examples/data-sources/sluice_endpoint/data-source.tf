data "sluice_endpoint" "chat" {
  name = "chat"
}

# Fails the plan of whoever depends on an endpoint that does not serve.
check "chat_serves" {
  assert {
    condition     = data.sluice_endpoint.chat.status == "serving"
    error_message = "chat is ${data.sluice_endpoint.chat.status}"
  }
}

output "chat_url" {
  value = data.sluice_endpoint.chat.url
}
