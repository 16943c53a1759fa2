# What the provider would compute. Defaults of a policy have to be said, because an endpoint checks the policy that it
# is given, and Terraform makes up random values for what is not said.

mock_resource "sluice_deployment_policy" {
  defaults = {
    strategy           = "rolling"
    min_ready          = "30s"
    progress_deadline  = "10m"
    max_start_failures = 2
    history_limit      = 10
    on_interrupt       = "hold"

    drain          = { timeout = "2m", unroute_delay = "5s" }
    rollback       = { auto = true, batch_size = "100%", deadline = "10m" }
    on_no_capacity = { action = "wait", timeout = "15m" }
  }
}

mock_resource "sluice_endpoint_version" {
  defaults = {
    number = 4
  }
}

mock_resource "sluice_endpoint" {
  defaults = {
    url          = "http://127.0.0.1:8080"
    live_version = 4
    status       = "serving"
  }
}
