# Every endpoint of the local cloud: terraform query
list "sluice_endpoint" "all" {
  provider         = sluice
  include_resource = true

  config {
    cloud = "local"
  }
}
