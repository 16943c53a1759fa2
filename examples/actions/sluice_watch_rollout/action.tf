# Tells each step of the rollout in a line: terraform apply -invoke=action.sluice_watch_rollout.chat
action "sluice_watch_rollout" "chat" {
  config {
    endpoint = "chat"
    timeout  = "30m"
  }
}
