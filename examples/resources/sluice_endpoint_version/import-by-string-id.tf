import {
  to = sluice_endpoint_version.chat
  id = "local/chat/v4"
}
