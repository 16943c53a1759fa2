data "sluice_rollouts" "chat" {
  endpoint = "chat"
}

output "rolled_back" {
  value = [for rollout in data.sluice_rollouts.chat.rollouts : rollout.reason if rollout.status == "rolled_back"]
}
