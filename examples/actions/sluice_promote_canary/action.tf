# The rest of the version follows its canary: terraform apply -invoke=action.sluice_promote_canary.chat
action "sluice_promote_canary" "chat" {
  config {
    endpoint = "chat"
  }
}
