# The rollout goes back to the prior version: terraform apply -invoke=action.sluice_abort_rollout.chat
action "sluice_abort_rollout" "chat" {
  config {
    endpoint = "chat"
  }
}
