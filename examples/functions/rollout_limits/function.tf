# With eight replicas: at most ten hold accelerators, at least eight stay ready.
output "limits" {
  value = provider::sluice::rollout_limits(8, "25%", "0")
}
