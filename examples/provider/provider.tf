terraform {
  required_version = ">= 1.11"

  required_providers {
    sluice = {
      source = "sluice-rs/sluice"
    }
  }
}

# Replica processes on this machine. Everything has a default; an empty block works.
provider "sluice" {
  cloud  = "local"
  ledger = "file:///var/lib/sluice/ledger"

  local = {
    data_dir     = "/var/lib/sluice/cloud"
    device_slots = 8
  }
}
