# At most ten policies of the ledger: terraform query
list "sluice_deployment_policy" "all" {
  provider = sluice
  limit    = 10
}
