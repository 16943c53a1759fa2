# Nothing more is started or stopped: terraform apply -invoke=action.sluice_pause_rollout.chat
action "sluice_pause_rollout" "chat" {
  config {
    endpoint = "chat"
  }
}
