# The newest version of each endpoint of the provider's cloud: terraform query
list "sluice_endpoint_version" "all" {
  provider = sluice
}
