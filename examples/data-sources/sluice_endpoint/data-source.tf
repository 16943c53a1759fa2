# An endpoint that another configuration manages.
data "sluice_endpoint" "chat" {
  name = "chat"
}

check "chat_serves" {
  assert {
    condition     = data.sluice_endpoint.chat.status == "serving"
    error_message = "The endpoint is ${data.sluice_endpoint.chat.status}."
  }
}

output "url" {
  value = data.sluice_endpoint.chat.url
}
