# How the rollouts of an endpoint ended.
data "sluice_rollouts" "chat" {
  endpoint = "chat"
}

output "statuses" {
  value = data.sluice_rollouts.chat.rollouts[*].status
}
