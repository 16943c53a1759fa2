import {
  to = sluice_endpoint.chat
  id = "local/chat"
}
