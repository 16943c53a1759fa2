# What a policy would do to eight replicas, before there is anything to roll.
locals {
  preview = provider::sluice::rollout_plan({ max_surge = "25%", batch = { size = 2 } }, 8)
}

# A policy that would need more accelerators than there are is refused before it is used.
check "fits_the_quota" {
  assert {
    condition     = local.preview.peak_replicas <= 10
    error_message = "The rollout would need ${local.preview.peak_replicas} replicas at once."
  }
}

output "steps" {
  value = local.preview.steps
}
