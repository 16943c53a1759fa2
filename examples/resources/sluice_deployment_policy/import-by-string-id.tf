import {
  to = sluice_deployment_policy.careful
  id = "careful"
}
