# The batches that are still to come are larger and wait for nobody.
action "sluice_adjust_rollout" "chat" {
  config {
    endpoint   = "chat"
    batch_size = "50%"
    bake       = "1m"
    pause      = "none"
  }
}
