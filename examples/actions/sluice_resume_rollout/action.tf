# The rollout goes on: terraform apply -invoke=action.sluice_resume_rollout.chat
action "sluice_resume_rollout" "chat" {
  config {
    endpoint = "chat"
  }
}
