# The name under which the policy is recorded in the ledger.
terraform import sluice_deployment_policy.careful careful
